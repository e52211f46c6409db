"""Check and measure on a GPU all that runs nets, in one call of some minutes; needs no network.

Inputs: none; the examples' images, the nets that ship, and nets of random weights.
Output: a line per check with its verdict and figures on stdout, and the same as JSON with --json.
Exit code 1 where a check failed. A check that raises is a failed one, the others go on.

    python scripts/check_gpu.py --json gpu.json
    python scripts/check_gpu.py --device cpu --images 4      # tries the script itself
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.plain import PlainScript
from PIL import Image
from torch import nn

from fuse import NamedImage, Pipeline, read_image
from fuse.api import run
from fuse.clock import StageClock
from fuse.inference.batches import BatchPredictor
from fuse.models.registry import create_semantic_model, find_factory

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "images"
BRANCHES = ("semantic", "instance")
FLOAT32 = tuple(f"{branch}.precision=float32" for branch in BRANCHES)
SAME_PIXELS = 0.999  # labels of the device and the CPU, both in float32
MAX_LOGIT_ERROR = 5e-3  # of the largest logit; they leave a net as float16
RANDOM_NETS: dict[str, dict[str, Any]] = {
    "smp": {"architecture": "FPN", "encoder": "resnet18", "label_space": "coco_panoptic"},
    "torchvision": {"architecture": "lraspp_mobilenet_v3_large", "label_space": "voc"},
    "panoptic-fpn": {},
}
LARGE = (4000, 6000)  # 24 megapixels
MAX_HOST_GIB = 8.0  # of a run over large images
WATCHED_S = 0.05


@dataclass
class Check:
    """What came of one check.

    Attributes:
        name: of the check.
        passed: its verdict; None where there is nothing to judge, or it was left out.
        figures: what was measured, or why it was left out.
    """

    name: str
    passed: bool | None = None
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """What the checks work on.

    Attributes:
        device: of the nets.
        images: how many images a measurement takes.
        scratch: an empty folder.
    """

    device: str
    images: int
    scratch: Path

    @property
    def paths(self) -> list[Path]:
        """The examples, over and over."""
        return list(islice(cycle(sorted(EXAMPLES.iterdir())), self.images))

    def read(self) -> list[NamedImage]:
        """The images, decoded."""
        kept = {path: read_image(path) for path in set(self.paths)}
        return [NamedImage(kept[path], path.name) for path in self.paths]

    def link(self, name: str) -> Path:
        """A folder with the images under names of their own."""
        folder = self.scratch / name
        folder.mkdir()
        for number, path in enumerate(self.paths):
            (folder / f"{number}{path.suffix}").write_bytes(path.read_bytes())
        return folder


def check_agreement(job: Job) -> Check:
    """Both nets of tiny in float32: labels and boxes as on the CPU."""
    with no_tf32():
        images = job.read()[:4]
        ours, theirs = (
            [pipeline.to_target(raw) for raw in pipeline.predict(images)]
            for pipeline in (
                Pipeline.load("tiny", FLOAT32, device) for device in (job.device, "cpu")
            )
        )
    same = [
        np.mean(a.label().label_map == b.label().label_map)
        for a, b in zip(ours, theirs, strict=True)
    ]
    found = [(len(a.instances), len(b.instances)) for a, b in zip(ours, theirs, strict=True)]
    passed = min(same) >= SAME_PIXELS and all(abs(a - b) <= 1 for a, b in found)
    return Check("", bool(passed), {"same_pixels": float(min(same)), "instances": found})


def check_random(model: str, options: dict[str, Any], job: Job) -> Check:
    """The logits of a semantic net of random weights in float32, on the device and the CPU."""
    adapter = inspect.getmodule(find_factory("semantic", model))
    torch.manual_seed(0)
    weights = job.scratch / f"{model}.pth"
    torch.save(adapter.make_random_state({"weights": "_50_", **options}), weights)
    given = {**options, "weights": str(weights), "precision": "float32"}
    with no_tf32():
        ours, theirs = (
            create_semantic_model(model, device, given).predict(job.read()[:2])
            for device in (job.device, "cpu")
        )
    error = max(
        float(np.abs(a.logits.astype(np.float32) - b.logits).max() / np.abs(b.logits).max())
        for a, b in zip(ours, theirs, strict=True)
    )
    return Check("", error < MAX_LOGIT_ERROR, {"largest_error": error})


@contextmanager
def no_tf32() -> Iterator[None]:
    """Convolutions of float32 in float32, which cuDNN does not do by itself."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def check_batches(job: Job) -> Check:
    """Batches that grow by themselves give what single images give, also when memory is full."""
    pipeline = Pipeline.load("tiny", [*FLOAT32], job.device)
    images = job.read()
    alone = [pipeline.predict([image])[0].instances.scores for image in images]
    predictor: BatchPredictor[Any, Any] = BatchPredictor(
        FullAbove(pipeline, 4), StageClock(), batch_size=None, score_threshold=None
    )
    answers = [answer for _, answer in predictor.predict_all(map(Loaded, images))]
    close = all(
        answer is not None
        and len(answer.instances) == len(scores)
        and np.allclose(answer.instances.scores, scores, atol=1e-3)
        for answer, scores in zip(answers, alone, strict=True)
    )
    figures = {"images": len(images), "batch_size": predictor.batch_size}
    return Check("", close and predictor.batch_size <= 4, figures)


@dataclass(frozen=True)
class Loaded:
    """An image as batches hold it."""

    image: NamedImage | None
    error: str | None = None


class FullAbove:
    """A pipeline whose device is full with more than so many images."""

    def __init__(self, pipeline: Pipeline, most: int) -> None:
        self._pipeline, self._most = pipeline, most

    def predict(self, images: list[NamedImage], **given: Any) -> Any:  # noqa: ANN401 - the pipeline's
        """The pipeline's answers."""
        if len(images) > self._most:
            raise torch.OutOfMemoryError("CUDA out of memory (pretended)")
        return self._pipeline.predict(images, **given)


def check_large_images(job: Job) -> Check:
    """A run over images of 24 megapixels stays within the host's memory."""
    folder = job.scratch / "large"
    folder.mkdir()
    picture = Image.open(sorted(EXAMPLES.iterdir())[0]).convert("RGB").resize(LARGE[::-1])
    for number in range(min(job.images, 24)):
        picture.save(folder / f"{number}.jpg", quality=80)
    with watch(job.device) as seen:
        result = run([str(folder)], job.scratch / "large-out", device=job.device)
    figures = {"images": result.done, "host_gib": seen["host_gib"]}
    return Check("", not result.failed and seen["host_gib"] < MAX_HOST_GIB, figures)


def check_whole_job(job: Job) -> Check:
    """Images per second of a run and of the plain script, and how busy the device is."""
    folder = job.link("whole")
    run([str(folder)], job.scratch / "warm", device=job.device)
    with watch(job.device) as seen:
        result = run([str(folder)], job.scratch / "whole-out", device=job.device)
    script = PlainScript()
    for net in (script.semantic_net, script.instance_net):
        net.to(job.device)
    script.device = job.device
    start = time.perf_counter()
    script.run(sorted(folder.iterdir()), job.scratch / "plain")
    plain = time.perf_counter() - start
    total = result.seconds["total"]
    figures = {
        "fuse_images_per_s": result.done / total,
        "plain_images_per_s": result.done / plain,
        "faster_by": plain / total,
        **seen,
    }
    return Check("", not result.failed, figures)


def measure_formats(job: Job) -> Check:
    """Milliseconds of the semantic net of tiny in each number format, compiled and as a graph."""
    figures: dict[str, Any] = {}
    batch = torch.rand(8, 3, 384, 512, device=job.device)
    for name, precision in (("float32", "float32"), ("auto", "auto")):
        pipeline = Pipeline.load("tiny", [f"semantic.precision={precision}"], job.device)
        net = pipeline.semantic_model.net
        dtype = torch.float32 if precision == "float32" else torch.float16
        for layout in (torch.contiguous_format, torch.channels_last):
            inputs = batch.contiguous(memory_format=layout)
            key = f"{name}, {str(layout).removeprefix('torch.')}"
            figures[key] = time_net(net, inputs, job.device, dtype)
    for mode in ("default", "reduce-overhead"):
        try:
            compiled = torch.compile(net, mode=mode)
            inputs = batch.contiguous(memory_format=torch.channels_last)
            figures[f"torch.compile {mode}"] = time_net(compiled, inputs, job.device, dtype)
        except Exception as err:  # noqa: BLE001 - a compiler raises anything; the table says so
            figures[f"torch.compile {mode}"] = f"{type(err).__name__}"
    return Check("", None, figures)


def time_net(net: nn.Module, inputs: torch.Tensor, device: str, dtype: torch.dtype) -> float:
    """Milliseconds of a forward pass, the best of some."""
    seconds = []
    autocast = partial(torch.autocast, torch.device(device).type, dtype=dtype)
    with torch.inference_mode(), autocast(enabled=dtype != torch.float32):
        for _ in range(8):
            start = time.perf_counter()
            net(inputs)
            if torch.device(device).type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds[2:])


@contextmanager
def watch(device: str) -> Iterator[dict[str, float]]:
    """Peak memory of this process meanwhile, and how busy the GPU is where it tells."""
    seen: dict[str, float] = {"host_gib": 0.0}
    done, busy = threading.Event(), list[int]()

    def look() -> None:
        while not done.wait(WATCHED_S):
            status = Path("/proc/self/status")
            if status.exists():
                kilobytes = int(status.read_text().partition("VmRSS:")[2].split()[0])
                seen["host_gib"] = max(seen["host_gib"], kilobytes / 2**20)
            if torch.device(device).type == "cuda":
                try:
                    busy.append(torch.cuda.utilization())
                except Exception:  # noqa: BLE001 - needs a package more
                    return

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()
        if busy:
            seen["device_busy_percent"] = sum(busy) / len(busy)


def list_checks(job: Job) -> dict[str, Callable[[], Check]]:
    """Each check by its name."""
    return {
        "agreement: tiny": partial(check_agreement, job),
        **{
            f"agreement: {model}, random weights": partial(check_random, model, options, job)
            for model, options in RANDOM_NETS.items()
        },
        "batches that grow, and a full memory": partial(check_batches, job),
        "large images": partial(check_large_images, job),
        "whole job": partial(check_whole_job, job),
        "number formats": partial(measure_formats, job),
    }


def try_check(name: str, check: Callable[[], Check]) -> Check:
    """A check's result under its name; of one that raises, the traceback."""
    start = time.perf_counter()
    try:
        result = check()
    except Exception:  # noqa: BLE001 - the other checks are still worth their time
        result = Check(name, False, {"error": traceback.format_exc(limit=-3)})
    result.name = name
    result.figures["seconds"] = time.perf_counter() - start
    return result


def describe(check: Check) -> str:
    """A check in one line."""
    verdict = {True: "passed", False: "FAILED", None: "measured"}[check.passed]

    def show(value: object) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    figures: Mapping[str, Any] = check.figures
    return f"{verdict:9}{check.name}: " + ", ".join(f"{k} {show(v)}" for k, v in figures.items())


def main() -> None:
    """Parse the command line, check, print."""
    summary, _, details = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--images", type=int, default=64, help="of a measurement")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    is_cuda = torch.device(options.device).type == "cuda"
    name = torch.cuda.get_device_name(options.device) if is_cuda else options.device
    print(f"{name}, torch {torch.__version__}")
    checks = []
    with tempfile.TemporaryDirectory() as scratch:
        job = Job(options.device, options.images, Path(scratch))
        for title, check in list_checks(job).items():
            checks.append(try_check(title, check))
            print(describe(checks[-1]), flush=True)
    if options.json:
        content = {"device": name, "torch": torch.__version__, "checks": list(map(asdict, checks))}
        options.json.write_text(json.dumps(content, indent=2))
    sys.exit(any(check.passed is False for check in checks))


if __name__ == "__main__":
    main()
