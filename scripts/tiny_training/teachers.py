"""The `labels` stage: people's labels of all folders, and teachers' for what they left out.

The Mask R-CNN at hand gives masks inside true boxes, YOLOX-nano boxes where people labelled a few
classes only, MOSAIC (ADE20K, 32 classes) the stuff. A teacher's answer is soft: boxes carry their
measured precision, pixels their probabilities, which `Beliefs` turns into those of sets of the
student's classes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from tiny_training.listing import coco_category_to_super, list_photos
from tiny_training.photos import (
    LABELS_FILE,
    SOFT_FILE,
    SURE,
    TEACHER_FILE,
    Array,
    LabelledObject,
    Photo,
    encode_mask,
    read_image,
    save_photos,
)
from torchvision.models.detection import MaskRCNN
from torchvision.ops import batched_nms, box_iou

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

YOLOX_SIDE = 416
YOLOX_STRIDES = (8, 16, 32)
MOSAIC_SIDE = 512
MOSAIC_CELLS = 128
MOSAIC_CLASSES = 32
SCORE_FLOOR = 0.08
SAME_OBJECT_IOU = 0.4
EXTRA_OBJECT_FACTOR = 0.5  # where people labelled the commonest classes of a supercategory

# Precision of YOLOX-nano's boxes (right supercategory, IoU > 0.5) by score, measured on the
# photos with complete instances; `measure_precision` prints it.
SCORE_TO_PRECISION = (
    (0.08, 0.15), (0.11, 0.18), (0.2, 0.29), (0.3, 0.37), (0.4, 0.5), (0.52, 0.66), (0.7, 0.84),
    (0.9, 0.97),
)  # fmt: skip

# Sets of class_index that the semantic teacher may mean: 0..15 are single classes of the student
# (0 = not stuff), the others leave the choice to the student.
CLASS_SETS: tuple[tuple[int, ...], ...] = (
    *((index,) for index in range(16)),
    (0, 6),  # a potted plant or plants
    (1, 5),  # a rug: textile or floor
    (6, 8),  # a field
)
NOT_A_THING = {16: 6}  # where objects are known completely, this set loses class 0
# ADE20K class of the teacher -> sets, and how far each is to be believed on COCO, as the truth of
# the training photos has it where no object lies. A cabinet that no box teacher sees is furniture
# that COCO takes for stuff, a table one that it takes for a thing.
INDOORS: dict[str, dict[int, float]] = {
    "wall": {11: 0.7}, "building": {2: 0.9}, "sky": {14: 1.0}, "floor": {5: 0.7, 8: 0.2},
    "tree": {6: 0.9}, "ceiling": {13: 0.8}, "road": {8: 0.9}, "bed": {0: 0.9},
    "windowpane": {12: 0.8}, "grass": {6: 0.85}, "cabinet": {4: 0.7}, "sidewalk": {8: 0.7},
    "person": {0: 0.8}, "earth": {8: 0.8}, "door": {4: 0.7}, "table": {0: 0.7},
    "mountain": {15: 0.6}, "plant": {16: 0.8}, "curtain": {1: 0.8}, "chair": {0: 0.7},
    "car": {0: 0.9}, "water": {10: 0.9}, "painting": {}, "sofa": {0: 0.9}, "shelf": {4: 0.6},
    "house": {2: 0.9}, "sea": {10: 0.9}, "mirror": {4: 0.6}, "rug": {17: 0.8}, "field": {18: 0.7},
    "armchair": {0: 0.9}, "other": {},
}  # fmt: skip
# What differs in the open air: floors are pavements, windows belong to buildings and trains.
OUTDOORS: dict[str, dict[int, float]] = INDOORS | {
    "floor": {8: 0.9}, "wall": {11: 0.3}, "ceiling": {13: 0.3}, "windowpane": {12: 0.2},
    "mirror": {4: 0.2},
}  # fmt: skip
OPEN_AIR = (
    "sky", "tree", "grass", "road", "sea", "mountain", "earth", "building", "sidewalk", "field",
    "water",
)  # fmt: skip
OPEN_AIR_SHARE = 0.3  # of a photo from which on it is outdoors


def label_objects(root: Path, work: Path, mask_net: MaskRCNN) -> None:
    """Write the labels file: people's labels, masks for their boxes, the box teacher's objects.

    The box teacher is only asked where people labelled some classes of an image, the mask head
    of `mask_net` where they drew a box without a mask.
    """
    teacher = BoxTeacher(root, coco_category_to_super(root))
    photos = list(list_photos(root))
    rows = 0
    for number, photo in enumerate(photos, 1):
        if photo.panoptic is None:
            photo.teacher_row = rows
            rows += 1
        if photo.held_out:
            continue
        if not all(labelled.true_mask for labelled in photo.objects):
            add_pseudo_masks(photo, read_image(root / photo.file_name), mask_net)
        if not photo.complete:
            image = read_image(root / photo.file_name)
            add_pseudo_labels(photo, image, mask_net, *teacher(image))
        if number % 200 == 0:
            print(f"objects: {number} of {len(photos)} photos", flush=True)
    save_photos(photos, work / LABELS_FILE)


def label_stuff(root: Path, work: Path, first_row: int = 0) -> None:
    """Write the semantic teacher's file, one row for each photo without panoptic truth.

    `first_row` goes on with a file that was left unfinished.
    """
    photos = [photo for photo in list_photos(root) if photo.panoptic is None]
    teacher = StuffTeacher(root)
    shape = (len(photos), MOSAIC_CELLS, MOSAIC_CELLS, MOSAIC_CLASSES)
    mode = "r+" if first_row else "w+"
    probs = np.lib.format.open_memmap(
        work / TEACHER_FILE, mode, None if first_row else np.uint8, None if first_row else shape
    )
    for row in range(first_row, len(photos)):
        probs[row] = teacher(read_image(root / photos[row].file_name))
        if row % 200 == 199:
            print(f"stuff: {row + 1} of {len(photos)} photos", flush=True)


def open_session(path: Path) -> InferenceSession:
    """Open an ONNX net on as many threads as torch uses."""
    import onnxruntime  # only this stage needs it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class BoxTeacher:
    """YOLOX-nano on a photo and on its mirror image, answered in supercategories."""

    def __init__(self, root: Path, category_of: dict[int, int]) -> None:
        self.session = open_session(root / "weights/yolox_nano_coco80.onnx")
        classes = json.loads((root / "weights/labels.json").read_text())["coco80"]
        self.category_ids = torch.tensor([category_of[entry["coco_id"]] for entry in classes])
        self.cells = make_yolox_cells()

    def __call__(self, image: Array) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Find boxes (N, 4), scores (N) and category_ids (N) of an RGB image."""
        height, width = image.shape[:2]
        boxes, probs = self.run(image)
        mirrored, mirrored_probs = self.run(np.ascontiguousarray(image[:, ::-1]))
        mirrored = torch.stack(
            [width - mirrored[:, 2], mirrored[:, 1], width - mirrored[:, 0], mirrored[:, 3]], 1
        )
        boxes, probs = torch.cat([boxes, mirrored]), torch.cat([probs, mirrored_probs])
        per_super = torch.zeros(len(probs), 13).scatter_reduce(
            1, self.category_ids.expand(len(probs), -1), probs, "amax"
        )
        scores, category_ids = per_super.max(1)
        found = scores > SCORE_FLOOR / 2
        boxes, scores, category_ids = boxes[found], scores[found], category_ids[found]
        kept = batched_nms(boxes, scores, category_ids, 0.6)[:60]
        merged, merged_scores = [], []
        for index in kept:
            # box voting: the mean of the boxes that agree, weighted by score
            near = (category_ids == category_ids[index]) & (
                box_iou(boxes[index][None], boxes)[0] > 0.65
            )
            weights = scores[near]
            merged.append((boxes[near] * weights[:, None]).sum(0) / weights.sum())
            merged_scores.append(scores[index])
        if not merged:
            return boxes[:0], scores[:0], category_ids[:0]
        boxes, scores = torch.stack(merged), torch.stack(merged_scores)
        limits = torch.tensor([width, height, width, height])
        boxes = torch.minimum(boxes.clamp(min=0), limits)
        solid = (scores > SCORE_FLOOR) & ((boxes[:, 2:] - boxes[:, :2]).min(1).values > 2)
        return boxes[solid], scores[solid], category_ids[kept][solid]

    def run(self, image: Array) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the net: boxes (3549, 4) in pixels of `image`, class probabilities (3549, 80)."""
        scale = YOLOX_SIDE / max(image.shape[:2])
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        canvas = np.full((YOLOX_SIDE, YOLOX_SIDE, 3), 114, np.uint8)
        canvas[: small.shape[0], : small.shape[1]] = small[:YOLOX_SIDE, :YOLOX_SIDE, ::-1]
        pixels = canvas.transpose(2, 0, 1)[None].astype(np.float32)
        answer = self.session.run(None, {self.session.get_inputs()[0].name: pixels})[0][0]
        answer = torch.from_numpy(answer)
        centres = (answer[:, :2] + self.cells[:, :2]) * self.cells[:, 2:]
        halves = answer[:, 2:4].exp() * self.cells[:, 2:] / 2
        boxes = torch.cat([centres - halves, centres + halves], 1) / scale
        return boxes, answer[:, 4:5] * answer[:, 5:]


def make_yolox_cells() -> torch.Tensor:
    """List YOLOX's grid cells as (column, row, stride), in the order of its output."""
    cells = []
    for stride in YOLOX_STRIDES:
        side = YOLOX_SIDE // stride
        rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        strides = torch.full((side * side,), stride)
        cells.append(torch.stack([columns.flatten(), rows.flatten(), strides], 1))
    return torch.cat(cells).float()


class StuffTeacher:
    """MOSAIC on a photo."""

    def __init__(self, root: Path) -> None:
        self.session = open_session(root / "weights/mosaic_r4_ade20k32_logits.onnx")

    def __call__(self, image: Array) -> Array:
        """Answer uint8 (128, 128, 32), 255 = certain; the photo is stretched to the square."""
        side = (MOSAIC_SIDE, MOSAIC_SIDE)
        square = cv2.resize(image, side, interpolation=cv2.INTER_AREA)
        name = self.session.get_inputs()[0].name
        logits = self.session.run(None, {name: square[None]})[0][0]
        probs = np.exp(logits - logits.max(0))
        probs /= probs.sum(0)
        return (probs.transpose(1, 2, 0) * 255).round().astype(np.uint8)


class Beliefs:
    """What the stuff teacher's classes mean on COCO, by scene."""

    def __init__(self, root: Path) -> None:
        names = json.loads((root / "weights/labels.json").read_text())["ade20k32"]
        self.indoors, self.outdoors = tabulate(INDOORS, names), tabulate(OUTDOORS, names)
        self.open_air = np.isin(names, OPEN_AIR)

    def tabulate(self, probs: Array) -> Array:
        """Make the matrix (32, sets) for a photo of mean probabilities (32,) in 0..1.

        Probabilities times it are those of each set of `CLASS_SETS`, times how far it is believed.
        """
        share = min(float(probs[self.open_air].sum()) / OPEN_AIR_SHARE, 1.0)
        table = (1 - share) * self.indoors + share * self.outdoors
        return table.astype(np.float32)


class StuffLabels:
    """What is said of the stuff of images without panoptic truth, by their `teacher_row`.

    Attributes:
        answers: of the stuff teacher, uint8 (rows, cells, cells, 32), 255 = certain.
        soft: of the student's classes (rows, cells, cells, 16), what teacher and nets think
            together; None where the stage `soften` was left out.
        beliefs: what the teacher's answers mean.
    """

    def __init__(self, root: Path, work: Path) -> None:
        self.answers = np.load(work / TEACHER_FILE, mmap_mode="r")
        is_soft = (work / SOFT_FILE).exists()
        self.soft = np.load(work / SOFT_FILE, mmap_mode="r") if is_soft else None
        self.beliefs = Beliefs(root)

    def measure_shares(self, row: int) -> Array:
        """Shares of an image that the sets of `CLASS_SETS` take, float (sets,)."""
        if self.soft is not None:
            return pad_sets(self.soft[row].mean((0, 1)) / 255)
        mean: Array = self.answers[row].mean((0, 1)) / 255
        return mean @ self.beliefs.tabulate(mean)


def pad_sets(classes: Array) -> Array:
    """Turn probabilities of classes (16, ...) into those of sets, of which each is one class."""
    missing = len(CLASS_SETS) - len(classes)
    return np.pad(classes, [(0, missing)] + [(0, 0)] * (classes.ndim - 1))


def tabulate(beliefs: dict[str, dict[int, float]], names: list[str]) -> Array:
    """Turn beliefs into a float32 (classes, sets) matrix."""
    table = np.zeros((len(names), len(CLASS_SETS)), np.float32)
    for row, name in enumerate(names):
        for column, belief in beliefs[name].items():
            table[row, column] = belief
    return table


def add_pseudo_labels(
    photo: Photo,
    image: Array,
    mask_net: MaskRCNN,
    boxes: torch.Tensor,
    scores: torch.Tensor,
    category_ids: torch.Tensor,
) -> None:
    """Add the box teacher's boxes to a photo's objects, with masks of `mask_net`."""
    known = [(labelled.category_id, labelled.box) for labelled in photo.objects]
    fresh = ~torch.isin(category_ids, torch.tensor(photo.known, dtype=category_ids.dtype))
    for category_id, box in known:
        overlap = box_iou(boxes, torch.tensor([box]))[:, 0]
        fresh &= (overlap < SAME_OBJECT_IOU) | (category_ids != category_id)
    boxes, scores, category_ids = boxes[fresh], scores[fresh], category_ids[fresh]
    if not len(boxes):
        return
    precision = np.interp(scores.numpy(), *zip(*SCORE_TO_PRECISION, strict=True))
    labelled_ids = {category_id for category_id, _ in known}
    precision[np.isin(category_ids.numpy(), list(labelled_ids))] *= EXTRA_OBJECT_FACTOR
    sure = precision >= SURE
    masks = iter(predict_box_masks(mask_net, image, boxes[torch.from_numpy(sure)]))
    nothing = np.zeros(image.shape[:2], np.uint8)
    for index, box in enumerate(boxes.tolist()):
        photo.objects.append(
            LabelledObject(
                category_id=int(category_ids[index]),
                box=[round(side, 2) for side in box],
                rle=encode_mask(next(masks) if sure[index] else nothing),
                confidence=round(float(precision[index]), 3),
                true_mask=False,
            )
        )


def add_pseudo_masks(photo: Photo, image: Array, mask_net: MaskRCNN) -> None:
    """Fill in the masks of the true boxes that people drew no outline of."""
    bare = [one for one in photo.objects if not one.true_mask and one.confidence > 0]
    boxes = torch.tensor([labelled.box for labelled in bare]).reshape(-1, 4)
    for labelled, mask in zip(bare, predict_box_masks(mask_net, image, boxes), strict=True):
        if mask.any():
            labelled.rle = encode_mask(mask)


@torch.inference_mode()
def predict_box_masks(net: MaskRCNN, image: Array, boxes: torch.Tensor) -> Iterator[Array]:
    """Ask the mask head for the object in each box; yields uint8 (H, W) masks."""
    if not len(boxes):
        return
    height, width = image.shape[:2]
    pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    batch, _ = net.transform([pixels])
    new_height, new_width = batch.image_sizes[0]
    scale = torch.tensor([new_width / width, new_height / height] * 2)
    heads = net.roi_heads
    with torch.autocast("cpu", torch.bfloat16):
        features = net.backbone(batch.tensors)
        pooled = heads.mask_roi_pool(features, [boxes * scale], batch.image_sizes)
        probs = heads.mask_predictor(heads.mask_head(pooled))[:, 0].sigmoid().float().numpy()
    for prob, box in zip(probs, boxes.tolist(), strict=True):
        left, top = int(box[0]), int(box[1])
        right, bottom = min(int(np.ceil(box[2])), width), min(int(np.ceil(box[3])), height)
        mask = np.zeros((height, width), np.uint8)
        size_wh = (max(right - left, 1), max(bottom - top, 1))
        inside = cv2.resize(prob, size_wh) > 0.5
        mask[top:bottom, left:right] = inside[: bottom - top, : right - left]
        yield mask


def measure_precision(root: Path) -> None:
    """Print the box teacher's precision by score on the photos with complete instances."""
    category_of = coco_category_to_super(root)
    teacher = BoxTeacher(root, category_of)
    edges = np.array([SCORE_FLOOR, 0.15, 0.25, 0.35, 0.45, 0.6, 0.8, 1.01])
    counts = np.zeros((13, len(edges) - 1, 2), int)
    for photo in list_photos(root):
        if not photo.complete:
            break
        boxes, scores, category_ids = teacher(read_image(root / photo.file_name))
        truth = torch.tensor([labelled.box for labelled in photo.objects]).reshape(-1, 4)
        same = category_ids[:, None] == torch.tensor(
            [labelled.category_id for labelled in photo.objects]
        )
        right = ((box_iou(boxes, truth) > 0.5) & same).any(1).numpy()
        bins = np.searchsorted(edges, scores.numpy(), "right") - 1
        np.add.at(counts, (category_ids.numpy(), bins, right.astype(int)), 1)
    totals = counts.sum(0)
    for low, (wrong, hits) in zip(edges, totals, strict=False):
        print(f"score >= {low:.2f}: precision {hits / max(wrong + hits, 1):.2f} of {wrong + hits}")
    for category_id in range(1, 13):
        sums = counts[category_id]
        print(category_id, [f"{h / max(w + h, 1):.2f}/{w + h}" for w, h in sums])
