"""PQ that is updated image by image in a loop, and adds up over processes."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fuse.errors import LabelSpaceError
from fuse.interop.arrays import to_numpy
from fuse.interop.panoptic import read_detectron2, read_tensor, read_transformers
from fuse.metrics.boundary import match_boundaries
from fuse.metrics.matching import match_segments
from fuse.metrics.pq import PQResult, PQStats, summarize
from fuse.types import Category, Int64Array, LabelSpace, PanopticPrediction
from fuse.types.label_space import check_space, id_to_file, list_file_ids

Counts = tuple[np.ndarray[Any, np.dtype[np.float64]], Int64Array, Int64Array, Int64Array, int]


class PanopticQuality:
    """Panoptic quality of all images that it was updated with.

    It holds sums per category and nothing of an image; it can be pickled. In a process group of
    torch.distributed `compute` adds up all ranks.

    Args:
        space: the categories that are scored; or
        things: category ids of things, as of torchmetrics, and
        stuffs: those of stuff; together they are an alternative to the space.
        names: what the class numbers of transformers' and detectron2's outputs mean, as
            ``model.config.id2label`` or detectron2's metadata, where their segments have no names
            of their own. With things and stuffs the numbers are category ids.
        official: match as COCO's panopticapi does; see `fuse.match_segments`.
        boundary: Boundary PQ instead of PQ; see docs/measures.md.

    Attributes:
        space: the categories that are scored.
        images: how many images it was updated with, on this rank.

    Raises:
        ValueError: there is neither a space nor things and stuffs, or both.

    >>> import fuse
    >>> metric = PanopticQuality(things={1}, stuffs={7})
    >>> pairs = np.array([[[1, 5], [7, 0], [7, 0]]])  # a thing and two pixels of stuff
    >>> metric.update(pairs, pairs)
    >>> metric.compute().all.pq
    1.0
    """

    def __init__(
        self,
        *,
        space: LabelSpace | None = None,
        things: Collection[int] | None = None,
        stuffs: Collection[int] | None = None,
        names: Any = None,  # noqa: ANN401 - names, or detectron2's metadata
        official: bool = False,
        boundary: bool = False,
    ) -> None:
        if (space is None) == (things is None and stuffs is None):
            raise ValueError("give either space, or things and stuffs")
        if space is not None:
            check_space(space)
        self.space = space or _make_space(things or (), stuffs or ())
        self.official = official
        self.boundary = boundary
        own = {category.file_id: category.name for category in self.space.categories}
        self._names = own if space is None else names
        self._kinds = self.space.thing_ids, self.space.stuff_ids
        self._rows = {category_id: row for row, category_id in enumerate(self.space.by_id)}
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        count = len(self._rows)
        self._iou_sum = np.zeros(count)
        self._tp, self._fp, self._fn = (np.zeros(count, dtype=np.int64) for _ in range(3))
        self.images = 0

    def update(self, preds: Any, target: Any) -> None:  # noqa: ANN401
        """Count an image, or a batch.

        Args:
            preds: a `PanopticResult`, a `PanopticPrediction`, the dict of transformers, the pair
                of detectron2, category and instance ids (H, W, 2) or (B, H, W, 2) as torchmetrics
                takes them; or a list of these.
            target: ground truth in any of these forms. Of arrays, categories that are not scored
                are void.

        Raises:
            LabelSpaceError: a class is not in the space; of a batch nothing is counted then.
            ValueError: there are not as many of both, two maps differ in size, or an array of
                predictions has a category that is not scored.
        """
        predicted, true = list(self._read(preds, is_truth=False)), list(self._read(target))
        if len(predicted) != len(true):
            raise ValueError(f"{len(predicted)} predictions for {len(true)} targets")
        pairs = zip(true, predicted, strict=True)
        match = match_boundaries if self.boundary else match_segments
        counted = [match(*pair, official=self.official) for pair in pairs]
        rows = [[self._find_row(i) for i in stats.category_ids.tolist()] for stats in counted]
        for stats, places in zip(counted, rows, strict=True):
            self._iou_sum[places] += stats.iou_sum
            self._tp[places] += stats.tp
            self._fp[places] += stats.fp
            self._fn[places] += stats.fn
        self.images += len(counted)

    def compute(self) -> PQResult:
        """The scores of all images so far, those of all ranks in a process group.

        All NaN where there was nothing. Every rank must call it.
        """
        iou_sum, tp, fp, fn, _ = _sum_over_ranks(self._counts)
        category_ids = np.array(list(self._rows), dtype=np.int32)
        return summarize(PQStats(category_ids, iou_sum, tp, fp, fn), self.space)

    def merge_state(self, other: PanopticQuality) -> None:
        """Add what another one counted.

        Raises:
            ValueError: it scores other categories, or in another way.
        """
        if not isinstance(other, PanopticQuality):
            raise TypeError(f"PanopticQuality is expected, got {type(other).__name__}")
        if self._kind != other._kind:
            raise ValueError(f"{self!r} and {other!r} do not add up: they score differently")
        self._iou_sum += other._iou_sum
        self._tp += other._tp
        self._fp += other._fp
        self._fn += other._fn
        self.images += other.images

    def __add__(self, other: PanopticQuality) -> PanopticQuality:
        total = PanopticQuality(
            space=self.space, official=self.official, boundary=self.boundary, names=self._names
        )
        total.merge_state(self)
        total.merge_state(other)
        return total

    def __radd__(self, other: object) -> PanopticQuality:
        return self if other == 0 else NotImplemented  # for sum()

    def __repr__(self) -> str:
        mode = (", official" if self.official else "") + (", boundary" if self.boundary else "")
        return f"PanopticQuality({self.space.name}, {self.images} images{mode})"

    @property
    def _kind(self) -> tuple[LabelSpace, bool, bool]:
        """What two must share to add up."""
        return self.space, self.official, self.boundary

    @property
    def _counts(self) -> Counts:
        return self._iou_sum, self._tp, self._fp, self._fn, self.images

    def _find_row(self, category_id: int) -> int:
        if category_id not in self._rows:
            file_id = id_to_file(category_id)
            raise LabelSpaceError(f"category_id {file_id} is not in {self.space.name}")
        return self._rows[category_id]

    def _read(self, given: Any, *, is_truth: bool = True) -> Iterator[PanopticPrediction]:  # noqa: ANN401
        """The maps of one image or of several."""
        if isinstance(given, PanopticPrediction):
            own_space = getattr(given, "space", self.space)
            if own_space is not self.space and own_space != self.space:
                raise LabelSpaceError(f"a result of {own_space.name}, not of {self.space.name}")
            yield given
        elif isinstance(given, Mapping):
            yield read_transformers(given, self.space, self._names)
        elif _is_detectron2(given):
            yield read_detectron2(given, self.space, self._names)
        elif isinstance(given, list | tuple):
            for one in given:
                yield from self._read(one, is_truth=is_truth)
        elif hasattr(given, "ndim"):
            arrays = to_numpy(given)
            for pairs in arrays if arrays.ndim == 4 else [arrays]:
                yield self._read_pairs(pairs, is_truth=is_truth)
        else:
            raise TypeError(f"a panoptic map is expected, got {type(given).__name__}")

    def _read_pairs(self, pairs: np.ndarray[Any, Any], *, is_truth: bool) -> PanopticPrediction:
        void = None if is_truth else {-1, self.space.none_id}
        return read_tensor(pairs, *map(list_file_ids, self._kinds), void=void)


def _is_detectron2(given: object) -> bool:
    """Whether something is a map and a list of its segments."""
    if not isinstance(given, tuple) or len(given) != 2 or not hasattr(given[0], "ndim"):
        return False
    return given[0].ndim == 2 and (given[1] is None or isinstance(given[1], Sequence))


def _make_space(things: Collection[int], stuffs: Collection[int]) -> LabelSpace:
    """A label space of bare ids; ValueError where one is both."""
    both = set(things) & set(stuffs)
    if both:
        raise ValueError(f"category ids {sorted(both)} are both things and stuffs")
    ids = [*((i, True) for i in things), *((i, False) for i in stuffs)]
    return LabelSpace(
        "things and stuffs", tuple(Category(int(i), str(i), isthing) for i, isthing in sorted(ids))
    )


def _sum_over_ranks(counts: Counts) -> Counts:
    """The sums of all ranks in their order; the counts as they are where there is one process."""
    # Where nobody imported it there is no group; so torch need not be loaded for this.
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return counts
    gathered: list[Counts] = [counts] * distributed.get_world_size()
    distributed.all_gather_object(gathered, counts)
    iou_sums, tps, fps, fns, images = zip(*gathered, strict=True)
    return sum(iou_sums), sum(tps), sum(fps), sum(fns), sum(images)
