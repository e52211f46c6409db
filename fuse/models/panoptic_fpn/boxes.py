"""Anchors, proposals, detections and pooling of regions, for one image at a time.

The rules and numbers are those of detectron2 (modeling/anchor_generator.py, box_regression.py,
proposal_generator/proposal_utils.py, roi_heads/fast_rcnn.py and poolers.py, and the defaults in
config/defaults.py). They differ from torchvision's in the anchors, which are not rounded, in the
pooling, which is half a pixel off (ROIAlignV2), and in what is filtered when.

Boxes are xyxy in pixels of the net's input, without its padding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision import ops

from fuse.models import roi_align
from fuse.models.proposals import suppress_per_group

ANCHOR_SIDES = (32, 64, 128, 256, 512)  # pixels, square root of the area; one per level
ANCHOR_RATIOS = (0.5, 1.0, 2.0)  # height / width
STRIDES = (4, 8, 16, 32, 64)  # of the levels that propose
POOLED_STRIDES = STRIDES[:4]  # of the levels that regions are pooled from
DELTA_WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # of a detection's dx, dy, dw, dh; 1 for proposals
LARGEST_GROWTH = math.log(1000 / 16)  # of dw and dh, so that exp stays finite

PROPOSALS = 1000  # kept per level before suppression, and of all levels after it
PROPOSAL_OVERLAP = 0.7  # IoU above which the lower score is suppressed, per level
SCORE_THRESHOLD = 0.05  # detections must exceed it
DETECTION_OVERLAP = 0.5  # the same of detections, per class
DETECTIONS = 100  # kept per image

CANONICAL_SIDE = 224  # a box of so many pixels pools from the canonical level (FPN, equation 1)
CANONICAL_LEVEL = 2  # counted from stride 4, so stride 16


def make_anchors(
    grid: Sequence[int],
    level: int,
    device: torch.device,
    sides: Sequence[int] = ANCHOR_SIDES,
) -> Tensor:
    """Anchors of one level of the pyramid.

    Args:
        grid: (height, width) of the level in cells.
        level: 0 is stride 4.
        device: where to make them.
        sides: of the anchors of each level.

    Returns:
        float32 (height * width * 3, 4), row by row, the ratios of a cell together; the anchors
        of a cell are centred on its upper left corner.

    >>> make_anchors((1, 2), 0, torch.device("cpu"))[[1, 4]].tolist()
    [[-16.0, -16.0, 16.0, 16.0], [-12.0, -16.0, 20.0, 16.0]]
    """
    shapes = []
    for ratio in ANCHOR_RATIOS:
        width = math.sqrt(sides[level] ** 2 / ratio)
        shapes.append((-width / 2, -width * ratio / 2, width / 2, width * ratio / 2))
    y, x = torch.meshgrid(
        torch.arange(grid[0], device=device), torch.arange(grid[1], device=device), indexing="ij"
    )
    corners = torch.stack((x, y, x, y), dim=-1).reshape(-1, 1, 4) * float(STRIDES[level])
    return (corners + torch.tensor(shapes, device=device)).reshape(-1, 4)


def decode_boxes(
    deltas: Tensor, boxes: Tensor, weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)
) -> Tensor:
    """Boxes moved and scaled by a net's answer (R-CNN, appendix C).

    Args:
        deltas: (N, K, 4), dx, dy in sides of the box and dw, dh as logarithms, times weights.
        boxes: (N, 4).
        weights: of the four.

    Returns:
        (N, K, 4).
    """
    deltas = deltas / torch.tensor(weights, device=deltas.device)
    shift, growth = deltas[..., :2], deltas[..., 2:].clamp(max=LARGEST_GROWTH)
    sides = (boxes[:, 2:] - boxes[:, :2])[:, None]
    centers = boxes[:, None, :2] + 0.5 * sides + shift * sides
    half = 0.5 * growth.exp() * sides
    return torch.cat((centers - half, centers + half), dim=-1)


def select_proposals(
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    anchors: Sequence[Tensor],
    size: Sequence[int],
    count: int = PROPOSALS,
) -> Tensor:
    """The best proposals of one image.

    Args:
        logits: (A,) per level, how likely an object is there.
        deltas: (A, 4) per level.
        anchors: (A, 4) per level.
        size: (height, width) of the image in the input.
        count: most per level before suppression, and of all levels after it.

    Returns:
        boxes (P, 4) inside the image, P <= count, best first.
    """
    found, scores, levels = [], [], []
    for level, (level_logits, level_deltas, level_anchors) in enumerate(
        zip(logits, deltas, anchors, strict=True)
    ):
        level_scores, order = level_logits.sort(descending=True)
        order = order[:count]
        found.append(decode_boxes(level_deltas[order, None], level_anchors[order])[:, 0])
        scores.append(level_scores[:count])
        levels.append(torch.full_like(order, level))
    boxes, score, place = torch.cat(found), torch.cat(scores), torch.cat(levels)
    finite = boxes.isfinite().all(dim=1) & score.isfinite()
    inside: Tensor = ops.clip_boxes_to_image(boxes, (size[0], size[1]))
    kept = finite & has_area(inside)
    inside, score, place = inside[kept], score[kept], place[kept]
    return inside[suppress_per_group(inside, score, place, PROPOSAL_OVERLAP)[:count]]


def select_detections(
    probs: Tensor, boxes: Tensor, size: Sequence[int], score_threshold: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The detections of one image.

    Args:
        probs: (P, K + 1), softmax over the classes, none of them last.
        boxes: (P, K, 4), a box per proposal and class.
        size: (height, width) of the image in the input.
        score_threshold: detections below it are not wanted. The others stay the same, since
            suppression goes from high scores to low.

    Returns:
        boxes (D, 4) inside the image, scores (D,), class indices (D,); D <= 100, best first.
    """
    finite = boxes.isfinite().all(dim=(1, 2)) & probs.isfinite().all(dim=1)
    boxes = ops.clip_boxes_to_image(boxes[finite], (size[0], size[1]))
    scores = probs[finite, :-1]
    wanted = (scores > SCORE_THRESHOLD) & (scores >= score_threshold)
    proposal, class_index = wanted.nonzero(as_tuple=True)
    boxes, scores = boxes[proposal, class_index], scores[wanted]
    kept = suppress_per_group(boxes, scores, class_index, DETECTION_OVERLAP)
    kept = kept[:DETECTIONS]
    return boxes[kept], scores[kept], class_index[kept]


def has_area(boxes: Tensor) -> Tensor:
    """Which boxes (N, 4) have both sides above 0, bool (N,)."""
    return (boxes[:, 2:] > boxes[:, :2]).all(dim=1)


def rescale_boxes(boxes: Tensor, source: Sequence[int], target: Sequence[int]) -> Tensor:
    """Boxes (N, 4) in an image of size source as boxes inside one of size target."""
    y, x = (target[axis] / source[axis] for axis in (0, 1))
    scaled = boxes * torch.tensor((x, y, x, y), device=boxes.device)
    inside: Tensor = ops.clip_boxes_to_image(scaled, (target[0], target[1]))
    return inside


def assign_levels(boxes: Tensor) -> Tensor:
    """int64 (N,): the level each box pools from, 0 for stride 4 to 3 for stride 32.

    >>> assign_levels(torch.tensor([[0.0, 0, 9, 9], [0, 0, 224, 224], [0, 0, 900, 900]])).tolist()
    [0, 2, 3]
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    ratios = sides.prod(dim=1).sqrt() / CANONICAL_SIDE
    levels = (CANONICAL_LEVEL + torch.log2(ratios + 1e-8)).floor()
    return levels.clamp(0, len(POOLED_STRIDES) - 1).long()


def pool_regions(features: Sequence[Tensor], boxes: Tensor, cells: int) -> Tensor:
    """Features inside each box, from the level that fits the box (ROIAlignV2).

    Args:
        features: one image's float32 levels (C, h, w), stride 4 first; more than 4 are left.
        boxes: (N, 4).
        cells: per side of the answer.

    Returns:
        float32 (N, C, cells, cells).
    """
    return roi_align.pool_regions(
        [level[None] for level in features[: len(POOLED_STRIDES)]],
        torch.cat((torch.zeros_like(boxes[:, :1]), boxes), dim=1),
        assign_levels(boxes),
        [1 / stride for stride in POOLED_STRIDES],
        (cells, cells),
        samples=0,
        aligned=True,
    )
