"""Measure fuse beside the tools that do the same work, in one run, and print a Markdown table.

Inputs: none; photos are generated (COCO-like 640x480 with 80 detections of which 15 count,
and 2048x1024 with 23). With --truth GT.json (COCO panoptic, its PNGs beside it) the same rows
are measured on real photos.

Output: one line per work, size and peer: milliseconds per photo of fuse and of the peer, both
medians over rounds in which they take turns, one thread each, and how many times faster fuse
is; then peak memory above what was in use before, each measured in a process of its own. A
peer that is not installed is named and left out.

Expected on one core of a 2020s server: fusing soft masks 0.5 / 3 ms, at least 20 / 30 times
faster than torchvision + detectron2; upsampling 7 / 12 ms, at least 15 times faster than
torch; PNGs below 1.5 ms at 640x480; PQ at least as fast as hotcoco.

    python scripts/bench.py > table.md
"""

from __future__ import annotations

import os

# One thread for every library; they read these when they are imported.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import contextlib
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from benchmarks import peers, scenes
from benchmarks.scenes import SPACE, Scene
from fuse import evaluate, fuse_by_overlap, read_id_map, read_panoptic_json, write_id_map
from fuse.fusion import fuse_stuff_masks
from fuse.io.coco import ImageRecord, annotation_to_json, write_panoptic_json
from fuse.metrics.instances import mask_ap
from fuse.ops.argmax import upsample_argmax
from fuse.types import Instances, RleMasks

Task = Callable[[], object]
OURS = "fuse"
SIZES = {(480, 640): 15, (1024, 2048): 23}  # instances above the threshold
PHOTOS = 4  # per size
ROUNDS = 7
PAIRS = 12  # photos per PQ measurement
MEMORY_WORK = ("soft masks", "upsampling")
LIMIT_S = 20.0  # a contender that has used this much time sits out the other rounds


@dataclass(frozen=True)
class Row:
    """One work on photos of one size.

    Attributes:
        work: what is done.
        size: (height, width).
        contenders: by name, a task per photo.
        repeats: photos that one task does, to divide its time by.
    """

    work: str
    size: tuple[int, int]
    contenders: dict[str, list[Task]]
    repeats: int = 1

    def measure(self) -> dict[str, float]:
        """Median milliseconds per photo of each contender; they take turns, after a warm-up."""
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
        return {name: 1000 * median(times) / self.repeats for name, times in seconds.items()}


def fusion_rows(photos: list[Scene]) -> Iterator[Row]:
    """From soft masks, and from RLE as COCO's combine script."""
    yield Row(
        "paste and fuse soft masks",
        photos[0].size,
        {
            OURS: [lambda s=s: fuse_by_overlap(s.semantic, s.instances, SPACE) for s in photos],
            "torchvision paste + detectron2 combine": [
                lambda s=s: peers.torchvision_and_detectron2(s) for s in photos
            ],
        },
    )
    yield Row(
        "combine RLE files' masks",
        photos[0].size,
        {
            OURS: [lambda s=s: fuse_rles(s) for s in photos],
            "panopticapi combine (pycocotools)": [lambda s=s: peers.coco_combine(s) for s in photos],
        },
    )


def fuse_rles(scene: Scene) -> object:
    """Fuse what COCO's combine script reads."""
    found = scene.instance_rles
    instances = Instances(
        boxes=np.zeros((len(found), 4), dtype=np.float32),
        scores=np.array([entry["score"] for entry in found]),
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
    rng = np.random.default_rng(2)
    for shape, size in (((150, 120, 160), (480, 640)), ((19, 256, 512), (1024, 2048))):
        logits = scenes.generate_logits(rng, shape)
        ids = np.arange(1, shape[0] + 1, dtype=np.int32)
        yield Row(
            f"upsample + argmax, {shape[0]} classes",
            size,
            {
                OURS: [
                    lambda x=logits, s=size, i=ids: upsample_argmax(x, s, i, align_corners=False)
                ],
                "torch interpolate + argmax": [
                    lambda x=torch.from_numpy(logits), s=size: peers.torch_upsample_argmax(x, s)
                ],
            },
        )


def png_rows(photos: list[Scene], folder: Path) -> Iterator[Row]:
    """Writing panoptic maps, and reading what cv2 wrote."""
    maps = [photo.fused.panoptic_map for photo in photos]

    def cv2_write(path: Path, panoptic_map: np.ndarray) -> None:
        rgb = panoptic_map.view(np.uint8).reshape(*panoptic_map.shape, 4)[..., :3]
        cv2.imwrite(str(path), np.ascontiguousarray(rgb[..., ::-1]))

    def cv2_read(path: Path) -> np.ndarray:
        bgr = cv2.imread(str(path)).astype(np.int32)
        return bgr[..., 2] + 256 * bgr[..., 1] + 65536 * bgr[..., 0]

    writers = {OURS: write_id_map, "PIL": peers.pil_write, "cv2": cv2_write}
    readers = {OURS: read_id_map, "PIL": peers.pil_read, "cv2": cv2_read}
    yield Row(
        "write PNG",
        photos[0].size,
        {
            name: [
                lambda w=write, p=folder / f"{name}{i}.png", m=m: w(p, m)
                for i, m in enumerate(maps)
            ]
            for name, write in writers.items()
        },
    )
    yield Row(
        "read PNG",
        photos[0].size,
        {
            name: [lambda r=read, p=folder / f"{OURS}{i}.png": r(p) for i in range(len(maps))]
            for name, read in readers.items()
        },
    )


def scoring_rows(photos: list[Scene], folder: Path) -> Iterator[Row]:
    """PQ of saved pairs, and mask AP."""
    rng = np.random.default_rng(4)
    pairs = [photos[i % len(photos)] for i in range(PAIRS)]
    found = [scenes.disturb(rng, scene) for scene in pairs]
    paths = [_save(folder / name, those) for name, those in (("gt", pairs), ("pred", found))]
    datasets = [read_panoptic_json(path) for path in paths]
    contenders: dict[str, list[Task]] = {OURS: [lambda: evaluate(*paths, workers=1)]}
    if is_installed("hotcoco"):
        from hotcoco.panoptic import PanopticEval

        def hotcoco_pq() -> object:
            scorer = PanopticEval(*map(str, paths))
            scorer.evaluate()
            return scorer.results()

        contenders["hotcoco"] = [hotcoco_pq]
    if is_installed("torchmetrics"):

        def torchmetrics_pq() -> None:
            metric = peers.TorchmetricsPQ()
            for image_id in datasets[0].annotations:
                metric(*datasets, image_id)

        contenders["torchmetrics + PIL"] = [torchmetrics_pq]
    yield Row("PQ of saved pairs", photos[0].size, contenders, PAIRS)
    detections = [
        (scene.fused, other.instances) for scene, other in zip(pairs, found, strict=True)
    ]
    yield Row(
        "mask AP",
        photos[0].size,
        {
            OURS: [lambda: mask_ap(detections, SPACE)],
            "pycocotools COCOeval": [lambda: _pycocotools_ap(pairs, found)],
        },
        PAIRS,
    )


def _save(folder: Path, those: list[Scene]) -> Path:
    """Write fused maps as a COCO panoptic dataset and return its JSON."""
    path = folder.with_suffix(".json")
    folder.mkdir()
    images, annotations = [], []
    for image_id, scene in enumerate(those, start=1):
        write_id_map(folder / f"{image_id}.png", scene.fused.panoptic_map)
        images.append(ImageRecord(image_id, f"{image_id}.jpg", *scene.size))
        annotations.append(
            annotation_to_json(image_id, f"{image_id}.png", scene.fused.segments_info)
        )
    write_panoptic_json(path, images, annotations, SPACE)
    return path
