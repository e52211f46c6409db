"""Simulate a run of the Ray engine over very many images, to see where more workers stop helping.

Inputs: RUN, the output folder of a finished run whose images are like those meant: its run.json
has the seconds that a worker with one core needs per image (--seconds gives another figure, as
of a GPU), its journal the records. Measured here and now are the driver's work on these records
(unpickling, the journal, panoptic.json), listing, and a process that writes maps into --folder
(a temporary one unless given). A file system that serves many machines at once takes more than
one process can write: --files gives the images/s that it takes. What Ray itself costs the
driver was measured once and is a constant, see RAY_CALL.

Output: the seconds, and a Markdown table of images/s and efficiency over the number of workers,
with how busy the driver and the file system are and what holds the run up.

What is simulated: every call of every worker, in order of time. A worker has two calls in
flight; it computes, then takes its turn at the file system, then the driver takes its answer,
one after the other. Listing, planning and the workers' start come before, panoptic.json after.
What is not: networks, machines that fail, workers that share a memory bus.

Expected for tiny (0.2 s per image) and 5,000 files/s: efficiency above 80 % up to some 250
workers and 2,600 images/s at most, where the driver is busy with Ray's calls between the
minutes that it is alone with the list and panoptic.json. With 500 files/s it ends at 100
workers.

    python scripts/simulate_scale.py out --seconds 0.2 --files 5000
"""

from __future__ import annotations

import argparse
import heapq
import json
import pickle  # nosec B403
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from fuse.io.files import write_whole
from fuse.io.listing import list_images
from fuse.labels import load_space
from fuse.runs.engines.ray_data import choose_call
from fuse.runs.folder import RunFolder
from fuse.runs.journal import JournalRecord, read_records
from fuse.runs.tasks import PNG_DIR, ImageTask, make_tasks
from fuse.runs.worker import FinishedImage

WORKERS = (1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096)
# Seconds of the driver per call and per planned call: 2,000 calls that do nothing, Ray 2.60.
RAY_CALL = 0.005
RAY_PLAN = 0.0014
WORKER_START = 10.0  # seconds to import torch and build tiny; all start at once
SPREAD = 0.3  # standard deviation of an image's seconds, as a share of their mean
MEASURED = 200  # images per measurement
ROUNDS = 30  # of each measurement; short and the fastest counts, as others may use this machine
IN_FLIGHT = 2  # calls per worker


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds per image, except where it says per call.

    Attributes:
        worker: one core, all stages.
        file_system: of the file system as a whole: one over the images/s that it takes.
        listing: finding images and naming their maps.
        driver: an answer unpickled and journalled.
        closing: panoptic.json.
        call: Ray's share of the driver per call.
        plan: the same before the first call.
    """

    worker: float
    file_system: float
    listing: float
    driver: float
    closing: float
    call: float = RAY_CALL
    plan: float = RAY_PLAN


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a simulated run went: seconds in all, and how long each part was busy."""

    seconds: float
    busy: dict[str, float]


def simulate(costs: Costs, images: int, workers: int, seed: int = 0) -> Outcome:
    """Carry images over workers, call by call in order of time."""
    rng = random.Random(seed)  # nosec B311
    size = choose_call(images, workers)
    calls = -(-images // size)
    before = costs.listing * images + costs.plan * calls + WORKER_START
    file_system_free = driver_free = end = before
    unplanned = calls
    waiting, idle = [0] * workers, [True] * workers  # calls that a worker has got and not begun
    events: list[tuple[float, int, str]] = []
    for worker in list(range(workers)) * IN_FLIGHT:
        if unplanned:
            unplanned -= 1
            heapq.heappush(events, (before, worker, "given"))
    while events:
        now, worker, event = heapq.heappop(events)
        if event == "computed":
            file_system_free = max(file_system_free, now) + size * costs.file_system
            heapq.heappush(events, (file_system_free, worker, "done"))
            continue
        if event == "given":
            waiting[worker] += 1
        else:
            idle[worker] = True
            driver_free = max(driver_free, now) + costs.call + size * costs.driver
            end = max(end, driver_free)
            if unplanned:
                unplanned -= 1
                heapq.heappush(events, (driver_free, worker, "given"))
        if idle[worker] and waiting[worker]:
            idle[worker] = False
            waiting[worker] -= 1
            spread = rng.gauss(1, SPREAD / size**0.5)
            seconds = size * costs.worker * max(spread, 0.1)
            heapq.heappush(events, (now + seconds, worker, "computed"))
    after = costs.closing * images
    return Outcome(
        end + after, add_up(costs, images, workers, calls) | {"start and end": before + after}
    )


def add_up(costs: Costs, images: int, workers: int, calls: int) -> dict[str, float]:
    """Seconds that each part is busy."""
    return {
        "workers": images * costs.worker / workers,
        "file system": images * costs.file_system,
        "driver": calls * costs.call + images * costs.driver,
    }


def measure(run: Path, folder: Path) -> Costs:
    """What an image costs, from a finished run and on this machine's file system."""
    said = json.loads((run / "run.json").read_bytes())
    stages = {stage: spent for stage, spent in said["seconds"].items() if stage != "total"}
    records = [record for record in read_records(run) if record.error is None]
    if not records:
        raise SystemExit(f"{run} has no image that is done")
    space = load_space(said["settings"]["pipeline"]["label_space"])
    pngs = [(run / PNG_DIR / path).stat().st_size for path in _png_names(records)]
    tasks = [
        ImageTask(Path(f"/images/{n:08}.jpg"), f"{n:08}.jpg", f"{n:08}.png", n)
        for n in range(MEASURED)
    ]
    many = [
        JournalRecord(task.file_name, record.size, record.segments_info, files=record.files)
        for task, record in zip(tasks, _repeat(records), strict=False)
    ]
    answer = [pickle.dumps(FinishedImage(*pair)) for pair in zip(tasks, many, strict=True)]
    with RunFolder(folder / "run", {}) as out:

        def journal() -> None:
            for image in answer:
                out.journal.append(pickle.loads(image).record)  # noqa: S301  # nosec B301 - pickled above

        driver = fastest(journal)
        closing = fastest(lambda: out.write_maps(tasks, space))
    return Costs(
        worker=sum(stages.values()) / len(records),
        file_system=measure_file_system(folder / "maps", sum(pngs) // len(pngs)),
        listing=measure_listing(folder / "photos"),
        driver=driver / MEASURED,
        closing=closing / MEASURED,
    )


def measure_file_system(folder: Path, size: int) -> float:
    """Seconds per image when one process writes maps of so many bytes, whole or not at all."""
    folder.mkdir()
    content = random.Random(0).randbytes(size)  # nosec B311

    def write_many() -> None:
        for number in range(MEASURED):
            write_whole(folder / f"{number}.png", content)

    return fastest(write_many) / MEASURED


def measure_listing(folder: Path) -> float:
    """Seconds per image for finding images and naming their maps."""
    folder.mkdir()
    for number in range(MEASURED):
        (folder / f"{number:08}.jpg").touch()
    given = [str(folder)]
    return fastest(lambda: make_tasks(list_images(given).images)) / MEASURED


def fastest(task: Callable[[], object]) -> float:
    """Seconds of the fastest of some rounds."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        task()
        rounds.append(time.perf_counter() - start)
    return min(rounds)


def _png_names(records: Sequence[JournalRecord]) -> list[Path]:
    return [
        Path(*Path(name).parts[1:])
        for record in records
        for name in record.files
        if name.startswith(f"{PNG_DIR}/")
    ]


def _repeat(records: Sequence[JournalRecord]) -> list[JournalRecord]:
    return [records[n % len(records)] for n in range(MEASURED)]


def print_table(costs: Costs, images: int) -> None:
    """One row per number of workers."""
    alone = 1 / (costs.worker + costs.file_system)
    print("| workers | hours | images/s | efficiency | driver | file system | held up by |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    for workers in WORKERS:
        outcome = simulate(costs, images, workers)
        rate = images / outcome.seconds
        shares = {part: spent / outcome.seconds for part, spent in outcome.busy.items()}
        print(
            f"| {workers} | {outcome.seconds / 3600:.1f} | {rate:,.1f} "
            f"| {rate / (workers * alone):.0%} | {shares['driver']:.0%} "
            f"| {shares['file system']:.0%} | {max(shares, key=shares.__getitem__)} |"
        )


def main() -> None:
    """Measure, simulate, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="output folder of a finished run")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, help="of a worker per image, not the run's")
    parser.add_argument("--files", type=float, help="images/s that the file system takes")
    parser.add_argument("--folder", type=Path, help="on the file system that is to be measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        costs = measure(options.run, Path(folder))
    if options.seconds:
        costs = replace(costs, worker=options.seconds)
    if options.files:
        costs = replace(costs, file_system=1 / options.files)
    for field in fields(costs):
        unit = "call" if field.name in ("call", "plan") else "photo"
        print(f"{field.name:12} {getattr(costs, field.name) * 1e3:9.3f} ms per {unit}")
    print()
    print_table(costs, options.images)


if __name__ == "__main__":
    main()
