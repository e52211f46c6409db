"""Measure what `fuse run` costs beyond the two forward passes of its nets.

Inputs: a folder of images; without --images the eight of examples/, many times over.
Output: milliseconds per image of the nets alone (images already decoded, as many at once as in
a run) and of a whole run (loading the nets, reading, fusing and writing included), medians over
rounds in which they take turns, and by how many percent the run takes longer; the same of
`pipeline(list)`, whose nets are loaded before and which writes nothing.

Expected for `tiny` on two cores of a 2020s server: 90 ms an image, 6 to 15 % more for the run, of
which loading the nets and kernels, about a second, is half.

    python scripts/bench_run.py
    python scripts/bench_run.py --images val2017/ --pipeline my/pair.toml
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

from fuse import NamedImage, Pipeline, read_image
from fuse.api import run
from fuse.clock import StageClock
from fuse.inference.batches import BatchPredictor, plan_lanes
from fuse.models.runtime import limit_threads
from fuse.runs.tasks import ImageTask
from fuse.runs.worker import LoadedImage

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "images"
COPIES = 96  # images of a run; loading the nets takes as long as four
ROUNDS = 3


def copy_examples(folder: Path) -> Path:
    """Put COPIES images into a new folder."""
    folder.mkdir()
    for number, path in zip(range(COPIES), cycle(sorted(EXAMPLES.iterdir())), strict=False):
        shutil.copy(path, folder / f"{number}{path.suffix}")
    return folder


def run_nets(pipeline: Pipeline, images: list[LoadedImage]) -> None:
    """The two forward passes of each image, in the lanes of a run."""
    lanes, threads = plan_lanes(pipeline.device, is_thread_safe=pipeline.is_thread_safe)
    predictor: BatchPredictor[LoadedImage, Any] = BatchPredictor(
        pipeline, StageClock(), batch_size=1, score_threshold=None, lanes=lanes
    )
    with limit_threads(threads):
        for _ in predictor.predict_all(images):
            pass


def read(path: Path) -> LoadedImage:
    """An image as the engines read it."""
    task = ImageTask(path, path.name, f"{path.stem}.png", 0)
    return LoadedImage(task, NamedImage(read_image(path), path.name))


def measure(tasks: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of each task; they take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(ROUNDS):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            seconds[name].append(time.perf_counter() - start)
    return {name: median(times) for name, times in seconds.items()}


def main() -> None:
    """Parse the command line, measure, print."""
    summary, _, details = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, metavar="FOLDER")
    parser.add_argument("--pipeline", default="tiny", help="name or file of a preset")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.images or copy_examples(Path(scratch, "images"))
        out = Path(scratch, "out")
        pipeline = Pipeline.load(options.pipeline)
        images = [read(path) for path in sorted(folder.rglob("*.*"))]
        run([str(folder)], out, pipeline=options.pipeline)  # compiles the kernels
        paths = [image.task.path for image in images]
        seconds = measure(
            {
                "nets": lambda: run_nets(pipeline, images),
                "list": lambda: pipeline(paths),
                "run": lambda: run([str(folder)], out, pipeline=options.pipeline, overwrite=True),
            }
        )
    nets, whole, listed = (1000 * seconds[name] / len(images) for name in ("nets", "run", "list"))
    print(f"{len(images)} images: nets alone {nets:.1f} ms each, whole run {whole:.1f} ms")
    print(f"the run takes {100 * (whole / nets - 1):.1f} % longer")
    print(
        f"pipeline(list) takes {listed:.1f} ms each, {100 * (listed / whole - 1):+.1f} % to the run"
    )


if __name__ == "__main__":
    main()
