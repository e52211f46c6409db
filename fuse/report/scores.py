"""The scores of a report: each image rated, and which of them are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import Any

import numpy as np

from fuse.analysis.opened_run import OpenedRun
from fuse.evaluation.evaluate import Evaluation, summarize_images
from fuse.evaluation.image_scores import ImageScore, ImageScores
from fuse.io.coco.panoptic import ImageId
from fuse.metrics.pq import summarize
from fuse.ops.contingency import count_pairs
from fuse.threads import map_threads
from fuse.types.label_space import id_to_file


@dataclass(frozen=True, slots=True, eq=False)
class RatedImage:
    """What is known of an image before its maps are shown.

    Attributes:
        image_id: of the report.
        file_name: of the image.
        scores: of each run, None without ground truth or where a run lacks the image.
        pq: the same, over the classes that the image has; None where it has none.
        changed: share of the pixels to which another run gives other classes than the first, the
            largest of all; None where no other run has the image.
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
        counts = None
        if self.scores[0]:
            stats = self.scores[0].stats
            columns = {"tp": stats.tp, "fp": stats.fp, "fn": stats.fn}
            counts = {name: int(column.sum()) for name, column in columns.items()}
        return {
            "name": self.file_name,
            "pq": list(self.pq),
            "changed": self.changed,
            "classes": list(map(id_to_file, self.category_ids)),
            "counts": counts,
        }


def rate_images(
    runs: Sequence[OpenedRun],
    *,
    workers: int | None = None,
    on_image: Callable[[], object] | None = None,
) -> list[RatedImage]:
    """Score each image of the first run in each of the runs, and see what differs.

    Raises:
        CocoFormatError: a map is missing or damaged.
    """
    image_ids = list(runs[0].dataset.annotations)
    with map_threads(
        lambda image_id: _rate(image_id, runs), image_ids, workers, on_result=on_image
    ) as rated:
        return list(rated)


def _rate(image_id: ImageId, runs: Sequence[OpenedRun]) -> RatedImage:
    scores = tuple(
        run.scorer.score_file(image_id, run.dataset)
        if run.scorer and image_id in run.dataset.annotations
        else None
        for run in runs
    )
    dataset = runs[0].dataset
    category_ids = {s.category_id for s in dataset.annotations[image_id].segments_info}
    if scores[0]:
        category_ids.update(scores[0].stats.category_ids.tolist())
    results = [
        summarize(score.stats, run.space).all if score else None
        for score, run in zip(scores, runs, strict=True)
    ]
    return RatedImage(
        image_id=image_id,
        file_name=_name_image(image_id, runs[0]),
        scores=scores,
        pq=tuple(result.pq if result and result.n else None for result in results),
        changed=_measure_change(image_id, runs),
        category_ids=tuple(sorted(category_ids)),
    )


def _name_image(image_id: ImageId, run: OpenedRun) -> str:
    """An image's name; the ground truth's where the run's JSON lists no images."""
    if run.scorer and image_id not in run.dataset.images:
        return run.scorer.truth.image_name(image_id)
    return run.dataset.image_name(image_id)


def _measure_change(image_id: ImageId, runs: Sequence[OpenedRun]) -> float | None:
    """Share of an image's pixels that another run gives other classes, the largest of all."""
    first = runs[0]
    others = [run for run in runs[1:] if image_id in run.dataset.annotations]
    return max((_compare_maps(image_id, first, other) for other in others), default=None)


def _compare_maps(image_id: ImageId, first: OpenedRun, second: OpenedRun) -> float:
    """Share of an image's pixels that two runs give different classes."""
    runs = (first, second)
    maps = [run.dataset.load(image_id) for run in runs]
    if maps[0].size != maps[1].size:
        return 1.0
    names, other_names = (
        {0: ""} | {s.segment_id: run.space.by_id[s.category_id].name for s in one.segments_info}
        for one, run in zip(maps, runs, strict=True)
    )
    pairs = zip(*count_pairs(maps[0].panoptic_map, maps[1].panoptic_map), strict=True)
    differ = sum(int(count) for a, b, count in pairs if names[a] != other_names[b])
    return differ / maps[0].panoptic_map.size


def summarize_run(place: int, images: Iterable[RatedImage], run: OpenedRun) -> Evaluation | None:
    """Scores of the run at a place among those that were rated; None without ground truth.

    Raises:
        DataError: images cannot be scored; the message lists what is wrong.
    """
    if run.scorer is None:
        return None
    scores = ImageScores(score for image in images if (score := image.scores[place]))
    return summarize_images(run.scorer, scores)


def choose_images(images: Sequence[RatedImage], count: int) -> list[RatedImage]:
    """The images to be shown, in their order: the worst, the best and the most changed in turn.

    Without figures, images spread evenly over the run.
    """
    if len(images) <= count:
        return list(images)
    pq = {place: pq for place, image in enumerate(images) if (pq := image.pq[0]) is not None}
    changed = {place: share for place, image in enumerate(images) if (share := image.changed)}
    by_pq = sorted(pq, key=lambda place: pq[place])
    by_change = sorted(changed, key=lambda place: -changed[place])
    rankings = [ranking for ranking in (by_pq, by_pq[::-1], by_change) if ranking]
    if not rankings:
        even = np.linspace(0, len(images) - 1, count).round().astype(int).tolist()
        return [images[place] for place in even]
    return [images[place] for place in sorted(islice(take_turns(rankings), count))]


def take_turns(rankings: Sequence[Sequence[int]]) -> Iterator[int]:
    """The first of each ranking, then the second of each, each number once.

    >>> list(take_turns([[1, 2, 3], [3, 2, 1]]))
    [1, 3, 2]
    """
    turns = chain.from_iterable(zip_longest(*rankings))
    yield from dict.fromkeys(place for place in turns if place is not None)
