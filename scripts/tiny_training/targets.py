"""What a net should answer to a view of an image: its objects, its stuff, the teacher's stuff."""

from pathlib import Path

import cv2
import numpy as np
import torch
from tiny_training.augment import View
from tiny_training.photos import SURE, Array, Photo, decode_mask, read_label_map
from tiny_training.teachers import NOT_A_THING, StuffLabels, pad_sets
from torch import Tensor

FIRST_STUFF_ID = 13
VOID = 255
STRIDE = 4  # of the semantic answer
MIN_VISIBLE_SHARE = 0.3
MIN_VISIBLE_SIDE = 4.0  # pixels of the canvas
DRAWN_BY_A_NET = 0.9  # how far a pseudo-mask inside a true box is believed

Target = dict[str, Tensor]


def draw_objects(photo: Photo, view: View) -> Target:
    """See an image's objects through a view.

    Returns:
        boxes (N, 4), masks uint8 (N, side, side), labels (N), confidence (N), 0 = to be ignored,
        and drawn, bool (N), whether the mask is a person's.
    """
    boxes, masks, category_ids, confidences, drawn = [], [], [], [], []
    for labelled in photo.objects:
        whole = view.warp_boxes(np.array([labelled.box]))[0]
        box = whole.clip(0, view.side)
        width, height = box[2] - box[0], box[3] - box[1]
        if min(width, height) < 1:
            continue
        share = width * height / max((whole[2] - whole[0]) * (whole[3] - whole[1]), 1e-6)
        mask = np.zeros((view.side, view.side), np.uint8)
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
    return {
        "boxes": torch.tensor(np.array(boxes), dtype=torch.float32).reshape(-1, 4),
        "masks": torch.from_numpy(np.array(masks, np.uint8).reshape(-1, view.side, view.side)),
        "labels": torch.tensor(category_ids, dtype=torch.int64),
        "confidence": torch.tensor(confidences, dtype=torch.float32),
        "drawn": torch.tensor(drawn, dtype=torch.bool),
    }


def draw_classes(photo: Photo, view: View, root: Path) -> Tensor:
    """See an image's panoptic truth through a view, class_index int64 (side, side)."""
    classes = view.warp_mask(to_class_index(read_label_map(photo, root)), VOID)
    return torch.from_numpy(classes.astype(np.int64))


def draw_sets(photo: Photo, view: View, labels: StuffLabels) -> Tensor:
    """See what is said of an image's stuff, and its objects over it, through a view.

    Returns:
        float32 (channels, cells, cells): probabilities of `CLASS_SETS`, then the teacher's own.
    """
    cells = view.side // STRIDE
    to_cells = np.diag([1 / STRIDE, 1 / STRIDE]) @ view.matrix

    def see(planes: Array) -> Array:
        to_photo = np.array([photo.width / planes.shape[1], photo.height / planes.shape[0], 1])
        matrix = to_cells * to_photo
        seen = [
            cv2.warpAffine(plane, matrix, (cells, cells)) for plane in np.moveaxis(planes, 2, 0)
        ]
        return np.stack(seen).astype(np.float32) / 255

    answer = np.array(labels.answers[photo.teacher_row])
    probs = see(answer)
    if labels.soft is None:
        table = labels.beliefs.tabulate(answer.mean((0, 1)) / 255)
        sets = (table.T @ probs.reshape(len(probs), -1)).reshape(-1, cells, cells)
    else:
        sets = pad_sets(see(np.array(labels.soft[photo.teacher_row])))
    put_objects(sets, photo, View(to_cells, cells))
    return torch.from_numpy(np.concatenate([sets, probs]))


def put_objects(sets: Array, photo: Photo, view: View) -> None:
    """Put an image's objects over the probabilities (sets, cells, cells) of its stuff, in place.

    Where every object is known, all that lies outside of them is stuff; inside a true box around
    a pseudo-mask the teacher may be right that there is more of the object.
    """
    if photo.complete:
        empty = np.ones(sets.shape[1:], bool)
        for labelled in photo.objects:
            if not labelled.true_mask:
                left, top, right, bottom = view.warp_boxes(np.array([labelled.box]))[0]
                rows = slice(max(int(top), 0), max(int(np.ceil(bottom)), 0))
                empty[rows, max(int(left), 0) : max(int(np.ceil(right)), 0)] = False
        for mixed, stuff in NOT_A_THING.items():
            sets[stuff] += sets[mixed] * empty
            sets[mixed] *= ~empty
        sets[0] *= ~empty
    for labelled in sorted(photo.objects, key=lambda one: one.confidence):
        mask = view.warp_mask(decode_mask(labelled)).astype(bool)
        sets[:, mask] = 0
        if labelled.confidence >= SURE:
            belief = 1.0 if labelled.true_mask else DRAWN_BY_A_NET
            sets[0, mask] = labelled.confidence * belief


def to_class_index(label_map: Array) -> Array:
    """Turn `category_id` per pixel into the net's class_index; void becomes `VOID`."""
    classes = np.where(label_map >= FIRST_STUFF_ID, label_map - FIRST_STUFF_ID + 1, 0)
    return np.where(label_map == 0, VOID, classes).astype(np.uint8)


def to_tensor(pixels: Array) -> Tensor:
    """Turn uint8 (H, W, 3) into float (3, H, W) in 0..1."""
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
