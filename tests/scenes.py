"""Images whose every mistake is planted: objects on stuff, seen by two perfect nets."""

from dataclasses import dataclass

import numpy as np
from factories import rle_masks

from fuse.types import (
    Instances,
    PanopticPrediction,
    SegmentInfo,
    SemanticPrediction,
)

SIZE = (96, 160)
CAT, DOG = 3, 8
STUFF = (5, 21, 200)


@dataclass(frozen=True)
class Scene:
    """What is in an image, and what the nets say of it.

    Attributes:
        label_map: int32 (H, W).
        masks: bool (N, H, W), whole objects, from the front to the back.
        category_ids: of the objects.
        scores: of the objects, falling from the front to the back.
    """

    label_map: np.ndarray
    masks: np.ndarray
    category_ids: np.ndarray
    scores: np.ndarray

    def truth(self) -> PanopticPrediction:
        """The panoptic map that a perfect rule makes of this."""
        panoptic_map = np.zeros(SIZE, dtype=np.int32)
        segments = []

        def paint(mask: np.ndarray, category_id: int) -> None:
            free = mask & (panoptic_map == 0)
            if free.any():
                panoptic_map[free] = len(segments) + 1
                y, x = np.nonzero(free)
                bbox = (int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1)
                segments.append(SegmentInfo(len(segments) + 1, category_id, len(y), bbox))

        for mask, category_id in zip(self.masks, self.category_ids.tolist(), strict=True):
            paint(mask, category_id)
        for category_id in STUFF:
            paint(self.label_map == category_id, category_id)
        return PanopticPrediction(panoptic_map, tuple(segments))

    def semantic(self) -> SemanticPrediction:
        """What the semantic net says."""
        return SemanticPrediction(np.ascontiguousarray(self.label_map, dtype=np.int32))

    def instances(self) -> Instances:
        """What the instance net says."""
        count = len(self.masks)
        return Instances(
            boxes=np.zeros((count, 4), dtype=np.float32),
            scores=np.array(self.scores, dtype=np.float64),
            category_ids=np.array(self.category_ids, dtype=np.int32),
            masks=rle_masks(self.masks),
            size=SIZE,
        )


def make_scene(seed: int) -> Scene:
    """Three bands of stuff and four pairs of objects, one of each pair hiding the other."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    first, second = np.sort(rng.integers(24, 72, 2))
    label_map = np.choose((y > first).astype(int) + (y > second + 8), STUFF).astype(np.int32)
    masks, category_ids = [], []
    for column in range(4):
        center_y, center_x = rng.integers(30, 66), 20 + 40 * column
        small = abs(y - center_y) / 12 + abs(x - center_x - 6) / 8 < 1
        large = ((y - center_y) / 22) ** 2 + ((x - center_x) / 15) ** 2 < 1
        masks += [small, large]
        category_ids += rng.permutation([CAT, DOG]).tolist()
    order = np.r_[0:8:2, 1:8:2]  # all that hide first
    shown = np.array(masks)[order]
    chosen = np.array(category_ids, dtype=np.int32)[order]
    # A perfect semantic net sees the objects, too.
    for mask, category_id in zip(shown[::-1], chosen[::-1].tolist(), strict=True):
        label_map = np.where(mask, category_id, label_map)
    return Scene(label_map, shown, chosen, np.linspace(0.95, 0.75, len(shown)))
