"""Many rules and thresholds over saved predictions: no net runs, each image is read once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from fuse.analysis.opened_run import read_truth_of
from fuse.errors import ConfigError, DataError
from fuse.evaluation.measured import draw_measure, find_interval
from fuse.evaluation.scorer import TruthScorer
from fuse.fusion import METHODS, THRESHOLDS, FusionConfig
from fuse.io.coco.panoptic import ImageId
from fuse.io.csv_files import read_pairs, write_table
from fuse.io.files import StrPath
from fuse.metrics.matching import match_segments
from fuse.metrics.measures import PQ_MEASURES, ComparedMaps, average_results, count_measures
from fuse.metrics.pq import PQResult, PQStats, sum_stats, summarize
from fuse.runs.saved_predictions import SavedPredictions, open_saved_predictions
from fuse.threads import count_steps, map_threads
from fuse.types import LabelSpace, PanopticPrediction
from fuse.types.short_repr import ShortRepr

NUMBER_KEYS = (*THRESHOLDS, "stuff_score", "temperature")
TEXT_KEYS = ("rule", "class_choice", "vote_among", "pairs")
ALL_PARAMETERS = {name for rule in METHODS.values() for name in rule.parameters}
MAX_SETTINGS = 100_000  # more is a slip of the pen

Layers = Mapping[str, PQStats]  # of one image, see `fuse.metrics.measures`


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """One point of the grid and the PQ it gives on the images it is chosen by.

    Attributes:
        point: the value of each key that was varied, without those that its rule lacks.
        fusion: all that was set.
        result: PQ, or the measure that was chosen by.
    """

    point: Mapping[str, Any]
    fusion: FusionConfig
    result: PQResult

    @property
    def pq(self) -> float:
        """PQ of all, 0 where nothing was scored."""
        return self.result.all.pq if self.result.all.n else 0.0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SweepResult(ShortRepr):
    """A grid, scored.

    Attributes:
        keys: what was varied.
        settings: in the order of the grid.
        best: the setting of the highest PQ, the first of equals.
        images: how many images the settings were chosen by.
        held_out: PQ of `best` on the other images, None where there are none.
        objective: the measure that the settings are ranked by, of `PQ_MEASURES`.
        interval: 95 % of bootstrap resamples of `best` lie in it; over the images held out
            where there are any, else over those it was chosen by. None where these hold nothing
            to score.
    """

    keys: tuple[str, ...]
    settings: tuple[Setting, ...]
    best: Setting
    images: int
    held_out: PQResult | None
    interval: tuple[float, ...] | None
    objective: str = "pq"

    def to_json(self) -> dict[str, Any]:
        """The result in plain values."""
        objective = {} if self.objective == "pq" else {"objective": self.objective}
        return {
            **objective,
            "settings": [self._row(setting) for setting in self.settings],
            "best": self._row(self.best),
            "photos": self.images,
            "held_out": self.held_out.to_json()["pq"] if self.held_out else None,
            "interval": self.interval and list(self.interval),
        }

    def _row(self, setting: Setting) -> dict[str, Any]:
        pq = setting.result.to_json()["pq"]
        scores = {name: pq[name]["pq"] for name in ("all", "things", "stuff")}
        return {key: setting.point.get(key) for key in self.keys} | scores

    def write_csv(self, path: Path) -> None:
        """A row per setting: what was varied, then PQ of all, things and stuff in 0..1."""
        rows = [self._row(setting) for setting in self.settings]
        write_table(path, list(rows[0]), [list(row.values()) for row in rows])


def sweep(
    predictions: StrPath,
    gt: StrPath,
    grid: Sequence[str],
    *,
    gt_dir: StrPath | None = None,
    objective: str = "pq",
    holdout: float = 0.0,
    seed: int = 0,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> SweepResult:
    """Score every combination of rules and thresholds on saved predictions.

    Args:
        predictions: output folder of a run with saved predictions.
        gt: COCO panoptic JSON.
        grid: see `parse_grid`.
        gt_dir: its PNGs, where they are not in the folder of its name.
        objective: the measure that is scored and chosen by, a key of `PQ_MEASURES`. The
            calibration of scores is none: who draws nothing has no error.
        holdout: share of the images, 0 to below 1, that the best setting is not chosen by but
            reported on.
        seed: which images these are, and the bootstrap's draws.
        workers: threads, by default one per processor.
        on_progress: called with the images done and the images in all.

    Raises:
        ConfigError: the grid, or a value in it, is wrong.
        DataError: there are too few images for a holdout.
        FuseError: see `open_saved_predictions` and `read_truth_of`.
    """
    if objective not in PQ_MEASURES:
        raise ConfigError(f"no objective {objective!r}; known are {', '.join(PQ_MEASURES)}")
    run = open_saved_predictions(predictions)
    values = parse_grid(grid)
    points = list_points(values, run.fusion.rule)
    fusions = [run.change_rule(_read_pairs_file(point)) for point in points]
    scorer, pairs = read_truth_of(run, gt, gt_dir)

    def score(pair: tuple[ImageId, ImageId]) -> list[Layers]:
        return _score_image(*pair, run, scorer, fusions, objective)

    step = count_steps(on_progress, len(pairs))
    with map_threads(score, pairs, workers, on_result=step) as scored:
        stats = list(scored)
    chosen_by, reported_on = _split(len(pairs), holdout, seed)
    settings = tuple(
        Setting(point, fusion, _summarize([stats[p][s] for p in chosen_by], run.space))
        for s, (point, fusion) in enumerate(zip(points, fusions, strict=True))
    )
    best = max(range(len(settings)), key=lambda s: settings[s].pq)
    of_best = [stats[p][best] for p in reported_on or chosen_by]
    layers = {name: [image[name] for image in of_best] for name in PQ_MEASURES[objective]}
    draws = draw_measure(objective, layers, run.space, seed)
    return SweepResult(
        keys=tuple(values),
        settings=settings,
        best=settings[best],
        images=len(chosen_by),
        held_out=_summarize(of_best, run.space) if reported_on else None,
        interval=find_interval(draws[:, 0]),
        objective=objective,
    )


def _summarize(images: Sequence[Layers], space: LabelSpace) -> PQResult:
    """The measure whose layers these are, over a set of images."""
    return average_results(
        [summarize(sum_stats(image[name] for image in images), space) for name in images[0]]
    )


def parse_grid(grid: Sequence[str]) -> Mapping[str, list[Any]]:
    """What is varied, and its values.

    Args:
        grid: ``score_threshold=0.3:0.7:0.1`` (both ends in), or ``stuff_area=1024,4096``.

    Raises:
        ConfigError: a key or a value is wrong, or there are too many combinations.

    >>> parse_grid(["score_threshold=0.3:0.5:0.1", "fusion.rule=overlap"])
    {'score_threshold': [0.3, 0.4, 0.5], 'rule': ['overlap']}
    """
    values: dict[str, list[Any]] = {}
    for axis in grid:
        key, _, text = axis.removeprefix("fusion.").partition("=")
        if key in values:
            raise ConfigError(f"--grid {axis!r}: {key} is there already; write {key}=A,B,C")
        if key in NUMBER_KEYS:
            values[key] = _parse_numbers(axis, text)
        elif key in TEXT_KEYS:
            values[key] = text.split(",")
        else:
            allowed = ", ".join((*NUMBER_KEYS, *TEXT_KEYS))
            raise ConfigError(f"--grid {axis!r}: the key must be one of {allowed}")
    if not values:
        raise ConfigError("--grid is missing: write KEY=LO:HI:STEP or KEY=A,B,C")
    count = prod(len(points) for points in values.values())
    if count > MAX_SETTINGS:
        raise ConfigError(f"--grid asks for {count} settings; give 1 to {MAX_SETTINGS}")
    return values


def list_points(values: Mapping[str, list[Any]], rule: str) -> list[dict[str, Any]]:
    """All combinations, each once; a parameter counts only for the rules that have it.

    Args:
        values: from `parse_grid`.
        rule: the one that holds where none is varied.

    Raises:
        ConfigError: none of the rules has a key.

    >>> points = list_points({"rule": ["overlap", "adaptive"], "temperature": [1, 2]}, "overlap")
    >>> [tuple(point.values()) for point in points]
    [('overlap',), ('adaptive', 1), ('adaptive', 2)]
    """
    points: dict[tuple[Any, ...], dict[str, Any]] = {}
    for combination in product(*values.values()):
        point = dict(zip(values, combination, strict=True))
        known = METHODS.get(point.get("rule", rule))  # a wrong name is found out later
        foreign = ALL_PARAMETERS - set(known.parameters) if known else set()
        point = {key: value for key, value in point.items() if key not in foreign}
        points.setdefault(tuple(point.items()), point)
    for key in values:
        if not any(key in point for point in points.values()):
            rules = ", ".join(name for name, rule in METHODS.items() if key in rule.parameters)
            raise ConfigError(f"--grid {key}: only the rules {rules} have it; add --grid rule=...")
    return list(points.values())


def _parse_numbers(axis: str, text: str) -> list[float]:
    """``LO:HI:STEP`` or ``A,B,C`` as numbers, rounded so that 0.3 is what 0.3 means."""
    try:
        if ":" not in text:
            return [float(number) for number in text.split(",")]
        low, high, step = (float(number) for number in text.split(":"))
        if not (step > 0 and high >= low):
            raise ValueError
        if (high - low) / step > MAX_SETTINGS:
            raise ConfigError(f"--grid {axis!r} asks for more than {MAX_SETTINGS} settings")
    except ValueError as err:
        raise ConfigError(
            f"--grid {axis!r}: write KEY=LO:HI:STEP with LO <= HI and STEP > 0, or KEY=A,B,C"
        ) from err
    return [round(low + i * step, 10) for i in range(int((high - low) / step + 1e-9) + 1)]


def _read_pairs_file(point: Mapping[str, Any]) -> Mapping[str, Any]:
    """The point with the table of pairs in place of its path."""
    return {**point, "pairs": read_pairs(Path(point["pairs"]))} if "pairs" in point else point


def _score_image(
    image_id: ImageId,
    true_id: ImageId,
    run: SavedPredictions,
    scorer: TruthScorer,
    fusions: Sequence[FusionConfig],
    objective: str,
) -> list[Layers]:
    """The counts of one image under each setting; true_id is its image_id in the truth."""
    truth: PanopticPrediction | None = None
    stats: list[Layers] = []
    for fused in run.fuse_by_rules(image_id, fusions):
        truth = truth or scorer.load(true_id, fused.size)
        if objective == "pq":
            stats.append({"pq": match_segments(truth, fused)})
        else:
            maps = ComparedMaps.of(truth, fused)
            stats.append(count_measures(maps, [objective], run.space))
    return stats


def _split(images: int, holdout: float, seed: int) -> tuple[list[int], list[int]]:
    """Images to choose by and images to report on."""
    held = round(images * holdout)
    if holdout and not 0 < held < images:
        raise DataError(f"a holdout of {holdout} leaves {images - held} of {images} images")
    order = np.random.default_rng(seed).permutation(images).tolist()
    return sorted(order[held:]), sorted(order[:held])
