"""One image: read it, then fuse, write, record and score what the nets predicted for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from errno import ENAMETOOLONG
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fuse.clock import StageClock
from fuse.errors import CocoFormatError, ConfigError, ImageReadError
from fuse.evaluation.image_scores import ImageScore
from fuse.evaluation.scorer import TruthScorer
from fuse.inference.prediction import ImagePrediction, RawPrediction
from fuse.inference.prediction_file import write_prediction
from fuse.inference.presets import PipelineConfig
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.io.files import check_writable, find_name_fault, hash_file, make_parent
from fuse.io.image_source import UNREAD, ImageSource, read_source
from fuse.io.images import decode_image
from fuse.io.png import read_id_map, write_id_map
from fuse.labels import find_truth_map, load_space
from fuse.runs.journal import JournalRecord, read_record_at
from fuse.runs.tasks import ImageTask
from fuse.types import (
    LabelSpace,
    NamedImage,
    PanopticPrediction,
    SemanticPrediction,
    UInt8Array,
)
from fuse.types.label_space import list_file_ids
from fuse.viz.render import render_overview, save_picture

if TYPE_CHECKING:
    from fuse.inference.pipeline import Pipeline  # loads torch

# Most that an image takes at a time beside its file: its pixels and a float32 copy of them for the
# nets, or later its label map, its panoptic map and their PNG.
BYTES_PER_PIXEL = 24


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Which nets, and what to make of images: plain values, which may go to another process.

    Attributes:
        config: the preset.
        device and the others: see the arguments of `fuse.runs.run.run`.

    Raises:
        ConfigError: the timeout is not above 0.
        DataError: nothing can be written at the output folder's path.
    """

    config: PipelineConfig
    device: str
    weights_dir: Path | None
    out: Path
    gt: Path | None
    gt_dir: Path | None
    pictures: bool
    keep_predictions: bool
    batch_size: int | None
    timeout: float
    strict_images: bool = False

    def __post_init__(self) -> None:
        if not self.timeout > 0:
            raise ConfigError(f"timeout must be above 0 seconds, is {self.timeout}")
        check_writable(self.out)


@dataclass(frozen=True, slots=True, eq=False)
class LoadedImage:
    """A task with its image; image is None where it could not be read, and error says why.

    The source is what the image's file was, None where nobody looked: a name that cannot be
    written, or a file system that did not answer in time. The damage is what is missing of the
    image although there is one.
    """

    task: ImageTask
    image: NamedImage | None = None
    error: str | None = None
    source: ImageSource | None = None
    damage: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FinishedImage:
    """An image whose map is written, or that failed.

    Attributes:
        task: the image.
        record: what became of it.
        score: PQ counts, None where there is no ground truth that knows it.
        was_finished_before: by an earlier run.
        differs: whether the nets now answer otherwise than when its map was made, which stays.
    """

    task: ImageTask
    record: JournalRecord
    score: ImageScore | None = None
    was_finished_before: bool = False
    differs: bool = False


def open_scorer(options: RunOptions) -> TruthScorer | None:
    """The ground truth to score against, None where none was given.

    Raises:
        CocoFormatError: the JSON is wrong.
        LabelSpaceError: no map leads from its categories to those of the preset.
    """
    if options.gt is None:
        return None
    truth = read_panoptic_json(options.gt, options.gt_dir)
    space = load_space(options.config.label_space)
    return TruthScorer(truth, find_truth_map(truth.space, space))


def score_image(
    task: ImageTask, prediction: PanopticPrediction | None, scorer: TruthScorer | None
) -> ImageScore | None:
    """PQ counts of an image, None where there is no ground truth that knows it."""
    if scorer is None or task.image_id not in scorer.truth.annotations:
        return None
    return scorer.try_score(task.image_id, prediction)


def list_wanted(task: ImageTask, options: RunOptions) -> set[str]:
    """The files that an image has once it is done, by path below the output folder."""
    wanted = {task.map_path}
    if options.keep_predictions:
        wanted.add(task.prediction_path)
    if options.pictures:
        wanted.add(task.picture_path)
    return wanted


def load_image(
    task: ImageTask,
    reserve: Callable[[int], None],
    clock: StageClock,
    *,
    strict: bool = False,
    as_stored: bool = False,
) -> LoadedImage:
    """Read an image; one that cannot be read, or is damaged and must not be, says why it failed.

    Args:
        task: the image.
        reserve: called with the bytes that it takes in all, as soon as they are known.
        clock: where the seconds go.
        strict: let a damaged image fail.
        as_stored: see `read_image`.
    """
    source = None
    with clock.time("read"):
        try:
            for name in (task.file_name, task.png_name):
                if fault := find_name_fault(name):
                    return LoadedImage(task, error=f"{task.path}: {fault}; rename it")
            source = UNREAD
            content, source = read_source(task.path, reserve)
            size = len(content)
            decoded = decode_image(
                content,
                task.path,
                lambda pixels: reserve(size + BYTES_PER_PIXEL * pixels),
                as_stored=as_stored,
            )
            if strict and decoded.damage:
                return LoadedImage(task, error=f"{task.path}: {decoded.damage}", source=source)
            image = NamedImage(decoded.pixels, task.file_name)
            return LoadedImage(task, image, source=source, damage=decoded.damage)
        except ImageReadError as err:
            return LoadedImage(task, error=str(err), source=source)


def load_finished(
    task: ImageTask,
    record: JournalRecord,
    out: Path,
    space: LabelSpace,
    scorer: TruthScorer | None,
) -> FinishedImage:
    """An image that an earlier run finished; its map is read only to be scored.

    Raises:
        CocoFormatError: the record has categories that the space lacks, or the map that is to
            be scored cannot be read.
    """
    strange = {segment.category_id for segment in record.segments_info} - space.by_id.keys()
    if strange:
        raise CocoFormatError(
            f"{out}: the journal gives {task.file_name} category_id {list_file_ids(strange)[0]}, "
            f"which is not in {space.name}; start anew with --overwrite"
        )
    prediction = None
    if scorer and record.error is None:
        try:
            panoptic_map = read_id_map(out / task.map_path)
        except CocoFormatError as err:
            raise CocoFormatError(
                f"{err}; fuse verify {out} --redo, and fuse run --resume {out} does it again"
            ) from err
        prediction = PanopticPrediction(panoptic_map, record.segments_info)
    score = score_image(task, prediction, scorer)
    return FinishedImage(task, record, score, was_finished_before=True)


def _is_same(one: PanopticPrediction, other: PanopticPrediction) -> bool:
    """Whether two maps have the same pixels, and the same category of each segment."""
    categories = (
        [(segment.segment_id, segment.category_id) for segment in prediction.segments_info]
        for prediction in (one, other)
    )
    first, second = categories
    return first == second and np.array_equal(one.panoptic_map, other.panoptic_map)


class ImageWorker:
    """Reads images before the nets and finishes them after; any number of threads may call it.

    Attributes:
        read: reads an image. It knows no net: a thread that hangs in a file system may hold it to
            the end of the process, when torch's tensors can no longer be freed on that thread.

    Args:
        pipeline: fuses what its nets predicted.
        options: where files go, and which are written.
        clock: where the seconds go.
        scorer: ground truth to score against, if any.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        options: RunOptions,
        clock: StageClock,
        scorer: TruthScorer | None,
    ) -> None:
        self.read = partial(
            load_image,
            clock=clock,
            strict=options.strict_images,
            as_stored=options.config.as_stored,
        )
        self._pipeline = pipeline
        self._options = options
        self._clock = clock
        self._scorer = scorer

    def finish(self, loaded: LoadedImage, raw: RawPrediction | None) -> FinishedImage:
        """Fuse, write and score one image; raw is None where it failed before.

        Where an earlier run made its map, that stays, and its picture shows it.
        """
        task = loaded.task
        if loaded.image is None or raw is None:
            return self._fail(loaded, loaded.error)
        with self._clock.time("fuse"):
            predicted = self._pipeline.to_target(raw)
            semantic = predicted.label()
            fused = self._pipeline.apply_rule(semantic, predicted.instances)
            earlier, files = self._read_earlier(task)
        differs = earlier is not None and not _is_same(earlier, fused)
        fused = earlier or fused
        missing = list_wanted(task, self._options) - files.keys()
        try:
            if task.map_path in missing:
                with self._clock.time("write"):
                    path = self._place(task.map_path)
                    files[task.map_path] = write_id_map(path, fused.panoptic_map)
            if task.prediction_path in missing:
                with self._clock.time("write"):
                    path = self._place(task.prediction_path)
                    files[task.prediction_path] = write_prediction(path, predicted)
            if task.picture_path in missing:
                with self._clock.time("pictures"):
                    picture = self._draw(task, loaded.image.pixels, semantic, predicted, fused)
                    path = self._place(task.picture_path)
                    files[task.picture_path] = save_picture(path, picture)
        except OSError as err:
            if err.errno != ENAMETOOLONG:
                raise
            return self._fail(loaded, f"{task.path}: the path of its map is too long here")
        record = JournalRecord(
            task.file_name,
            fused.size,
            fused.segments_info,
            files=files,
            source=loaded.source,
            damage=loaded.damage,
        )
        return FinishedImage(task, record, self._score(task, fused), differs=differs)

    def _read_earlier(self, task: ImageTask) -> tuple[PanopticPrediction | None, dict[str, str]]:
        """The map and the files that an earlier run made of an image.

        None and no files where it made none, or where its map is no longer what was written: then
        all is made anew.
        """
        if task.recorded_at is None:
            return None, {}
        record = read_record_at(self._options.out, task.recorded_at)
        path = self._options.out / task.map_path
        try:
            if hash_file(path) != record.files[task.map_path]:
                return None, {}
            earlier = PanopticPrediction(read_id_map(path), record.segments_info)
        except OSError:
            return None, {}
        return earlier, dict(record.files)

    def _fail(self, loaded: LoadedImage, error: str | None) -> FinishedImage:
        """An image that has no map, and why."""
        task = loaded.task
        record = JournalRecord(task.file_name, error=error, source=loaded.source)
        return FinishedImage(task, record, self._score(task, None))

    def _place(self, name: str) -> Path:
        """Where a file of an image goes, its folder made."""
        return make_parent(self._options.out, name)

    def _score(self, task: ImageTask, prediction: PanopticPrediction | None) -> ImageScore | None:
        if self._scorer is None:
            return None
        with self._clock.time("score"):
            return score_image(task, prediction, self._scorer)

    def _draw(
        self,
        task: ImageTask,
        image: UInt8Array,
        semantic: SemanticPrediction,
        predicted: ImagePrediction,
        fused: PanopticPrediction,
    ) -> UInt8Array:
        """A picture of all that is known of an image, side by side."""
        truth = None
        if self._scorer and task.image_id in self._scorer.truth.annotations:
            with suppress(CocoFormatError):  # which the notes of the score tell
                truth = self._scorer.load(task.image_id, fused.size)
        return render_overview(
            image,
            semantic,
            predicted.instances,
            fused,
            self._pipeline.space,
            score_threshold=self._pipeline.config.fusion.score_threshold,
            truth=truth,
        )
