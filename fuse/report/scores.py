"""The figures of a report: each image scored, the most telling ones chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import Any

import numpy as np

from fuse.evaluation.image_scores import ImageScore, ImageScores
from fuse.io.coco.panoptic import ImageId
from fuse.metrics.pq import PQResult, PQStats, summarize
from fuse.ops.contingency import count_pairs
from fuse.report.runs import ShownRun
from fuse.threads import map_threads
from fuse.types import LabelSpace, PanopticPrediction


@dataclass(frozen=True, slots=True, eq=False)
class RatedImage:
    """What is known of an image before its maps are shown.

    Attributes:
        image_id: of the report.
        file_name: of the image.
        scores: of each run, None without ground truth or where a run lacks the image.
        pq: the same, over the classes that the image has; None where it has none.
        changed: share of the pixels to which the two runs give different classes, None where
            there are no two.
        category_ids: classes that occur in its fused map or in its truth.
    """

    image_id: ImageId
    file_name: str
    scores: tuple[ImageScore | None, ...]
    pq: tuple[float | None, ...]
    changed: float | None
    category_ids: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        stats = self.scores[0].stats if self.scores[0] else None
        return {
            "name": self.file_name,
            "pq": list(self.pq),
            "changed": self.changed,
            "classes": list(self.category_ids),
            "counts": _total(stats) if stats else None,
        }


def _total(stats: PQStats) -> dict[str, int]:
    columns = {"tp": stats.tp, "fp": stats.fp, "fn": stats.fn}
    return {name: int(column.sum()) for name, column in columns.items()}


def rate_images(
    runs: Sequence[ShownRun], *, workers: int | None, on_image: Callable[[], None]
) -> list[RatedImage]:
    """Score each image of the first run in each run, and see what differs between the two.

    Args:
        runs: one or two.
        workers: threads, by default one per processor.
        on_image: called after each image.

    Raises:
        CocoFormatError: a map is missing or damaged.
    """
    image_ids = list(runs[0].dataset.annotations)
    rated = []
    with map_threads(lambda image_id: _rate(image_id, runs), image_ids, workers) as images:
        for image in images:
            rated.append(image)
            on_image()
    return rated


def _rate(image_id: ImageId, runs: Sequence[ShownRun]) -> RatedImage:
    scores = tuple(
        run.scorer.score_file(image_id, run.dataset)
        if run.scorer and image_id in run.dataset.annotations
        else None
        for run in runs
    )
    first = runs[0]
    said = {s.category_id for s in first.dataset.annotations[image_id].segments_info}
    if scores[0]:
        said |= set(scores[0].stats.category_ids.tolist())
    return RatedImage(
        image_id=image_id,
        file_name=first.dataset.image_name(image_id),
        scores=scores,
        pq=tuple(
            _image_pq(score, run.space) if score else None
            for score, run in zip(scores, runs, strict=True)
        ),
        changed=_measure_change(image_id, runs),
        category_ids=tuple(sorted(said)),
    )


def _image_pq(score: ImageScore, space: LabelSpace) -> float | None:
    result = summarize(score.stats, space).all
    return result.pq if result.n else None


def _measure_change(image_id: ImageId, runs: Sequence[ShownRun]) -> float | None:
    """Share of an image's pixels that two runs give different classes."""
    if len(runs) < 2 or any(image_id not in run.dataset.annotations for run in runs):
        return None
    maps = [run.dataset.load(image_id) for run in runs]
    if maps[0].size != maps[1].size:
        return 1.0
    names, other_names = (
        name_segments(panoptic, run.space) for panoptic, run in zip(maps, runs, strict=True)
    )
    pairs = zip(*count_pairs(maps[0].panoptic_map, maps[1].panoptic_map), strict=True)
    differ = sum(int(count) for a, b, count in pairs if names[a] != other_names[b])
    return differ / maps[0].panoptic_map.size


def name_segments(prediction: PanopticPrediction, space: LabelSpace) -> dict[int, str]:
    """The class name of each segment_id; void has none."""
    named = {s.segment_id: space.by_id[s.category_id].name for s in prediction.segments_info}
    return {0: "", **named}


def summarize_run(place: int, images: Iterable[RatedImage], run: ShownRun) -> PQResult | None:
    """PQ of a run; None without ground truth.

    Args:
        place: of the run among those that were rated.
        images: what `rate_images` returned, of those that the run has.
        run: that run.

    Raises:
        DataError: images cannot be scored; the message lists what is wrong.
    """
    if run.scorer is None:
        return None
    scores = ImageScores(score for image in images if (score := image.scores[place]))
    return run.scorer.evaluation(scores).result


def choose_images(images: Sequence[RatedImage], count: int) -> list[RatedImage]:
    """The images to be shown, in their order: the worst, the best and the most changed in turn.

    Without figures, images spread evenly over the run.

    Args:
        images: all.
        count: how many.
    """
    if len(images) <= count:
        return list(images)
    places = range(len(images))
    by_pq = sorted(
        (p for p in places if images[p].pq[0] is not None), key=lambda p: images[p].pq[0] or 0.0
    )
    by_change = [p for p in places if images[p].changed]
    by_change.sort(key=lambda p: -(images[p].changed or 0))
    even = np.linspace(0, len(images) - 1, count).round().astype(int).tolist()
    rankings = [ranking for ranking in (by_pq, by_pq[::-1], by_change) if ranking]
    chosen = dict.fromkeys(islice(take_turns(rankings), count)) if rankings else dict.fromkeys(even)
    return [images[place] for place in sorted(chosen)]


def take_turns(rankings: Sequence[Sequence[int]]) -> Iterator[int]:
    """The first of each ranking, then the second of each, each number once.

    >>> list(take_turns([[1, 2, 3], [3, 2, 1]]))
    [1, 3, 2]
    """
    turns = chain.from_iterable(zip_longest(*rankings))
    yield from dict.fromkeys(place for place in turns if place is not None)
