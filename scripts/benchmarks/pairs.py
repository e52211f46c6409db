"""Pairs of true and predicted images to score, and their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from benchmarks.scenes import SPACE, Scene, disturb

from fuse import write_id_map, write_panoptic_json
from fuse.io.coco.panoptic import ImageRecord, annotation_to_json

PAIRS_EACH = 10  # pairs to score per image, so that reading two JSONs is a small part


def make_pairs(images: list[Scene]) -> list[tuple[Scene, Scene]]:
    """Truth and what worse nets say of it, several of each image."""
    rng = np.random.default_rng(4)
    return [(scene, disturb(rng, scene)) for scene in images for _ in range(PAIRS_EACH)]


def save_pairs(folder: Path, pairs: list[tuple[Scene, Scene]]) -> tuple[Path, Path]:
    """Write pairs as two COCO panoptic datasets; returns their JSONs."""
    folder.mkdir()
    truth = _save(folder / "gt.json", [scene for scene, _ in pairs])
    return truth, _save(folder / "pred.json", [scene for _, scene in pairs])


def _save(path: Path, those: list[Scene]) -> Path:
    """Write fused maps as a COCO panoptic dataset; returns its JSON."""
    folder = path.with_suffix("")
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
