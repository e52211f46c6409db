"""Measure whole jobs: what `fuse run` costs beyond its nets, beside the script everybody writes.

Inputs: a folder of images; without --images the eight of examples/, many times over.
Output: a Markdown table: milliseconds per image of the nets alone (images already decoded, as many
at once as in a run), of `pipeline(list)`, which loads no nets and writes nothing, of `fuse run`
(reading, fusing and writing included) on torch and, where it is installed, on OpenVINO, and of
`benchmarks/plain.py`; medians over rounds in which they take turns. Loading does not count: of a
run it is the time that twice the images take longer. With --processes also the seconds of whole
processes: `fuse demo` and `fuse evaluate` on a fresh and a warm kernel cache, loading beyond
torch's, and `fuse evaluate` of 5,000 pairs beside hotcoco.

Expected for `tiny` on two cores of a 2020s server: 37 ms an image on torch, no more for the run
than for its nets, as it has processes for them, and a third of the time of the plain script.

    python scripts/bench_run.py
    python scripts/bench_run.py --images val2017/ --pipeline my/pair.toml
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess  # nosec B404
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

from benchmarks.plain import PlainScript

from fuse import NamedImage, Pipeline, read_image
from fuse.clock import StageClock
from fuse.inference.batches import BatchPredictor, plan_lanes
from fuse.models.runtime import limit_threads
from fuse.runs.tasks import ImageTask
from fuse.runs.worker import LoadedImage

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "images"
PLAIN = "plain script, float32"
COPIES = 96  # images of a run, enough for a process per core
TWICE = ", twice as many"
ROUNDS = 3
PAIRS = 5000  # images scored by whole processes
HOTCOCO = """
import sys
from hotcoco.panoptic import PanopticEval
scorer = PanopticEval(*sys.argv[1:])
scorer.evaluate()
print(scorer.results())
"""


def copy_examples(folder: Path, copies: int) -> Path:
    """Put so many images into a new folder."""
    folder.mkdir()
    for number, path in zip(range(copies), cycle(sorted(EXAMPLES.iterdir())), strict=False):
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
    parser.add_argument("--copies", type=int, default=COPIES, help="images, of the eight")
    parser.add_argument("--processes", action="store_true", help="whole processes as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.images or copy_examples(Path(scratch, "images"), options.copies)
        print("| work | per image | the plain script takes |")
        print("| --- | ---: | ---: |")
        rows = measure_jobs(folder, options.pipeline, Path(scratch))
        plain = rows.get(PLAIN)
        for name, milliseconds in rows.items():
            ratio = f"{plain / milliseconds:.1f}x" if plain else ""
            print(f"| {name} | {milliseconds:.1f} ms | {ratio} |")
    if options.processes:
        print("\n| process | seconds |\n| --- | ---: |")
        for name, seconds in measure_processes():
            print(f"| {name} | {seconds:.2f} |", flush=True)


def measure_jobs(folder: Path, preset: str, scratch: Path) -> dict[str, float]:
    """Milliseconds per image of each job."""
    paths = sorted(path for path in folder.rglob("*.*") if path.is_file())
    images = [read(path) for path in paths]
    again = Path(shutil.copytree(folder, scratch / "again"))
    tasks: dict[str, Callable[[], object]] = {}
    for runtime in ("torch", *(["openvino"] if find_spec("openvino") else [])):
        settings = [f"{branch}.runtime={runtime}" for branch in ("semantic", "instance")]
        pipeline = Pipeline.load(preset, settings)
        call = ["-m", "fuse", "run", str(folder), "-p", preset, "--overwrite"]
        call += ["-o", str(scratch / runtime), *(part for s in settings for part in ("--set", s))]
        time_process(call)  # compiles the kernels, converts the nets
        run_nets(pipeline, images[:8])  # opens the converted ones
        tasks[f"nets alone, {runtime}"] = partial(run_nets, pipeline, images)
        tasks[f"pipeline(list), {runtime}"] = partial(pipeline, paths)
        tasks[f"fuse run, {runtime}"] = partial(time_process, call)
        tasks[f"fuse run, {runtime}{TWICE}"] = partial(time_process, [*call, str(again)])
    if preset == "tiny":  # whose nets the script has
        script = PlainScript()

        def run_plain() -> None:
            shutil.rmtree(scratch / "plain", ignore_errors=True)
            script.run(paths, scratch / "plain")

        tasks[PLAIN] = run_plain
    seconds = measure(tasks)
    return {
        name: 1000 * (seconds.get(name + TWICE, 2 * once) - once) / len(paths)
        for name, once in seconds.items()
        if not name.endswith(TWICE)
    }


def measure_processes() -> Iterator[tuple[str, float]]:
    """Seconds of processes from a cold start, fresh kernels first."""
    truth = EXAMPLES.parent / "annotations.json"
    yield "import torch, torchvision", time_process(["-c", "import torch, torchvision"])
    yield (
        "import fuse, Pipeline.load",
        time_process(["-c", "from fuse import Pipeline; Pipeline.load('tiny')"]),
    )
    with tempfile.TemporaryDirectory() as scratch:
        cache = {"NUMBA_CACHE_DIR": str(Path(scratch, "kernels"))}
        demo = ["-m", "fuse", "demo", "--overwrite", "-o", str(Path(scratch, "demo"))]
        scoring = ["-m", "fuse", "evaluate", "--gt", str(truth), "--pred", str(truth)]
        for name, command in (("fuse evaluate", scoring), ("fuse demo", demo)):
            yield f"{name}, no kernels yet", time_process(command, cache)
            yield f"{name}, kernels there", time_process(command, cache)
            shutil.rmtree(Path(scratch, "kernels"))
        maps = Path(scratch, "demo", "panoptic.json")  # against themselves: classes are the same
        files = [str(multiply(maps, Path(scratch, f"{side}.json"))) for side in ("gt", "pred")]
        scoring = ["-m", "fuse", "evaluate", "--gt", files[0], "--pred", files[1]]
        time_process(scoring)  # compiles
        yield f"fuse evaluate, {PAIRS:,} pairs", time_process(scoring)
        if find_spec("hotcoco"):
            yield f"hotcoco, {PAIRS:,} pairs", time_process(["-c", HOTCOCO, *files])


def multiply(path: Path, target: Path) -> Path:
    """A panoptic JSON, and its PNGs, with PAIRS images in place of its own, by other names."""
    content = json.loads(path.read_text(encoding="utf-8"))
    images = {image["id"]: image for image in content["images"]}
    target.with_suffix("").mkdir()
    many: dict[str, list[Any]] = {"images": [], "annotations": []}
    for number, entry in zip(range(PAIRS), cycle(content["annotations"]), strict=False):
        name = f"{number}.png"
        os.link(path.with_suffix("") / entry["file_name"], target.with_suffix("") / name)
        many["images"].append({**images[entry["image_id"]], "id": number, "file_name": name})
        many["annotations"].append({**entry, "image_id": number, "file_name": name})
    target.write_text(json.dumps({**content, **many}), encoding="utf-8")
    return target


def time_process(command: list[str], variables: Mapping[str, str] = MappingProxyType({})) -> float:
    """Seconds of a Python process."""
    start = time.perf_counter()
    environment = {**os.environ, **variables}
    subprocess.run(  # nosec B603
        [sys.executable, *command], check=True, capture_output=True, env=environment
    )
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
