"""Many processes, on one machine or many: Ray Data hands images to a pool of workers.

Only small records cross processes: tasks go out a few dozen at a time, and what became of each
image comes back. Maps are written where they are made, so all workers must share the output
folder.
"""

from __future__ import annotations

import logging
import os
import pickle  # nosec B403
import secrets
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from types import ModuleType
from typing import Any

from fuse.clock import StageClock, peak_memory, to_mebibytes
from fuse.errors import EngineError, first_line
from fuse.evaluation.scorer import TruthScorer
from fuse.inference.batches import MAX_AUTO_BATCH
from fuse.inference.pipeline import Pipeline
from fuse.models.weights.fetching import Progress as FetchProgress
from fuse.runs.engines import describe_nets
from fuse.runs.engines.pool import RayPool
from fuse.runs.engines.ray_worker import CallResult, RayWorker
from fuse.runs.folder import remove_unfinished
from fuse.runs.journal import JournalRecord
from fuse.runs.tasks import ImageTask
from fuse.runs.worker import FinishedImage, RunOptions, score_image

MAX_LOSSES = 3  # an image whose worker dies so often has failed
MAX_CALL = 32  # images per call: what a dying worker loses, and some 5 ms of the driver's time
CALLS_PER_WORKER = 8  # at least, where there are images enough, so that all end together
BATCHES_PER_CALL = 4  # at least, so that reading and finishing overlap with the nets
MAY_BE_LOST = 20  # calls of a short run, before it ends; of a long one a tenth
CONNECT_TIMEOUT = 10.0  # seconds
SHARED_MEMORY = "/dev/shm"  # nosec B108 - looked at, not written to
OWN_TOKEN = secrets.token_hex(32)  # one for each process: Ray keeps the first that it is given
OBJECT_STORE = 256 << 20  # bytes; a million tasks are about half of it


class RayEngine:
    """Does images in a pool of processes, in the order in which they come back.

    A worker that dies is replaced. The images it had are given out again one by one, and one
    whose worker has died MAX_LOSSES times has failed. Any other error ends the run, as it does
    with the local engine.

    Args:
        options: which nets, and what to make of images.
        clock: where the seconds go, those of the workers too.
        scorer: the ground truth of the options, if any.
        pool: where workers run, and how many.
        on_fetch: called while weights are fetched.

    Raises:
        EngineError: Ray is not installed.
        FuseError: the device or a net is wrong.
    """

    def __init__(
        self,
        options: RunOptions,
        clock: StageClock,
        scorer: TruthScorer | None,
        pool: RayPool,
        on_fetch: FetchProgress | None,
    ) -> None:
        self._options = replace(options, device=pool.choose_device(options.device))
        self._ray = _import_ray()
        # Built here to be described, so that an error in the preset shows at once, and to fetch
        # the weights before any worker reads them.
        pipeline = Pipeline(
            options.config, "cpu", weights_dir=options.weights_dir, on_fetch=on_fetch
        )
        self.nets = describe_nets(pipeline)
        self.nets["device"] = self._options.device.partition(":")[0]
        self._clock = clock
        self._scorer = scorer
        self._pool = pool
        on_cpu = self._options.device == "cpu"
        self._batch = options.batch_size or (1 if on_cpu else MAX_AUTO_BATCH)
        self._workers = self._cores = 0  # until there is something to do
        self._memory: dict[str, int] = {}

    def process(self, tasks: Sequence[ImageTask]) -> Generator[FinishedImage, None, None]:
        """Do the images, each once.

        Raises:
            EngineError: there is no cluster, no room in it, or its workers die all the time.
            FuseError: what ended a worker.
        """
        if not tasks:
            return
        # Ray tells of dead workers on stdout, which is for results.
        with redirect_stdout(sys.stderr), _connect(self._ray, self._pool.address):
            machines = [
                Machine(node["Resources"].get("CPU", 0), node["Resources"].get("GPU", 0))
                for node in self._ray.nodes()
                if node["Alive"]
            ]
            self._workers, self._cores = fit_workers(self._pool, machines)
            yield from self._process_with_retries(tasks)

    def describe(self) -> dict[str, Any]:
        """How images are done, for run.json."""
        memory = {"process": peak_memory(), "worker": None, "device": None} | self._memory
        return {
            "engine": "ray",
            "workers": self._workers,
            "cores_per_worker": self._cores,
            "device": self._options.device,
            "peak_memory_mib": to_mebibytes(memory),
        }

    def _process_with_retries(self, tasks: Sequence[ImageTask]) -> Iterator[FinishedImage]:
        """The images in calls, then those of lost calls alone, then those that are lost again."""
        left = {task.file_name: task for task in tasks}
        for attempt in range(MAX_LOSSES):
            size = 1 if attempt else choose_call(len(tasks), self._workers, self._batch)
            for result in self._run_calls(list(left.values()), size, may_all_die=attempt > 0):
                for image in result.images:
                    if left.pop(image.task.file_name, None):
                        yield image
            remove_unfinished(self._options.out)  # of workers that died
            if not left:
                return
        for task in left.values():
            error = f"its worker died {MAX_LOSSES} times; does it have the memory that it needs?"
            record = JournalRecord(task.file_name, error=error)
            yield FinishedImage(task, record, score_image(task, None, self._scorer))

    def _run_calls(
        self, tasks: Sequence[ImageTask], size: int, *, may_all_die: bool
    ) -> Iterator[CallResult]:
        """The results of calls with ``size`` images each; none of calls that are lost."""
        parts = [tasks[first : first + size] for first in range(0, len(tasks), size)]
        dataset = self._plan(parts)
        may_be_lost = -1 if may_all_die else max(MAY_BE_LOST, len(parts) // 10)
        dataset.context.max_errored_blocks = may_be_lost
        try:
            with closing(iter(dataset.iter_batches(batch_size=None, prefetch_batches=0))) as rows:
                for row in rows:
                    for pickled in row["result"]:
                        result = pickle.loads(pickled)  # noqa: S301  # nosec B301 - our own worker's
                        if result.error:
                            raise result.error
                        self._add_usage(result)
                        yield result
        except self._ray.exceptions.RayError as err:
            lines = str(err).strip().splitlines() or [type(err).__name__]
            raise EngineError(
                f"Ray gave up, after {may_be_lost} lost calls or for another reason: {lines[-1]}; "
                "the same command goes on from there"
            ) from err

    def _plan(self, parts: Sequence[Sequence[ImageTask]]) -> Any:  # noqa: ANN401 - a Ray dataset
        """A dataset with a row per call; nothing runs yet."""
        data = self._ray.data
        rows = [{"tasks": pickle.dumps(part)} for part in parts]
        with warnings.catch_warnings():
            # Ray 2.60 calls max_restarts and max_task_retries old, and has nothing else yet.
            warnings.simplefilter("ignore", DeprecationWarning)
            dataset = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                RayWorker,
                fn_constructor_args=(self._options, Path.cwd(), self._cores),
                batch_size=1,
                compute=data.ActorPoolStrategy(
                    size=min(self._workers, len(parts)),
                    max_tasks_in_flight_per_actor=2 if len(parts[0]) > 1 else 1,
                ),
                num_cpus=self._cores,
                num_gpus=self._pool.gpus_per_worker or None,
                max_restarts=-1,
                max_task_retries=0,
            )
        dataset.context.enable_progress_bars = False
        dataset.context.print_on_execution_start = False
        return dataset

    def _add_usage(self, result: CallResult) -> None:
        """Add up what a worker has used."""
        self._clock.add(result.seconds)
        for where, size in result.memory.items():
            if size is not None:
                name = "worker" if where == "process" else where
                self._memory[name] = max(size, self._memory.get(name, 0))


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine of a cluster has for workers."""

    cpus: float
    gpus: float = 0


def fit_workers(pool: RayPool, machines: Sequence[Machine]) -> tuple[int, int]:
    """How many workers there will be, and with how many cores each: all that fit.

    Raises:
        EngineError: there is no room for so many.

    >>> fit_workers(RayPool(), [Machine(16), Machine(8)])
    (24, 1)
    >>> fit_workers(RayPool(workers=3), [Machine(16), Machine(8)])
    (3, 8)
    >>> fit_workers(RayPool(gpus_per_worker=0.5), [Machine(16, gpus=2)])
    (4, 4)
    """
    share = pool.gpus_per_worker

    def room(cores: int) -> int:
        by_cpus = (int(machine.cpus // cores) for machine in machines)
        # A third of a GPU fits three times, whatever floating point says.
        by_gpus = (int(machine.gpus / share + 1e-6) if share else inf for machine in machines)
        return sum(int(min(pair)) for pair in zip(by_cpus, by_gpus, strict=True))

    workers = pool.workers or room(1)
    if not 0 < workers <= room(1):
        cpus, gpus = sum(m.cpus for m in machines), sum(m.gpus for m in machines)
        raise EngineError(
            f"there is room for {room(1)} workers, not for {pool.workers or 'any'}: Ray has "
            f"{cpus:g} CPUs and {gpus:g} GPUs, and a worker needs 1 CPU and {share:g} GPUs"
        )
    cores = 1
    while room(cores + 1) >= workers:
        cores += 1
    return workers, cores


def choose_call(images: int, workers: int, batch: int = 1) -> int:
    """Images per call: batches enough to overlap, few enough for all workers to end together.

    >>> choose_call(1_000_000, 100), choose_call(1_000_000, 100, batch=64), choose_call(50, 2)
    (32, 256, 3)
    """
    most = max(MAX_CALL, BATCHES_PER_CALL * batch)
    return max(1, min(most, images // (CALLS_PER_WORKER * workers)))


def _import_ray() -> ModuleType:
    """Ray with its data library, silent.

    Raises:
        EngineError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as err:
        raise EngineError(
            f"the ray engine needs a package that is not installed ({err}); "
            "pip install 'panoptic-fuse[ray]'"
        ) from err
    # A lost call is logged with pages of traceback; what became of its images stands in ours.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    module: ModuleType = ray
    return module


@contextmanager
def _connect(ray: ModuleType, address: str | None) -> Iterator[None]:
    """A cluster for the block: the one this process is in, a running one, or one of our own.

    Raises:
        EngineError: there is none at the address.
    """
    if address is None and ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS", "local")
    options = _describe_own_cluster() if address == "local" else {}
    try:
        _check_reachable(address)
        with _keep_sigterm():
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as err:  # Ray raises just that where its processes do not start
        raise EngineError(
            f"no Ray cluster can be used at {address}: {first_line(err)}; without --engine ray the "
            "same command goes on in this process"
        ) from err
    try:
        yield
    finally:
        ray.shutdown()


def _describe_own_cluster() -> dict[str, Any]:
    """How a cluster of this process alone is started, also in a container that is poor.

    Ray would write the token by which its processes know each other into the home folder, which
    may not be there, and its objects into shared memory, which may not be writable.
    """
    has_token = os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}
    if not has_token and not os.access(os.path.expanduser("~"), os.W_OK):  # noqa: PTH111 - no error
        os.environ["RAY_AUTH_TOKEN"] = OWN_TOKEN
    options: dict[str, Any] = {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
    if sys.platform == "linux" and not os.access(SHARED_MEMORY, os.W_OK):
        options["_plasma_directory"] = tempfile.gettempdir()
    return options


@contextmanager
def _keep_sigterm() -> Iterator[None]:
    """Leaves SIGTERM to whoever had it before; Ray would end the process at once."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _check_reachable(address: str) -> None:
    """Raise OSError where nobody listens; Ray itself would try for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT).close()
