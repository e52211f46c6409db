"""One image's way: read the file, and from what the nets said write its map and its record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fuse.clock import StageClock
from fuse.errors import CocoFormatError, ImageReadError
from fuse.evaluation.evaluate import TruthScorer
from fuse.evaluation.image_scores import ImageScore
from fuse.inference.pipeline import Pipeline, RawPrediction
from fuse.inference.prediction import write_prediction
from fuse.io.coco.panoptic import ImageId
from fuse.io.images import read_image
from fuse.io.names import find_name_fault, make_parent
from fuse.io.png import read_id_map, write_id_map
from fuse.runs.records import PICTURE_DIR, PNG_DIR, PREDICTION_DIR, ImageTask, JournalRecord
from fuse.types import (
    Instances,
    LabelSpace,
    NamedImage,
    PanopticPrediction,
    SemanticPrediction,
    UInt8Array,
)
from fuse.viz.render import render_overview, save_picture


@dataclass(frozen=True, slots=True, eq=False)
class LoadedImage:
    """A task with its image; image is None where it could not be read, and error says why."""

    task: ImageTask
    image: NamedImage | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FinishedImage:
    """An image whose map is written, or that failed; score where there is ground truth.

    It is recalled where an earlier run did it.
    """

    task: ImageTask
    record: JournalRecord
    score: ImageScore | None = None
    recalled: bool = False


def score_image(
    task: ImageTask, prediction: PanopticPrediction | None, scorer: TruthScorer | None
) -> ImageScore | None:
    """PQ counts of an image, None where there is no ground truth that knows it."""
    if scorer is None or task.image_id not in scorer.truth.annotations:
        return None
    return scorer.try_score(task.image_id, prediction)


def recall_image(
    task: ImageTask,
    record: JournalRecord,
    out: Path,
    space: LabelSpace,
    scorer: TruthScorer | None,
) -> FinishedImage:
    """An image of an earlier run; its map is read again only to be scored.

    Raises:
        CocoFormatError: the record has categories that the space lacks, or the map that is to
            be scored cannot be read.
    """
    strange = {segment.category_id for segment in record.segments_info} - space.by_id.keys()
    if strange:
        raise CocoFormatError(
            f"{out}: the journal gives {task.file_name} category_id {min(strange)}, "
            f"which is not in {space.name}; start anew with --overwrite"
        )
    if scorer is None or record.error is not None:
        return FinishedImage(task, record, score_image(task, None, scorer), recalled=True)
    try:
        panoptic_map = read_id_map(out / PNG_DIR / task.png_name)
    except CocoFormatError as err:
        raise CocoFormatError(
            f"{err}; fuse verify {out} --redo, and the same command does it again"
        ) from err
    prediction = PanopticPrediction(panoptic_map, record.segments_info)
    return FinishedImage(task, record, score_image(task, prediction, scorer), recalled=True)


class ImageReader:
    """Reads images.

    It knows no net: a thread that hangs in a file system may hold it to the end of the process,
    when torch's tensors can no longer be freed on that thread.
    """

    def __init__(self, clock: StageClock) -> None:
        self._clock = clock

    def __call__(self, task: ImageTask) -> LoadedImage:
        """Read an image; one that cannot be read says why instead of raising."""
        with self._clock.time("read"):
            try:
                for name in (task.file_name, task.png_name):
                    if fault := find_name_fault(name):
                        return LoadedImage(task, error=f"{task.path}: {fault}; rename it")
                return LoadedImage(task, NamedImage(read_image(task.path), task.file_name))
            except ImageReadError as err:
                return LoadedImage(task, error=str(err))


class ImageWorker:
    """Reads images before the nets and finishes them after; any number of threads may call it.

    Attributes:
        read: reads an image.

    Args:
        pipeline: labels and fuses what its nets said.
        out: the run's output folder.
        clock: where the seconds go.
        scorer: ground truth to score against, if any.
        pictures: whether to write a picture of each image beside its map.
        keep_predictions: whether to write what the nets said of it too.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        out: Path,
        clock: StageClock,
        *,
        scorer: TruthScorer | None = None,
        pictures: bool = False,
        keep_predictions: bool = False,
    ) -> None:
        self.read = ImageReader(clock)
        self._pipeline = pipeline
        self._out = out
        self._clock = clock
        self._scorer = scorer
        self._pictures = pictures
        self._keep_predictions = keep_predictions

    def finish(self, read: LoadedImage, raw: RawPrediction | None) -> FinishedImage:
        """Label, fuse, write and score one image; raw is None where it failed before."""
        task = read.task
        if read.image is None or raw is None:
            record = JournalRecord(task.file_name, error=read.error)
            return FinishedImage(task, record, self._score(task, None))
        with self._clock.time("fuse"):
            answers = self._pipeline.to_target(raw)
            semantic = answers.label()
            prediction = self._pipeline.fuse(semantic, answers.instances)
        files: dict[str, str] = {}
        with self._clock.time("write"):
            path, name = self._place(PNG_DIR, task.png_name)
            files[name] = write_id_map(path, prediction.panoptic_map)
            if self._keep_predictions:
                path, name = self._place(PREDICTION_DIR, task.png_name, ".npz")
                files[name] = write_prediction(path, answers)
        if self._pictures:
            with self._clock.time("pictures"):
                path, name = self._place(PICTURE_DIR, task.png_name, ".jpg")
                overview = self._draw(
                    task, read.image.pixels, semantic, answers.instances, prediction
                )
                files[name] = save_picture(path, overview)
        record = JournalRecord(
            task.file_name, prediction.size, prediction.segments_info, files=files
        )
        return FinishedImage(task, record, self._score(task, prediction))

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
        instances: Instances,
        prediction: PanopticPrediction,
    ) -> UInt8Array:
        """A picture of all that is known of an image, side by side."""
        return render_overview(
            image,
            semantic,
            instances,
            prediction,
            self._pipeline.space,
            score_threshold=self._pipeline.config.fusion.score_threshold,
            truth=self._find_truth(task.image_id, prediction.size),
        )

    def _find_truth(self, image_id: ImageId, size: tuple[int, int]) -> PanopticPrediction | None:
        """The ground truth of an image, where there is one that fits; else the score says why."""
        if self._scorer is None or image_id not in self._scorer.truth.annotations:
            return None
        try:
            return self._scorer.load(image_id, size)
        except CocoFormatError:
            return None

    def _place(self, folder: str, png_name: str, ending: str = ".png") -> tuple[Path, str]:
        """Where a file of an image goes, its folder made, and the name it has in the record."""
        name = PurePosixPath(folder, png_name).with_suffix(ending)
        return make_parent(self._out, str(name)), str(name)
