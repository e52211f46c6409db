"""What the two nets said of an image, saved in a small file.

The file holds all that a fusion rule may ask for, so that rules and thresholds can be tried
without running a net again. Of the logits it keeps those that can win somewhere, which makes
its label map that of the whole logits to the pixel, and those that come near.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fuse.errors import CocoFormatError, describe_size, shorten
from fuse.fusion import REACH, FusionConfig
from fuse.inference.prediction import ImagePrediction
from fuse.io.files import read_regular, write_whole
from fuse.ops.argmax import find_possible_winners
from fuse.types import (
    MAX_PIXELS,
    BoxMasks,
    Instances,
    RleMasks,
    SemanticLogits,
    SemanticPrediction,
    TargetLogits,
)

Arrays = dict[str, npt.NDArray[Any]]
NEAR = REACH  # logits this far below a cell's largest are kept: all that a rule looks at
# The arrays of a file and most bytes of each: a label map of MAX_PIXELS, logits of a large grid.
LARGE = {"label_map": 4 * MAX_PIXELS, "logits": 2**30, "kept": 2**27}
SMALL = 2**26  # of any other, as the masks of 42,000 instances
NAMES = {
    *("size", "boxes", "scores", "category_ids", "masks", "rle_lengths", "rle_counts"),
    *("class_category_ids", "grid", "scale", "offset", *LARGE),
}
MAX_GRID = 2**31  # bytes of logits once those that were not kept are filled in
DROPPED = np.finfo(np.float16).min  # stands for a logit that was not kept
LOWEST_SAVED_SCORE = (
    0.05  # down to which instances are kept; what detectors are customarily scored down to
)


def lowest_saved_score(fusion: FusionConfig) -> float:
    """Down to which score a run by this rule keeps instances."""
    return min(LOWEST_SAVED_SCORE, fusion.score_threshold)


def write_prediction(path: Path, prediction: ImagePrediction) -> str:
    """Write a prediction as a compressed ``.npz``, whole or not at all.

    Returns:
        SHA-256 of the file in hex.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full.
    """
    file = io.BytesIO()
    # Any, not arrays: newer stubs of NumPy would take them for allow_pickle, which 2.0 lacks.
    arrays: dict[str, Any] = {
        **_pack_instances(prediction.instances),
        **_pack_semantic(prediction.semantic),
    }
    np.savez_compressed(file, **arrays)
    return write_whole(path, file.getvalue())


def read_prediction(path: Path) -> ImagePrediction:
    """Read what `write_prediction` wrote.

    Raises:
        CocoFormatError: the file is missing, damaged or no such file.
    """
    try:
        arrays = _read_arrays(read_regular(path))
        return ImagePrediction(_unpack_semantic(arrays), _unpack_instances(arrays))
    except FileNotFoundError as err:
        raise CocoFormatError(
            f"{path}: this kept prediction is gone; fuse run --resume {path.parent.parent} makes "
            "what its run has lost"
        ) from err
    except Exception as err:  # readers of archives raise almost anything on damaged files
        raise CocoFormatError(f"{path}: not a kept prediction ({err})") from err


def _read_arrays(content: bytes) -> Arrays:
    """The arrays of an ``.npz``; ValueError where one is strange or needs more room than it may."""
    arrays: Arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name not in NAMES or name in arrays:
                raise ValueError(f"no array {shorten(name)!r} belongs in it")
            if member.file_size > (most := LARGE.get(name, SMALL)):
                raise ValueError(f"{name} has {member.file_size:,} bytes, at most {most:,}")
            arrays[name] = _read_array(archive.read(member))
    return arrays


def _read_array(content: bytes) -> npt.NDArray[Any]:
    """An array from the bytes of an ``.npy``; NumPy makes room for what a header says unseen."""
    file = io.BytesIO(content)
    np.lib.format.read_magic(file)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"an array of shape {shape} is cut short")
    file.seek(0)
    array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _pack_instances(instances: Instances) -> Arrays:
    arrays: Arrays = {
        "size": np.array(instances.size, dtype=np.int32),
        "boxes": instances.boxes,
        "scores": instances.scores,
        "category_ids": instances.category_ids,
    }
    if isinstance(instances.masks, BoxMasks):
        return arrays | {"masks": instances.masks.probs.astype(np.float16)}
    counts = [rle["counts"] for rle in instances.masks.rles]
    return arrays | {
        "rle_lengths": np.array([len(c) for c in counts], dtype=np.int32),
        "rle_counts": np.frombuffer(b"".join(counts), dtype=np.uint8),
    }


def _unpack_instances(arrays: Arrays) -> Instances:
    height, width = _unpack_size(arrays)
    masks: BoxMasks | RleMasks
    if "masks" in arrays:
        masks = BoxMasks(arrays["masks"].astype(np.float32))
    else:
        ends = np.cumsum(arrays["rle_lengths"])[:-1]
        counts = np.split(arrays["rle_counts"], ends) if len(arrays["rle_lengths"]) else []
        masks = RleMasks(tuple({"size": [height, width], "counts": c.tobytes()} for c in counts))
    return Instances(
        arrays["boxes"], arrays["scores"], arrays["category_ids"], masks, (height, width)
    )


def _pack_semantic(semantic: TargetLogits | SemanticPrediction) -> Arrays:
    if isinstance(semantic, SemanticPrediction):
        return {"label_map": semantic.label_map}
    logits = semantic.logits
    values = logits.logits.astype(np.float32)
    kept = find_possible_winners(values) | (values >= values.max(axis=0) - NEAR)
    return {
        "class_category_ids": semantic.category_ids,
        "grid": np.array(values.shape, dtype=np.int32),
        "kept": np.packbits(kept),
        "logits": logits.logits[kept],
        "scale": np.array(logits.scale, dtype=np.float64),
        "offset": np.array(logits.offset, dtype=np.float64),
    }


def _unpack_semantic(arrays: Arrays) -> TargetLogits | SemanticPrediction:
    if "label_map" in arrays:
        return SemanticPrediction(arrays["label_map"])
    classes, rows, columns = grid = tuple(map(int, arrays["grid"]))
    if min(grid) < 1 or -(-classes * rows * columns // 8) != len(arrays["kept"]):
        raise ValueError(f"a grid of {grid} has other bits than {len(arrays['kept'])} bytes")
    if classes * rows * columns * DROPPED.itemsize > MAX_GRID:
        raise ValueError(f"a grid of {grid} takes more than {MAX_GRID} bytes")
    bits = np.unpackbits(arrays["kept"], count=classes * rows * columns)
    kept = bits.view(np.bool_).reshape(grid)
    values = np.full(grid, DROPPED, dtype=np.float16)
    values[kept] = arrays["logits"]
    scale_y, scale_x = map(float, arrays["scale"])
    offset_y, offset_x = map(float, arrays["offset"])
    logits = SemanticLogits(values, _unpack_size(arrays), (scale_y, scale_x), (offset_y, offset_x))
    return TargetLogits(logits, arrays["class_category_ids"])


def _unpack_size(arrays: Arrays) -> tuple[int, int]:
    """(height, width) of the image."""
    height, width = map(int, arrays["size"])
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"no image is {describe_size((height, width))}")
    return height, width
