"""What the two nets say about an image, in the target label space; kept in a small file.

The file holds all that a fusion rule may ask for, so that rules and thresholds can be tried
without running a net again. Of the logits it keeps those that can win somewhere, which makes
its label map that of the whole logits to the pixel, and those that come near.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fuse.errors import CocoFormatError, ConfigError
from fuse.fusion import (
    METHODS,
    REACH,
    ClassLogits,
    choose_by_evidence,
    choose_by_overlap,
    drop_by_stuff_score,
)
from fuse.inference.presets import THRESHOLDS, FusionConfig
from fuse.io.files import read_regular, write_whole
from fuse.io.images import MAX_PIXELS
from fuse.labels import LabelMap, load_partners
from fuse.ops.argmax import find_possible_winners, merge_classes, upsample_argmax
from fuse.types import (
    BoxMasks,
    Instances,
    Int32Array,
    LabelSpace,
    PanopticPrediction,
    RleMasks,
    SemanticLogits,
    SemanticPrediction,
    TargetLogits,
)

Arrays = dict[str, npt.NDArray[Any]]

NEAR = REACH  # logits this far below a cell's largest are kept: all that a rule looks at
MAX_UNPACKED = 2**31  # bytes of all arrays of an image; a label map of MAX_PIXELS takes a third
DROPPED = np.finfo(np.float16).min  # stands for a logit that was not kept

LOWEST_SAVED_SCORE = (
    0.05  # down to which instances are kept; what detectors are customarily scored down to
)


def lowest_saved_score(fusion: FusionConfig) -> float:
    """Down to which score a run by this rule keeps instances."""
    return min(LOWEST_SAVED_SCORE, fusion.score_threshold)


@dataclass(frozen=True, slots=True, eq=False)
class ImagePrediction:
    """What the two nets say about one image, in the target label space.

    Attributes:
        semantic: logits, or the label map of a net that has none.
        instances: in the instance net's order; masks of a float16's precision.
    """

    semantic: TargetLogits | SemanticPrediction
    instances: Instances

    def __post_init__(self) -> None:
        if self.semantic.size != self.instances.size:
            raise ValueError(f"sizes {self.semantic.size} and {self.instances.size} differ")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image."""
        return self.instances.size

    def find_category_ids(self) -> set[int]:
        """What the nets may have said of some pixel; 0 = void."""
        semantic = self.semantic
        ids = (
            np.unique(semantic.label_map)
            if isinstance(semantic, SemanticPrediction)
            else semantic.category_ids
        )
        return {*ids.tolist(), *self.instances.category_ids.tolist()}

    def label(self) -> SemanticPrediction:
        """The label map: logits upsampled to the image, the best class of each pixel."""
        if isinstance(self.semantic, SemanticPrediction):
            return self.semantic
        logits = self.semantic.logits
        label_map = upsample_argmax(
            logits.logits,
            logits.size,
            self.semantic.category_ids,
            scale=logits.scale,
            offset=logits.offset,
        )
        return SemanticPrediction(label_map, self.semantic)


def map_logits(logits: SemanticLogits, class_targets: Int32Array) -> TargetLogits:
    """Carry logits into the target space.

    Rows that share a target have their probabilities added. Rows without a target stay
    apart: where one of them is the largest, the pixel is void.

    Args:
        logits: in a net's own classes.
        class_targets: int32 (C,), the target category_id of each row, 0 = none.
    """
    # A key of its own for each row without a target.
    keys = np.where(class_targets > 0, class_targets, -1 - np.arange(len(class_targets)))
    groups, group_of_row = np.unique(keys, return_inverse=True)
    if len(groups) == len(keys):
        return TargetLogits(logits, class_targets)
    merged = merge_classes(logits.logits, group_of_row.astype(np.int32)).astype(np.float16)
    return TargetLogits(replace(logits, logits=merged), np.maximum(groups, 0).astype(np.int32))


def map_labels(semantic: SemanticPrediction, label_map: LabelMap) -> SemanticPrediction:
    """A finished label map in the target space; a label without a target becomes void."""
    if label_map.is_identity:
        return semantic
    largest = max(int(semantic.label_map.max()), *label_map.target_ids)
    targets = np.zeros(largest + 1, dtype=np.int32)
    for source_id, target_id in label_map.target_ids.items():
        targets[source_id] = target_id
    return SemanticPrediction(targets[semantic.label_map])


def map_instances(instances: Instances, label_map: LabelMap) -> Instances:
    """Instances in the target space, masks rounded to float16.

    Those whose category has no thing there are dropped. The rounding moves a mask's outline
    by less than a thousandth of a cell and lets half as large a file keep it exactly.
    """
    if isinstance(instances.masks, BoxMasks):
        rounded = instances.masks.probs.astype(np.float16).astype(np.float32)
        instances = replace(instances, masks=BoxMasks(rounded))
    if label_map.is_identity:
        return instances
    targets = [label_map.target_ids[i] for i in instances.category_ids.tolist()]
    category_ids = np.array(targets, dtype=np.int32)
    return instances.select(np.isin(category_ids, label_map.target.thing_ids), category_ids)


def fuse_image(
    semantic: SemanticPrediction,
    instances: Instances,
    space: LabelSpace,
    fusion: FusionConfig,
    choices: Mapping[int, Sequence[int]],
    *,
    evidence: ClassLogits | None = None,
) -> PanopticPrediction:
    """The panoptic map of an image by a preset's rule.

    Args:
        semantic: label map in the space.
        instances: in the space.
        space: the target.
        fusion: rule, thresholds and parameters.
        choices: what an instance may be instead (`LabelMap.choices`); the rule's
            class_choice says whether it matters.
        evidence: `weigh_classes` of the same semantic prediction, for the rules that ask for
            it; measured here where it is not given.

    Raises:
        ConfigError: the pairs name a class that is not in the space.
        LabelSpaceError: the class choice goes by partners, and the space has none.
    """
    instances = choose_classes(semantic, instances, space, fusion, choices)
    rule = METHODS[fusion.rule]
    settings = {key: getattr(fusion, key) for key in (*THRESHOLDS, *rule.parameters)}
    if "pairs" in settings:
        settings["pairs"] = find_pairs(fusion, space)
    if rule.weighs_classes:
        settings["evidence"] = evidence
    fused: PanopticPrediction = rule.fuse(semantic, instances, space, **settings)
    return drop_by_stuff_score(fused, semantic, fusion.stuff_score)


def choose_classes(
    semantic: SemanticPrediction,
    instances: Instances,
    space: LabelSpace,
    fusion: FusionConfig,
    choices: Mapping[int, Sequence[int]],
) -> Instances:
    """The instances, each in one of its possible classes, as a preset's class_choice says.

    Args:
        semantic: label map in the space.
        instances: in the space, each in its commonest class.
        space: the target.
        fusion: the class choice and the score threshold.
        choices: what an instance may be instead (`LabelMap.choices`).

    Raises:
        LabelSpaceError: the class choice goes by partners, and the space has none.
    """
    if fusion.class_choice == "evidence":
        return choose_by_evidence(instances, semantic, choices)
    if fusion.class_choice == "overlap":
        partners, score_threshold = load_partners(space), fusion.score_threshold
        return choose_by_overlap(instances, choices, partners, score_threshold=score_threshold)
    return instances


def find_pairs(fusion: FusionConfig, space: LabelSpace) -> frozenset[tuple[int, int]]:
    """The pairs of a rule as category ids, (above, below).

    Raises:
        ConfigError: a name is not in the space, or the rule ``pairs`` has none.
    """
    if fusion.rule == "pairs" and not fusion.pairs:
        raise ConfigError("the rule 'pairs' needs fusion.pairs: a CSV file, as `fuse pairs` writes")
    for name in sorted({name for pair in fusion.pairs for name in pair} - space.by_name.keys()):
        near = get_close_matches(name, space.by_name, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"fusion.pairs names {name!r}, which is not in {space.name}{hint}")
    by_name = space.by_name
    return frozenset(
        (by_name[above].category_id, by_name[below].category_id) for above, below in fusion.pairs
    )


def write_prediction(path: Path, prediction: ImagePrediction) -> str:
    """Write a prediction as a compressed ``.npz``, whole or not at all.

    Returns:
        SHA-256 of the file in hex.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full.
    """
    file = io.BytesIO()
    arrays = _pack_instances(prediction.instances) | _pack_semantic(prediction.semantic)
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return write_whole(path, file.getvalue())


def read_prediction(path: Path) -> ImagePrediction:
    """Read what `write_prediction` wrote.

    Raises:
        CocoFormatError: the file is missing, damaged or no such file.
    """
    try:
        arrays = _read_arrays(read_regular(path))
        return ImagePrediction(_unpack_semantic(arrays), _unpack_instances(arrays))
    except Exception as err:  # readers of archives raise almost anything on damaged files
        raise CocoFormatError(f"{path}: not a kept prediction ({err})") from err


def _read_arrays(content: bytes) -> Arrays:
    """The arrays of an ``.npz``; ValueError where they need more room than any image's."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_UNPACKED:
            raise ValueError(f"more than {MAX_UNPACKED} bytes unpacked")
        return {
            name.removesuffix(".npy"): _read_array(archive.read(name))
            for name in archive.namelist()
        }


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
    if classes * rows * columns * DROPPED.itemsize > MAX_UNPACKED:
        raise ValueError(f"a grid of {grid} takes more than {MAX_UNPACKED} bytes")
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
        raise ValueError(f"no image is {height} x {width}")
    return height, width
