"""Measure fuse beside the tools that do the same work, in one run, and print a Markdown table.

Inputs: none; images are generated (COCO-like 640x480 with 80 detections of which 15 count,
and 2048x1024 with 23). With --truth GT.json (COCO panoptic, its PNGs beside it) the rows of
fusing, PNGs and scoring are measured on real images as well.

Output: one line per work, size and peer: milliseconds per image of fuse and of the peer, both
medians over rounds in which they take turns, one thread each, and how many times faster fuse
is; then peak memory above what was in use before, each measured in a process of its own. A
peer that cannot be imported is named and left out.

Expected on one core of a 2020s server: fusing soft masks 0.5 / 3 ms, at least 20 / 30 times
faster than torchvision + detectron2; upsampling 7 / 12 ms, at least 15 times faster than
torch; PNGs below 1.5 ms at 640x480; PQ at least as fast as hotcoco.

    python scripts/bench.py --truth panoptic_val2017.json > table.md
"""

from __future__ import annotations

from benchmarks import one_thread  # noqa: F401

# isort: split
import argparse
import subprocess  # nosec B404
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from benchmarks import measures, peers, scenes
from benchmarks.pairs import make_pairs, save_pairs
from benchmarks.scenes import SPACE, Scene

from fuse import (
    Instances,
    NamedImage,
    PanopticPrediction,
    Pipeline,
    RleMasks,
    evaluate,
    fuse_by_overlap,
    read_id_map,
    read_panoptic_json,
    write_id_map,
)
from fuse.api import Evaluation
from fuse.fusion import fuse_stuff_masks
from fuse.metrics.instances import mask_ap
from fuse.ops.argmax import upsample_argmax

Task = Callable[[], object]
OURS = "fuse"
FUSING, SCORING = "paste and fuse soft masks", "PQ of saved pairs"
SIZES = {(480, 640): 15, (1024, 2048): 23}  # instances above the threshold
LOGITS = {(150, 120, 160): (480, 640), (19, 256, 512): (1024, 2048)}
SEEDS = range(4)  # an image each
REAL_IMAGES = 20
SLOW_PAIRS = 2  # that torchmetrics gets
ROUNDS = 9
LIMIT_S = 20.0  # who has used this much time sits out the other rounds


@dataclass(frozen=True)
class Row:
    """One work on images of one kind.

    Attributes:
        work: what is done.
        image: what the images are, for the table.
        contenders: by name, a task per image.
        images_done: how many images a task of a contender does, 1 where it is not named.
    """

    work: str
    image: str
    contenders: dict[str, list[Task]]
    images_done: Mapping[str, int] = field(default_factory=dict)

    def measure(self) -> dict[str, float]:
        """Median milliseconds per image of each contender; they take turns, after a warm-up."""
        seconds: dict[str, list[float]] = {name: [] for name in self.contenders}
        for round_number in range(ROUNDS + 1):
            for name, tasks in self.contenders.items():
                if round_number and sum(seconds[name]) > LIMIT_S:
                    continue
                for task in tasks:
                    start = time.perf_counter()
                    task()
                    if round_number:
                        seconds[name].append(time.perf_counter() - start)
        return {
            name: 1000 * median(times) / self.images_done.get(name, 1)
            for name, times in seconds.items()
        }


def fusion_rows(image: str, images: list[Scene]) -> Iterator[Row]:
    """From soft masks, and from RLE as COCO's combine script."""
    yield Row(
        FUSING,
        image,
        {
            OURS: [partial(fuse_soft, scene) for scene in images],
            "torchvision paste + detectron2 combine": [
                partial(peers.torchvision_and_detectron2, scene) for scene in images
            ],
        },
    )
    yield Row(
        "fuse RLE masks",
        image,
        {
            OURS: [partial(fuse_rles, scene) for scene in images],
            "panopticapi combine": [partial(peers.coco_combine, scene) for scene in images],
        },
    )


def fuse_soft(scene: Scene) -> PanopticPrediction:
    """Fuse what two nets say."""
    return fuse_by_overlap(scene.semantic, scene.instances, SPACE)


def fuse_rles(scene: Scene) -> PanopticPrediction:
    """Fuse what COCO's combine script reads."""
    found = scene.instance_rles
    instances = Instances(
        boxes=np.zeros((len(found), 4), dtype=np.float32),
        scores=np.array([entry["score"] for entry in found], dtype=np.float64),
        category_ids=np.array([entry["category_id"] for entry in found], dtype=np.int32),
        masks=RleMasks(tuple(entry["segmentation"] for entry in found)),
        size=scene.size,
    )
    return fuse_stuff_masks(
        [entry["category_id"] for entry in scene.stuff_rles],
        RleMasks(tuple(entry["segmentation"] for entry in scene.stuff_rles)),
        instances,
    )


def upsampling_rows() -> Iterator[Row]:
    """ADE20K's classes at stride 4, and those of Cityscapes."""
    for shape, size in LOGITS.items():
        logits = scenes.generate_logits(np.random.default_rng(2), shape)
        yield Row(
            f"upsample + argmax, {shape[0]} classes",
            describe(size),
            {
                OURS: [partial(upsample, logits, size)],
                "torch interpolate + argmax": [
                    partial(peers.torch_upsample_argmax, torch.from_numpy(logits), size)
                ],
            },
        )


def upsample(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The label map of logits, the class_index plus 1 as category_id."""
    ids = np.arange(1, len(logits) + 1, dtype=np.int32)
    return upsample_argmax(logits, size, ids)


def png_rows(image: str, images: list[Scene], folder: Path) -> Iterator[Row]:
    """Writing panoptic maps, and reading what cv2 wrote."""
    folder.mkdir()
    maps = [scene.fused.panoptic_map for scene in images]
    writers = {OURS: write_id_map, "PIL": peers.pil_write, "cv2": peers.cv2_write}
    readers = {OURS: read_id_map, "PIL": peers.pil_read, "cv2": peers.cv2_read}
    paths = {name: [folder / f"{name}{i}.png" for i in range(len(maps))] for name in writers}
    yield Row(
        "write PNG",
        image,
        {
            name: [partial(write, *pair) for pair in zip(paths[name], maps, strict=True)]
            for name, write in writers.items()
        },
    )
    for name, written in paths.items():
        size = sum(path.stat().st_size for path in written) / len(written)
        print(f"PNG of {name}: {size / 1000:.1f} kB per image", file=sys.stderr)
    yield Row(
        "read PNG",
        image,
        {name: [partial(read, path) for path in paths["cv2"]] for name, read in readers.items()},
    )


def scoring_rows(image: str, images: list[Scene], folder: Path) -> Iterator[Row]:
    """PQ of saved pairs, and mask AP."""
    pairs = make_pairs(images)
    truth, predicted = save_pairs(folder, pairs)
    contenders: dict[str, Task] = {OURS: partial(score_pairs, truth, predicted)}
    images_done = dict.fromkeys((OURS, "hotcoco"), len(pairs))
    if can_import("hotcoco"):
        contenders["hotcoco"] = partial(peers.hotcoco_pq, truth, predicted)
    if can_import("torchmetrics"):
        datasets = (read_panoptic_json(truth), read_panoptic_json(predicted))
        contenders["torchmetrics, PIL"] = partial(peers.torchmetrics_pq, *datasets, SLOW_PAIRS)
        images_done["torchmetrics, PIL"] = SLOW_PAIRS
    tasks = {name: [task] for name, task in contenders.items()}
    yield Row(SCORING, image, tasks, images_done)
    tasks = {
        OURS: [partial(mask_ap, [(scene.fused, found.instances) for scene, found in pairs], SPACE)],
        "pycocotools COCOeval": [partial(peers.pycocotools_ap, pairs)],
    }
    yield Row("mask AP", image, tasks, dict.fromkeys(tasks, len(pairs)))


def score_pairs(truth: Path, predicted: Path) -> Evaluation:
    """PQ on one thread, as the peers have."""
    return evaluate(truth, predicted, workers=1)


def measure_rows(image: str, images: list[Scene]) -> Iterator[Row]:
    """Boundary PQ, and run lengths for exports."""
    for work, contenders in measures.list_works(images):
        yield Row(work, image, contenders)


def forward_rows(size: tuple[int, int]) -> Iterator[Row]:
    """Both nets of the default pipeline, in the number format they choose and in float32."""
    image = NamedImage(np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8))
    plain = ("semantic.precision=float32", "instance.precision=float32")
    nets = {OURS: Pipeline.load("tiny"), "the same in float32": Pipeline.load("tiny", plain)}
    tasks: dict[str, list[Task]] = {
        name: [partial(pipeline.predict, [image])] for name, pipeline in nets.items()
    }
    yield Row("both nets of tiny", describe(size), tasks)


def can_import(package: str) -> bool:
    """Whether a peer is there; says so on stderr where it is not."""
    try:
        import_module(package)
    except ImportError as err:
        print(f"left out, as it cannot be imported: {package} ({err})", file=sys.stderr)
        return False
    return True


# -- memory ------------------------------------------------------------------------------------


def memory_rows(size: tuple[int, int], folder: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Works, and the peak MiB of each contender, in a process of its own."""
    small, large = (generate(wanted, SIZES[size]) for wanted in ((48, 64), size))
    save_pairs(folder / "small", make_pairs(small[:1]))
    save_pairs(folder / "large", make_pairs(large))
    for work, contenders in MEMORY_WORKS.items():
        there = [name for name in contenders if name != "hotcoco" or can_import(name)]
        yield work, {name: measure_memory(work, name, size, folder) for name in there}


def measure_memory(work: str, name: str, size: tuple[int, int], folder: Path) -> float:
    """Peak MiB of one call above what the process held before, in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", work, name, str(folder)]
    command += ["--size", *map(str, size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # nosec B603
    return float(done.stdout.splitlines()[-1])


def print_memory(work: str, name: str, folder: Path, size: tuple[int, int]) -> None:
    """Measure in this process; a small input first, so that code is loaded and compiled."""
    task = MEMORY_WORKS[work][name]
    inputs: list[tuple[object, ...]]
    if work == FUSING:
        rng = np.random.default_rng(1)
        small, large = (scenes.generate_scene(rng, s, SIZES[size]) for s in ((48, 64), size))
        inputs = [(small,), (large,)]
    else:
        inputs = [(folder / f"{s}/gt.json", folder / f"{s}/pred.json") for s in ("small", "large")]
    task(*inputs[0])
    # Writing 5 sets the process's peak back to what it uses now (proc_pid_clear_refs(5)).
    Path("/proc/self/clear_refs").write_text("5")
    before = read_memory("VmRSS")
    task(*inputs[1])
    # The kernel may have taken a page back in between.
    print(max(0, read_memory("VmHWM") - before) / 1024)


def read_memory(field: str) -> int:
    """A kB figure of this process from the kernel."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0])


MEMORY_WORKS: dict[str, dict[str, Callable[..., object]]] = {
    FUSING: {
        OURS: fuse_soft,
        "torchvision paste + detectron2 combine": peers.torchvision_and_detectron2,
    },
    SCORING: {OURS: score_pairs, "hotcoco": peers.hotcoco_pq},
}


# -- table -------------------------------------------------------------------------------------


def print_row(row: Row) -> None:
    """One line of the table per peer."""
    milliseconds = row.measure()
    ours = milliseconds.pop(OURS)
    for peer, theirs in milliseconds.items():
        print_line(row.work, row.image, f"{ours:.2f} ms", peer, f"{theirs:.2f} ms", theirs / ours)


def print_line(work: str, image: str, ours: str, peer: str, theirs: str, ratio: float) -> None:
    """A Markdown row."""
    print(f"| {work} | {image} | {ours} | {peer} | {theirs} | {ratio:.1f}x |", flush=True)


def print_memory_rows() -> None:
    """Peak memory of fusing and scoring, where the kernel tells."""
    if not Path("/proc/self/clear_refs").exists():
        print("memory is left out: only Linux tells a process's peak", file=sys.stderr)
        return
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            for work, mib in memory_rows(size, Path(folder)):
                ours = mib.pop(OURS)
                for peer, theirs in mib.items():
                    line = (f"{ours:.1f} MiB", peer, f"{theirs:.1f} MiB", theirs / ours)
                    print_line(f"peak memory: {work}", describe(size), *line)


def generate(size: tuple[int, int], kept: int) -> list[Scene]:
    """Images of a size with that many instances above the threshold."""
    return [scenes.generate_scene(np.random.default_rng(seed), size, kept) for seed in SEEDS]


def describe(size: tuple[int, int]) -> str:
    """(height, width) as readers know it."""
    height, width = size
    return f"{width}x{height}"


def print_table(truth: Path | None) -> None:
    """All rows, of generated images and, where there are some, of real ones."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print("| work | image | fuse | peer | of the peer | faster by |")
    print("| --- | --- | ---: | --- | ---: | ---: |")
    groups = {describe(size): generate(size, kept) for size, kept in SIZES.items()}
    if truth:
        groups["real"] = scenes.scenes_of_truth(truth, REAL_IMAGES)
    for image, images in groups.items():
        with tempfile.TemporaryDirectory() as folder:
            for rows in (
                fusion_rows(image, images),
                png_rows(image, images, Path(folder, "png")),
                scoring_rows(image, images, Path(folder, "pairs")),
                measure_rows(image, images),
            ):
                for row in rows:
                    print_row(row)
    for row in (*upsampling_rows(), *forward_rows((480, 640))):
        print_row(row)
    print_memory_rows()


def main() -> None:
    """Parse the command line."""
    summary, _, details = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--truth", type=Path, metavar="GT.json", help="real images as well")
    parser.add_argument("--memory-of", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--size", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        work, name, folder = options.memory_of
        print_memory(work, name, Path(folder), tuple(options.size))
    else:
        print_table(options.truth)


if __name__ == "__main__":
    main()
