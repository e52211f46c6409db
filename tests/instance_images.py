"""Images with true things and detections, and what pycocotools says of them."""

import contextlib
import io

import numpy as np
from factories import TOY_SPACE, full_masks, panoptic_truth, rle_masks
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fuse.types import Instances

SIZE = (150, 140)  # room for small, medium and large instances


def random_image(rng):
    """Ground truth of large blocks, and detections: its things, shifted, and other shapes."""
    truth = panoptic_truth(rng, SIZE, segments=12, block=int(rng.choice([12, 40, 130])))
    things = [s for s in truth.segments_info if s.category_id in TOY_SPACE.thing_ids]
    masks = [
        *(
            np.roll(truth.panoptic_map == s.segment_id, rng.integers(-3, 4, 2), (0, 1))
            for s in things
        ),
        *full_masks(rng, SIZE, 6),
    ]
    category_ids = [s.category_id for s in things] + rng.choice(TOY_SPACE.thing_ids, 6).tolist()
    scores = rng.integers(1, 20, len(masks)) / 20  # ties are common
    return truth, detect(masks, category_ids, scores)


def detect(masks, category_ids, scores, size=SIZE):
    return Instances(
        boxes=np.zeros((len(masks), 4), dtype=np.float32),
        scores=np.asarray(scores, dtype=np.float64),
        category_ids=np.array(category_ids, dtype=np.int32),
        masks=rle_masks(masks),
        size=size,
    )


def official_stats(images, coco_class=COCO, scorer_class=COCOeval):
    """The figures of pycocotools, or of who has its classes, and its AP per category."""
    listed, annotations, results = [], [], []
    for image_id, (truth, detections) in enumerate(images, start=1):
        listed.append({"id": image_id, "height": SIZE[0], "width": SIZE[1]})
        things = [s for s in truth.segments_info if TOY_SPACE.by_id[s.category_id].isthing]
        for segment in things:
            mask = np.asfortranarray(truth.panoptic_map == segment.segment_id, dtype=np.uint8)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": segment.category_id,
                    "segmentation": coco_mask.encode(mask),
                    "area": int(mask.sum()),
                    "iscrowd": int(segment.iscrowd),
                }
            )
        for index, rle in enumerate(detections.masks.rles):
            results.append(
                {
                    "image_id": image_id,
                    "category_id": int(detections.category_ids[index]),
                    "score": float(detections.scores[index]),
                    "segmentation": rle,
                }
            )
    coco = coco_class()
    coco.dataset = {
        "info": {},  # pycocotools 2.0.10 copies it
        "images": listed,
        "annotations": annotations,
        "categories": [{"id": category_id} for category_id in TOY_SPACE.thing_ids],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        scorer = scorer_class(coco, coco.loadRes(results), "segm")
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    precision = scorer.eval["precision"][:, :, :, 0, -1]
    return scorer.stats[:6], [precision[:, :, k].mean() for k in range(precision.shape[2])]
