"""What runs in each process of the Ray engine: a local engine that is given images by calls."""

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
from fuse.io.files import RUN_FILE
from fuse.runs.engines.local import LocalEngine
from fuse.runs.tasks import ImageTask
from fuse.runs.worker import FinishedImage, RunOptions, open_scorer


@dataclass(frozen=True, slots=True, eq=False)
class CallResult:
    """What came of a call.

    Attributes:
        images: all of the call; none where there is an error.
        seconds: by stage, since the worker's last call.
        memory: most bytes so far, see `LocalEngine.peak_memory`.
        error: what would have ended the run of a local engine too.
    """

    images: Sequence[FinishedImage] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, int | None] = field(default_factory=dict)
    error: Exception | None = None


class RayWorker:
    """Does the images of one call after the other; builds its nets at the first.

    Args:
        options: which nets, and what to make of images.
        folder: where the command was given; paths in the options and the preset may be relative
            to it.
        cores: how many processor cores it has.
    """

    def __init__(self, options: RunOptions, folder: Path, cores: int) -> None:
        self._options = options
        self._folder = folder
        self._cores = cores
        self._clock = StageClock()
        self._engine: LocalEngine | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[bytes]]:
        """One call of Ray Data: a row of pickled tasks in, a row with the result out.

        Errors are results as well: what Ray itself reports is then that a worker has died.
        """
        tasks = pickle.loads(batch["tasks"][0])  # noqa: S301  # nosec B301 - the driver's
        return {"result": [pickle.dumps(self.process(tasks))]}

    def process(self, tasks: Sequence[ImageTask]) -> CallResult:
        """Do the images of a call."""
        try:
            if self._engine is None:
                self._engine = self._start()
            images = list(self._engine.process(tasks))
            return CallResult(images, self._clock.take(), self._engine.peak_memory())
        except FuseError as err:
            return CallResult(error=err)
        except OSError as err:
            return CallResult(error=EngineError(f"a worker on {socket.gethostname()}: {err}"))
        except Exception:  # noqa: BLE001 - a bug; not every error can be pickled, its text can
            return CallResult(error=RuntimeError(f"in a worker:\n{traceback.format_exc()}"))

    def _start(self) -> LocalEngine:
        """Build the nets, once it is sure that the files here are the driver's.

        Raises:
            EngineError: the working folder or the output folder is not there.
            FuseError: the device, a net or the ground truth is wrong.
        """
        out, where = self._options.out, socket.gethostname()
        try:
            os.chdir(self._folder)
        except OSError as err:
            raise EngineError(
                f"{self._folder}, where the run was started, is not there on {where}; start it "
                "in a folder that all workers share"
            ) from err
        if not (out / RUN_FILE).is_file():
            raise EngineError(
                f"{out} on {where} is not the output folder of this run; give one that all "
                "workers share"
            )
        scorer = open_scorer(self._options)
        return LocalEngine(self._options, self._clock, scorer, cores=self._cores, forks=False)
