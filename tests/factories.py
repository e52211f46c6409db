"""Small random objects for tests; every function draws from the generator it is given."""

import numpy as np
from pycocotools import mask as coco_mask

from fuse.types import (
    BoxMasks,
    Category,
    Instances,
    Int32Array,
    LabelSpace,
    PanopticPrediction,
    RleMasks,
    SegmentInfo,
    SemanticLogits,
    SemanticPrediction,
    TargetLogits,
)

# Ids with gaps, things and stuff in turn, so that an index taken for an id shows.
TOY_SPACE = LabelSpace(
    "toy",
    (
        Category(3, "cat", True),
        Category(5, "sky", False),
        Category(8, "dog", True),
        Category(21, "grass", False),
        Category(200, "road", False),
    ),
)


def blocky_map(
    rng: np.random.Generator, size: tuple[int, int], values: list[int], block: int = 3
) -> Int32Array:
    """int32 (H, W) of the given values in blocks of about block x block pixels."""
    height, width = size
    coarse = rng.choice(values, size=(height // block + 1, width // block + 1))
    return np.ascontiguousarray(
        coarse.repeat(block, axis=0).repeat(block, axis=1)[:height, :width], dtype=np.int32
    )


def semantic_prediction(
    rng: np.random.Generator, size: tuple[int, int], space: LabelSpace = TOY_SPACE
) -> SemanticPrediction:
    """A blocky label map with void and every category of the space."""
    return SemanticPrediction(blocky_map(rng, size, [0, *space.by_id]))


def target_logits(
    rng: np.random.Generator,
    size: tuple[int, int],
    grid: tuple[int, int],
    category_ids: list[int] | None = None,
    scale: float = 4.0,
) -> TargetLogits:
    """Logits of void and every category of TOY_SPACE, or of the given ids, over an image."""
    ids = np.array([0, *TOY_SPACE.by_id] if category_ids is None else category_ids, np.int32)
    values = rng.normal(scale=scale, size=(len(ids), *grid)).astype(np.float16)
    return TargetLogits(SemanticLogits.half_pixel(values, size), ids)


def full_masks(rng: np.random.Generator, size: tuple[int, int], count: int) -> np.ndarray:
    """bool (count, H, W): ellipses, rectangles, noise and empty masks in turn, overlapping."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    masks = np.zeros((count, height, width), dtype=bool)
    for index in range(count):
        center_y, center_x = rng.random(2) * size
        half_y, half_x = rng.random(2) * size / 2 + 0.5
        off_y, off_x = abs(y - center_y) / half_y, abs(x - center_x) / half_x
        kind = rng.integers(8)
        if kind < 4:
            masks[index] = off_y**2 + off_x**2 < 1
        elif kind < 6:
            masks[index] = (off_y < 1) & (off_x < 1)
        elif kind < 7:
            masks[index] = rng.random(size) < 0.4
    return masks


def rle_masks(masks: np.ndarray) -> RleMasks:
    """The RLE form of bool (N, H, W) masks."""
    return RleMasks(
        tuple(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks)
    )


def _scores(rng: np.random.Generator, count: int) -> np.ndarray:
    """Tenths between 0.3 and 1, so that ties and scores at the threshold are common."""
    return rng.integers(3, 11, count) / 10


def rle_instances(
    rng: np.random.Generator, size: tuple[int, int], count: int, space: LabelSpace = TOY_SPACE
) -> Instances:
    """Instances with hard masks and many equal scores."""
    return Instances(
        boxes=np.zeros((count, 4), dtype=np.float32),
        scores=_scores(rng, count),
        category_ids=rng.choice(space.thing_ids, count).astype(np.int32),
        masks=rle_masks(full_masks(rng, size, count)),
        size=size,
    )


def box_instances(
    rng: np.random.Generator,
    size: tuple[int, int],
    count: int,
    space: LabelSpace = TOY_SPACE,
    samples: int = 28,
) -> Instances:
    """Instances with soft masks; boxes of all sizes, some over the border of the image."""
    height, width = size
    center = rng.uniform(-0.1, 1.1, (count, 2)) * (width, height)
    half = rng.random((count, 2)) ** 2 * (width, height) / 1.5
    return Instances(
        boxes=np.concatenate([center - half, center + half], axis=1).astype(np.float32),
        scores=_scores(rng, count),
        category_ids=rng.choice(space.thing_ids, count).astype(np.int32),
        masks=BoxMasks(soft_masks(rng, count, samples)),
        size=size,
    )


def soft_masks(rng: np.random.Generator, count: int, samples: int = 28) -> np.ndarray:
    """float32 (count, samples, samples): noisy ellipses with soft rims."""
    y, x = np.mgrid[:samples, :samples] / max(samples - 1, 1) - 0.5
    radii = rng.uniform(0.2, 0.7, (count, 2, 1, 1))
    inside = 1 - (y / radii[:, 0]) ** 2 - (x / radii[:, 1]) ** 2
    noise = rng.normal(size=(count, samples, samples)) * rng.choice([0.0, 0.5, 3.0], (count, 1, 1))
    return (1 / (1 + np.exp(-6 * inside - noise))).astype(np.float32)


def panoptic_truth(
    rng: np.random.Generator,
    size: tuple[int, int],
    space: LabelSpace = TOY_SPACE,
    *,
    segments: int = 8,
    block: int = 3,
    crowds: bool = True,
) -> PanopticPrediction:
    """A blocky panoptic map with void, ids in no order and, where asked for, crowds."""
    ids = rng.choice(2**24 - 1, segments, replace=False) + 1
    panoptic_map = blocky_map(rng, size, [0, *ids.tolist()], block)
    present = np.unique(panoptic_map[panoptic_map > 0])
    return PanopticPrediction(
        panoptic_map, tuple(_describe(rng, panoptic_map, i, space, crowds=crowds) for i in present)
    )


def _describe(
    rng: np.random.Generator,
    panoptic_map: Int32Array,
    segment_id: np.int32,
    space: LabelSpace,
    *,
    crowds: bool,
) -> SegmentInfo:
    y, x = np.nonzero(panoptic_map == segment_id)
    category_id = int(rng.choice(list(space.by_id)))
    return SegmentInfo(
        segment_id=int(segment_id),
        category_id=category_id,
        area=len(y),
        bbox=tuple(int(v) for v in (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)),
        iscrowd=crowds and space.by_id[category_id].isthing and rng.random() < 0.2,
    )
