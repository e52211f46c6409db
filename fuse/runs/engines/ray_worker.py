"""What runs in each process of the Ray engine: a local engine, told its images call by call."""

from __future__ import annotations

import os
import pickle  # nosec B403
import socket
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuse.clock import StageClock
from fuse.errors import EngineError, FuseError
from fuse.evaluation.evaluate import TruthScorer
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.io.run_files import RUN_FILE
from fuse.labels import find_truth_map, load_space
from fuse.runs.engines.assignment import Assignment
from fuse.runs.engines.local import LocalEngine
from fuse.runs.records import ImageTask
from fuse.runs.worker import FinishedImage


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a worker says after a call.

    Attributes:
        images: all of the call; none where there is an error.
        seconds: by stage, since the worker's last answer.
        memory: most bytes so far, see `LocalEngine.peak_memory`.
        error: what would have ended the run of a local engine too.
    """

    images: Sequence[FinishedImage] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, int | None] = field(default_factory=dict)
    error: Exception | None = None


class Worker:
    """Does the images of one call after the other; builds its nets at the first.

    Args:
        assignment: which nets, and what to make of images.
        folder: where the command was given; paths in the assignment and the preset may be
            relative to it.
        cores: how many processor cores it has.
    """

    def __init__(self, assignment: Assignment, folder: Path, cores: int) -> None:
        self._assignment = assignment
        self._folder = folder
        self._cores = cores
        self._clock = StageClock()
        self._engine: LocalEngine | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[bytes]]:
        """One call of Ray Data: a row of pickled tasks in, a row with the answer out.

        Errors are answers as well: what Ray itself reports is then that a worker has died.
        """
        tasks = pickle.loads(batch["tasks"][0])  # noqa: S301  # nosec B301 - the driver's
        return {"answer": [pickle.dumps(self.answer(tasks))]}

    def answer(self, tasks: Sequence[ImageTask]) -> Answer:
        """Do images."""
        try:
            if self._engine is None:
                self._engine = self._start()
            images = list(self._engine(tasks))
            return Answer(images, self._clock.take(), self._engine.peak_memory())
        except FuseError as err:
            return Answer(error=err)
        except OSError as err:
            return Answer(error=EngineError(f"a worker on {socket.gethostname()}: {err}"))
        except Exception:  # noqa: BLE001 - a bug; not every error can be pickled, its text can
            return Answer(error=RuntimeError(f"in a worker:\n{traceback.format_exc()}"))

    def _start(self) -> LocalEngine:
        """Build the nets, once it is sure that the files here are the driver's.

        Raises:
            EngineError: the working folder or the output folder is not there.
            FuseError: the device, a net or the ground truth is wrong.
        """
        told = self._assignment
        where = socket.gethostname()
        try:
            os.chdir(self._folder)
        except OSError as err:
            raise EngineError(
                f"{self._folder}, where the run was started, is not there on {where}; start it "
                "in a folder that all workers share"
            ) from err
        if not (told.out / RUN_FILE).is_file():
            raise EngineError(
                f"{told.out} on {where} is not the output folder of this run; give one that all "
                "workers share"
            )
        scorer = None
        if told.gt:
            truth = read_panoptic_json(told.gt, told.gt_dir)
            space = load_space(told.config.label_space)
            scorer = TruthScorer(truth, find_truth_map(truth.space, space))
        return LocalEngine(told, self._clock, scorer, cores=self._cores)
