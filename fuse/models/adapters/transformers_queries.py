"""Answers of nets that predict masks and what each mask shows, as scores per class or per mask."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from fuse.models.adapters.transformers_input import InputView

MOST_INSTANCES = 100  # per image, as in COCO's evaluation
QUERIES_AT_A_TIME = 16  # of which masks are held at the input's size
LEAST_SCORE = 1e-6  # whose logarithm is still far from float16's smallest

Found = tuple[int, int, float]  # query, class_index, score


def sum_queries(class_logits: Tensor, mask_logits: Tensor) -> Tensor:
    """Scores per class and cell from queries, as logits (C, h, w).

    The score of a class is the sum over queries of the probability that the query is of the
    class times that of its mask (Cheng et al. 2021, *Per-Pixel Classification is Not All You
    Need*, section 3.4). Its logarithm is the logit, so that a softmax gives back the share.

    Args:
        class_logits: (Q, C + 1), the last column is "no object".
        mask_logits: (Q, h, w).
    """
    return _add_up(class_logits, mask_logits).clamp(min=LEAST_SCORE).log()


def _add_up(class_logits: Tensor, mask_logits: Tensor) -> Tensor:
    classes = class_logits.softmax(-1)[:, :-1]
    return torch.einsum("qc,qhw->chw", classes, mask_logits.sigmoid())


def join_pieces(
    class_logits: Tensor, mask_logits: Tensor, views: Sequence[InputView]
) -> tuple[Tensor, tuple[int, int]]:
    """`sum_queries` over an image that went in as overlapping squares along its long side.

    Where squares overlap their scores are averaged, as EoMT's own code does. The grid is that of
    the squares, carried on over the whole image; the masks of a square that starts between two
    cells are moved by the rest.

    Args:
        class_logits: (N, Q, C + 1), one square each.
        mask_logits: (N, Q, h, w).
        views: N.

    Returns:
        Logits (C, H, W), and the (height, width) in pixels of the resized image that they cover.
    """
    resized, padded = views[0].resized, views[0].padded
    axis = 0 if resized[0] > resized[1] else 1
    cells = mask_logits.shape[2 + axis]
    stride = padded[axis] / cells
    total = max(-(-resized[axis] // stride), cells)
    places = torch.arange(int(total), device=mask_logits.device)
    shape = [class_logits.shape[2] - 1, *mask_logits.shape[2:]]
    shape[1 + axis] = len(places)
    sums = torch.zeros(shape, device=mask_logits.device)
    counts = torch.zeros(len(places), device=mask_logits.device)
    for classes, masks, view in zip(class_logits, mask_logits, views, strict=True):
        inside = places - view.start[axis] / stride  # in cells of the square
        covered = (inside >= -0.5) & (inside < cells - 0.5)
        scores = _add_up(classes, _sample(masks, inside[covered], 1 + axis))
        sums.index_add_(1 + axis, places[covered], scores)
        counts[covered] += 1
    counts = counts.reshape(-1, 1) if axis == 0 else counts
    covers = [float(side) for side in padded]
    covers[axis] = len(places) * stride
    logits = (sums / counts.clamp(min=1)).clamp(min=LEAST_SCORE).log()
    return logits, (round(covers[0]), round(covers[1]))


def _sample(masks: Tensor, places: Tensor, axis: int) -> Tensor:
    """Linear interpolation of masks (Q, h, w) at places in cells along an axis."""
    before = places.floor()
    weight = places - before
    last = masks.shape[axis] - 1
    first = masks.index_select(axis, before.clamp(0, last).long())
    second = masks.index_select(axis, (before + 1).clamp(0, last).long())
    weight = weight.reshape(-1, 1) if axis == 1 else weight
    return first + weight * (second - first)


def label_pixels(
    class_logits: Tensor,
    mask_logits: Tensor,
    views: Sequence[InputView],
    size: tuple[int, int],
) -> Tensor:
    """The best class of each pixel, masks upsampled to the input before they are looked at.

    So the papers evaluate, and transformers' methods for EoMT and Mask2Former: masks to the input,
    the sums of `sum_queries` there, what overlaps averaged, scores to the image. It takes memory
    for all classes at the input's size.

    Args:
        class_logits: (N, Q, C + 1), one input each.
        mask_logits: (N, Q, h, w).
        views: N.
        size: (height, width) of the image.

    Returns:
        class_index (height, width).
    """
    height, width = views[0].resized
    sums = torch.zeros((class_logits.shape[2] - 1, height, width), device=mask_logits.device)
    counts = torch.zeros((height, width), device=mask_logits.device)
    for classes, masks, view in zip(class_logits.softmax(-1), mask_logits, views, strict=True):
        place = tuple(
            slice(start, min(start + side, end))
            for start, side, end in zip(view.start, view.padded, view.resized, strict=True)
        )
        rows, columns = (part.stop - part.start for part in place)
        for some, their_masks in zip(
            classes[:, :-1].split(QUERIES_AT_A_TIME), masks.split(QUERIES_AT_A_TIME), strict=True
        ):
            upsampled = F.interpolate(their_masks[None], view.padded, mode="bilinear")[0]
            inside = upsampled[:, :rows, :columns].sigmoid()
            sums[:, *place] += torch.einsum("qc,qhw->chw", some, inside)
        counts[place] += 1
    scores = F.interpolate((sums / counts)[None], size, mode="bilinear")[0]
    return scores.argmax(0)


def rank_queries(
    class_logits: Tensor, mask_logits: Tensor, is_wanted: Sequence[bool], score_threshold: float
) -> list[Found]:
    """The best instances of an image, each a query under one of its classes.

    The score is the class's probability times the mean of the mask's inside itself
    (Mask2Former's instance inference).

    Args:
        class_logits: (Q, C + 1), the last column is "no object".
        mask_logits: (Q, h, w).
        is_wanted: C, whether a class may be answered.
        score_threshold: the lowest score.
    """
    classes = class_logits.softmax(-1)[:, :-1]
    inside = mask_logits > 0
    sureness = (mask_logits.sigmoid() * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
    return _take_best(classes, sureness, is_wanted, score_threshold)


def rank_detections(
    class_logits: Tensor, is_wanted: Sequence[bool], score_threshold: float
) -> list[Found]:
    """The best instances of queries whose classes do not exclude each other, (Q, C)."""
    classes = class_logits.sigmoid()
    return _take_best(classes, torch.ones_like(classes[:, 0]), is_wanted, score_threshold)


def rank_segments(class_logits: Tensor, score_threshold: float) -> list[Found]:
    """The queries that are something, each under its best class and scored by that alone.

    That is what MaskFormer's panoptic inference weighs the masks with (Cheng et al. 2021, section
    3.4).
    """
    scores, indices = class_logits.softmax(-1).max(-1)
    nothing = class_logits.shape[1] - 1
    ranked = zip(scores.double().tolist(), indices.tolist(), strict=True)
    return [
        (query, index, min(score, 1.0))
        for query, (score, index) in enumerate(ranked)
        if index != nothing and score >= score_threshold
    ]


def _take_best(
    classes: Tensor, sureness: Tensor, is_wanted: Sequence[bool], score_threshold: float
) -> list[Found]:
    best = classes.flatten().topk(min(MOST_INSTANCES, classes.numel())).indices
    queries, indices = best // classes.shape[1], best % classes.shape[1]
    scores = (classes.flatten()[best] * sureness[queries]).cpu().double().tolist()
    ranked = zip(queries.tolist(), indices.tolist(), scores, strict=True)
    return [
        (query, index, min(score, 1.0))
        for query, index, score in ranked
        if is_wanted[index] and score >= score_threshold
    ]
