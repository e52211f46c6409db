"""The `instance` stage: trains the Mask R-CNN on people's labels and on the teacher's."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tiny_training.augment import draw_view, jitter_colour
from tiny_training.imitation import DenseTeacher, Imitation, Sights
from tiny_training.loop import Training, freeze_early_blocks, group_parameters, speed_up_depthwise
from tiny_training.photos import SURE, Photo, decode_mask, encode_mask, read_image
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import project_masks_on_boxes
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops import box_iou

CLASSES = 13
SIDE = 320
SHORT_SIDES = (200, 420)
BATCH = 4
PEAK_LR = 3e-4
WEIGHT_DECAY = 0.03
ROIS_PER_PHOTO = 80
POSITIVE_SHARE = 0.34
MASKS_PER_PHOTO = 10
MIN_VISIBLE_SHARE = 0.3
MIN_VISIBLE_SIDE = 4.0  # pixels of the canvas
DRAWN_SHARE = 0.45  # of the photos drawn, those whose masks are a person's
RARE_PHOTO_SHARE = 0.12  # classes on fewer photos than this are drawn more often
EVALUATE_SECONDS = 900.0

Target = dict[str, Tensor]


def train_instance(
    net: MaskRCNN, photos: list[Photo], root: Path, work: Path, minutes: float, seed: int = 0
) -> None:
    """Train for `minutes` in all, counting earlier runs of the same `work` folder."""
    torch.manual_seed(seed)
    net.train().to(memory_format=torch.channels_last)
    net.rpn._pre_nms_top_n["training"] = 600
    net.rpn._post_nms_top_n["training"] = 300
    freeze_early_blocks(net.backbone.stages)
    net.add_module("imitation", Imitation())
    teacher = DenseTeacher(root)
    optimizer = torch.optim.AdamW(group_parameters(net, net.backbone.stages, PEAK_LR, WEIGHT_DECAY))
    training = Training(net, optimizer, work / "instance.pt", minutes)
    speed_up_depthwise(net)
    held_out = [photo for photo in photos if photo.held_out]
    photos = [photo for photo in photos if not photo.held_out]
    weights = weigh_photos(photos)
    last_evaluation = training.elapsed
    for step in training.steps():
        rng = np.random.default_rng([seed, step])
        drawn = rng.choice(len(photos), BATCH, p=weights)
        samples = [make_sample(photos[index], root, rng) for index in drawn]
        images = [sample[0] for sample in samples]
        sights = teacher(torch.stack(images))
        training.update(compute_losses(net, images, [s[1] for s in samples], sights))
        if training.elapsed - last_evaluation > EVALUATE_SECONDS:
            last_evaluation = training.elapsed
            training.record(measure_ap(training.averaged, held_out, root))
    training.record(measure_ap(training.averaged, held_out, root))


def weigh_photos(photos: list[Photo]) -> np.ndarray:
    """Probability of each photo: fully drawn ones and those with rare classes come more often."""
    holds = np.zeros((len(photos), CLASSES))
    for row, photo in enumerate(photos):
        for labelled in photo.objects:
            if labelled.confidence >= SURE:
                holds[row, labelled.category_id] = 1
    frequency = np.maximum(holds.mean(0), 1e-6)
    repeats = np.maximum(1, np.sqrt(RARE_PHOTO_SHARE / frequency))
    weights = np.maximum((holds * repeats).max(1), 0.5)
    drawn = np.array(
        [photo.complete and all(o.true_mask for o in photo.objects) for photo in photos]
    )
    weights[drawn] *= DRAWN_SHARE / max(weights[drawn].sum(), 1e-9)
    weights[~drawn] *= (1 - DRAWN_SHARE) / max(weights[~drawn].sum(), 1e-9)
    return weights / weights.sum()


def make_sample(photo: Photo, root: Path, rng: np.random.Generator) -> tuple[Tensor, Target]:
    """Draw a view of a photo: pixels (3, SIDE, SIDE) in 0..1 and the objects seen in it."""
    image = read_image(root / photo.file_name)
    view = draw_view(rng, photo.height, photo.width, SIDE, SHORT_SIDES)
    pixels = jitter_colour(rng, view.warp_image(image))
    boxes, masks, category_ids, confidences, drawn = [], [], [], [], []
    for labelled in photo.objects:
        whole = view.warp_boxes(np.array([labelled.box]))[0]
        box = whole.clip(0, SIDE)
        width, height = box[2] - box[0], box[3] - box[1]
        if min(width, height) < 1:
            continue
        share = width * height / max((whole[2] - whole[0]) * (whole[3] - whole[1]), 1e-6)
        mask = np.zeros((SIDE, SIDE), np.uint8)
        confidence = labelled.confidence
        if share < MIN_VISIBLE_SHARE or min(width, height) < MIN_VISIBLE_SIDE:
            confidence = 0.0
        elif confidence >= SURE:
            mask = view.warp_mask(decode_mask(labelled))
            rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
            if not len(rows):
                confidence = 0.0
            elif share < 0.999:  # cut off: the box shrinks to what is left of the mask
                box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)
        boxes.append(box)
        masks.append(mask)
        category_ids.append(labelled.category_id)
        confidences.append(confidence)
        drawn.append(labelled.true_mask)
    target = {
        "boxes": torch.tensor(np.array(boxes), dtype=torch.float32).reshape(-1, 4),
        "masks": torch.from_numpy(np.array(masks, np.uint8).reshape(-1, SIDE, SIDE)),
        "labels": torch.tensor(category_ids, dtype=torch.int64),
        "confidence": torch.tensor(confidences, dtype=torch.float32),
        "drawn": torch.tensor(drawn, dtype=torch.bool),  # the mask is a person's
    }
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255, target


def compute_losses(
    net: MaskRCNN, images: list[Tensor], targets: list[Target], sights: Sights
) -> dict[str, Tensor]:
    """Run the net on a batch of equal canvases, compare it with the targets and the teacher."""
    mean = torch.tensor(net.transform.image_mean).view(3, 1, 1)
    std = torch.tensor(net.transform.image_std).view(3, 1, 1)
    batch = ((torch.stack(images) - mean) / std).contiguous(memory_format=torch.channels_last)
    sizes = [(SIDE, SIDE)] * len(images)
    with torch.autocast("cpu", torch.bfloat16):
        features = net.backbone(batch)
        objectness, deltas = net.rpn.head(list(features.values()))
    features = {name: level.float().contiguous() for name, level in features.items()}
    imitation_losses = net.imitation.compare(features, sights)
    proposals, losses = propose(net, ImageList(batch, sizes), features, objectness, deltas, targets)
    losses.update(compare_rois(net, features, proposals, targets, sizes))
    return losses | imitation_losses


def propose(
    net: MaskRCNN,
    images: ImageList,
    features: dict[str, Tensor],
    objectness: list[Tensor],
    deltas: list[Tensor],
    targets: list[Target],
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Make the proposals and the losses of the region proposal net.

    Anchors on unsure objects count neither as object nor as background.
    """
    rpn = net.rpn
    anchors = rpn.anchor_generator(images, list(features.values()))
    per_level = [level[0].numel() for level in objectness]
    objectness, deltas = concat_box_prediction_layers(
        [level.float() for level in objectness], [level.float() for level in deltas]
    )
    decoded = rpn.box_coder.decode(deltas.detach(), anchors).view(len(anchors), -1, 4)
    proposals, _ = rpn.filter_proposals(decoded, objectness.detach(), images.image_sizes, per_level)
    sure = [{"boxes": t["boxes"][t["confidence"] >= SURE]} for t in targets]
    labels, matched = rpn.assign_targets_to_anchors(anchors, sure)
    for label, anchor, target in zip(labels, anchors, targets, strict=True):
        unsure = target["boxes"][target["confidence"] < SURE]
        label[(label == 0) & lies_on(anchor, unsure)] = -1
    encoded = rpn.box_coder.encode(matched, anchors)
    object_loss, box_loss = rpn.compute_loss(objectness, deltas, labels, encoded)
    return proposals, {"object": object_loss, "anchor": box_loss}


def lies_on(boxes: Tensor, regions: Tensor) -> Tensor:
    """Tell which boxes (N, 4) lie with more than half of their area on one of the regions."""
    if not len(regions):
        return torch.zeros(len(boxes), dtype=torch.bool)
    top_left = torch.maximum(boxes[:, None, :2], regions[None, :, :2])
    bottom_right = torch.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    shared = (bottom_right - top_left).clamp(min=0).prod(-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1).clamp(min=1e-6)
    return (shared / areas[:, None] > 0.5).any(1)


def compare_rois(
    net: MaskRCNN,
    features: dict[str, Tensor],
    proposals: list[Tensor],
    targets: list[Target],
    sizes: list[tuple[int, int]],
) -> dict[str, Tensor]:
    """Compute the class, box and mask losses on sampled regions.

    A region on a pseudo-label is asked to answer its class with the label's precision and the
    background with the rest.
    """
    heads = net.roi_heads
    sampled = [sample_regions(p, t) for p, t in zip(proposals, targets, strict=True)]
    regions = [sample[0] for sample in sampled]
    matches = [sample[1] for sample in sampled]
    with torch.autocast("cpu", torch.bfloat16):
        pooled = heads.box_roi_pool(features, regions, sizes)
        scores, box_deltas = heads.box_predictor(heads.box_head(pooled))
    scores, box_deltas = scores.float(), box_deltas.float()
    soft = torch.zeros(len(scores), CLASSES)
    row, kept, mask_regions, mask_targets = 0, [], [], []
    goals, labels = [], []
    for region, match, target in zip(regions, matches, targets, strict=True):
        positive = (match >= 0).nonzero()[:, 0]
        found = match[positive]
        confidence = target["confidence"][found]
        soft[row + positive, target["labels"][found]] = confidence
        sure = confidence >= SURE
        positive, found = positive[sure], found[sure]
        kept.append(row + positive)
        labels.append(target["labels"][found])
        goals.append(heads.box_coder.encode([target["boxes"][found]], [region[positive]])[0])
        # Pseudo-masks inside true boxes teach nothing that their net does not know (Hu et al.,
        # Learning to segment every thing, CVPR 2018: masks are learnt where masks are known).
        with_mask = target["drawn"][found].nonzero()[:, 0]
        chosen = with_mask[torch.randperm(len(with_mask))[:MASKS_PER_PHOTO]]
        mask_regions.append(region[positive[chosen]])
        mask_targets.append(
            project_masks_on_boxes(
                target["masks"].float(), region[positive[chosen]], found[chosen], 28
            )
        )
        row += len(region)
    soft[:, 0] = 1 - soft.sum(1)
    rows, classes = torch.cat(kept), torch.cat(labels)
    box_deltas = box_deltas.view(len(scores), CLASSES, 4)[rows, classes]
    box_loss = functional.smooth_l1_loss(box_deltas, torch.cat(goals), beta=1 / 9, reduction="sum")
    losses = {
        "class": functional.cross_entropy(scores, soft),
        "box": box_loss / max(len(scores), 1),
        "mask": scores.sum() * 0.0,
    }
    if any(len(region) for region in mask_regions):
        with torch.autocast("cpu", torch.bfloat16):
            pooled = heads.mask_roi_pool(features, mask_regions, sizes)
            logits = heads.mask_predictor(heads.mask_head(pooled))[:, 0]
        losses["mask"] = functional.binary_cross_entropy_with_logits(
            logits.float(), torch.cat(mask_targets)
        )
    return losses


def sample_regions(proposals: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """Sample regions of one photo; answers boxes (N, 4) and the object of each, -1 = background."""
    known = target["confidence"] > 0
    index_of_known = known.nonzero()[:, 0]
    boxes = target["boxes"][known]
    sure = target["confidence"][known] >= SURE
    proposals = torch.cat([proposals, boxes[sure]])
    if len(boxes):
        overlap, match = box_iou(proposals, boxes).max(1)
        match = torch.where(overlap >= 0.5, index_of_known[match], -1)
    else:
        match = torch.full((len(proposals),), -1)
    ignored = (match < 0) & lies_on(proposals, target["boxes"][~known])
    positive = (match >= 0).nonzero()[:, 0]
    negative = ((match < 0) & ~ignored).nonzero()[:, 0]
    wanted = int(ROIS_PER_PHOTO * POSITIVE_SHARE)
    positive = positive[torch.randperm(len(positive))[:wanted]]
    negative = negative[torch.randperm(len(negative))[: ROIS_PER_PHOTO - len(positive)]]
    chosen = torch.cat([positive, negative])
    return proposals[chosen], match[chosen]


@torch.inference_mode()
def measure_ap(net: nn.Module, photos: list[Photo], root: Path) -> dict[str, float]:
    """Measure and print box and mask AP over the 12 classes on photos with complete instances."""
    net = copy.deepcopy(net).eval()
    truth: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": []}
    truth["categories"] = [{"id": category_id} for category_id in range(1, CLASSES)]
    found = []
    for image_id, photo in enumerate(photos, 1):
        truth["images"].append({"id": image_id, "height": photo.height, "width": photo.width})
        for labelled in photo.objects:
            x1, y1, x2, y2 = labelled.box
            truth["annotations"].append(
                {
                    "id": len(truth["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": labelled.category_id,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": float(decode_mask(labelled).sum()),
                    "iscrowd": int(labelled.confidence == 0),
                    "segmentation": labelled.rle,
                }
            )
        pixels = torch.from_numpy(read_image(root / photo.file_name)).permute(2, 0, 1).float()
        with torch.autocast("cpu", torch.bfloat16):
            answer = net([pixels / 255])[0]
        masks = (answer["masks"][:, 0] > 0.5).numpy()
        for box, score, label, mask in zip(
            answer["boxes"].tolist(), answer["scores"], answer["labels"], masks, strict=True
        ):
            x1, y1, x2, y2 = box
            found.append(
                {
                    "image_id": image_id,
                    "category_id": int(label),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": float(score),
                    "segmentation": encode_mask(mask),
                }
            )
    figures = score_instances(truth, found)
    print(json.dumps(figures), flush=True)
    return figures


def score_instances(truth: dict[str, Any], found: list[Any]) -> dict[str, float]:
    """Score COCO results held in memory: AP and AP50 of boxes and masks."""
    import contextlib
    import io

    figures: dict[str, float] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        results = coco.loadRes(found)
        for kind in ("bbox", "segm"):
            evaluation = COCOeval(coco, results, kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            figures[f"{kind}_ap"] = round(float(evaluation.stats[0]), 4)
            figures[f"{kind}_ap50"] = round(float(evaluation.stats[1]), 4)
    return figures
