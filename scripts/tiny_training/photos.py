"""Photos and their labels: what the `labels` stage writes and the trainings read."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

Array = npt.NDArray[Any]

LABELS_FILE = "labels.json"
TEACHER_FILE = "semantic_teacher.npy"
SOFT_FILE = "soft_labels.npy"
SURE = 0.45  # a pseudo-label of this precision has a mask and trains boxes and masks


@dataclass
class LabelledObject:
    """One instance of a photo.

    Attributes:
        category_id: 1..12 of `coco_super`.
        box: x1, y1, x2, y2 in pixels of the stored photo.
        rle: COCO compressed mask of the stored photo's size; empty for an unsure pseudo-label.
        confidence: 1 for a person's label, the teacher's precision for a pseudo-label, 0 for a
            crowd, whose surroundings are ignored.
        true_mask: the mask is a person's; else a net's, inside the box.
    """

    category_id: int
    box: list[float]
    rle: dict[str, Any]
    confidence: float
    true_mask: bool = True


@dataclass
class Photo:
    """One photo and what is known about it.

    Attributes:
        file_name: path below the data root.
        source: folder below the data root.
        held_out: not trained on; thresholds are chosen on it.
        complete: the objects are a person's, and all there are.
        panoptic: path of the panoptic PNG below the data root, or None.
        segments: segment id of that PNG -> category_id of `coco_super`.
        crowds: segment ids of that PNG that are crowds.
        teacher_row: row of the semantic teacher's file, or None.
        known: where not `complete`, category_ids of which every object is labelled.
    """

    file_name: str
    height: int
    width: int
    source: str
    held_out: bool
    complete: bool
    objects: list[LabelledObject] = field(default_factory=list)
    panoptic: str | None = None
    segments: dict[int, int] = field(default_factory=dict)
    crowds: list[int] = field(default_factory=list)
    teacher_row: int | None = None
    known: list[int] = field(default_factory=list)


def save_photos(photos: list[Photo], path: Path) -> None:
    """Write photos and labels as JSON, whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps([asdict(photo) for photo in photos]))
    part.replace(path)


def load_photos(path: Path) -> list[Photo]:
    """Read what `save_photos` wrote."""
    photos = []
    for entry in json.loads(path.read_text()):
        entry["objects"] = [LabelledObject(**one) for one in entry["objects"]]
        entry["segments"] = {int(key): value for key, value in entry["segments"].items()}
        photos.append(Photo(**entry))
    return photos


def read_image(path: Path) -> Array:
    """Read a photo as RGB, uint8 (H, W, 3)."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(path)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def decode_mask(labelled: LabelledObject) -> Array:
    """Decode an object's mask to uint8 (H, W) of 0 and 1."""
    rle = dict(labelled.rle)
    rle["counts"] = rle["counts"].encode()
    return coco_mask.decode(rle)


def encode_mask(mask: Array) -> dict[str, Any]:
    """Encode a binary (H, W) mask as a COCO compressed RLE that JSON can hold."""
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode()}


def read_segment_ids(path: Path) -> Array:
    """Read a panoptic PNG as segment id per pixel, int32 (H, W), 0 = void."""
    png = read_image(path).astype(np.int32)
    return png[..., 0] + 256 * png[..., 1] + 65536 * png[..., 2]


def read_label_map(photo: Photo, root: Path) -> Array:
    """Read the panoptic truth of a photo as `category_id` per pixel, int32 (H, W), 0 = void."""
    if photo.panoptic is None:
        raise ValueError(f"{photo.file_name} has no panoptic truth")
    segment_ids = read_segment_ids(root / photo.panoptic)
    label_map = np.zeros(segment_ids.shape, np.int32)
    for segment_id, category_id in photo.segments.items():
        label_map[segment_ids == segment_id] = category_id
    return label_map
