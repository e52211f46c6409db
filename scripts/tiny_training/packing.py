"""The `pack` stage: data root and work folder for another machine, in one small zip file.

Unpack it there (`python -m zipfile -e tiny.zip tiny`) and train with `--data tiny/data --work
tiny/work`. Images are shrunk to about what training sees of them. All that people drew comes
along, and as many of the images with true boxes only as the size allows.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import cv2
import numpy as np
from tiny_training.photos import (
    LABELS_FILE,
    TEACHER_FILE,
    Array,
    LabelledObject,
    Photo,
    decode_mask,
    encode_mask,
    read_image,
    read_segment_ids,
)
from tiny_training.teachers import MOSAIC_CLASSES

PACKED_FILE = "tiny.zip"
LONG_SIDE = 400  # pixels, of images with truth
BOXED_LONG_SIDE = 352  # of the others
QUALITY, BOXED_QUALITY = 75, 62  # of JPEG
TEACHER_CELLS = 32  # per side of what is kept of the stuff teacher's answer, of 128
TEACHER_STEP = 16  # its probabilities are rounded to 16 of 255
LABEL_BYTES = 3200  # of an image's labels and teacher, compressed, about
CONTEXT_FILES = (
    "weights/labels.json",
    "weights/yolox_nano_coco80.onnx",
    "coco-panoptic/annotations/panoptic_train2017.json",
)


def pack_data(photos: list[Photo], data: Path, work: Path, folder: Path, mebibytes: float) -> None:
    """Write `tiny.zip` into a folder, of at most so many mebibytes."""
    folder.mkdir(parents=True, exist_ok=True)
    teacher = np.load(work / TEACHER_FILE, mmap_mode="r")
    room = mebibytes * 2**20
    kept: list[Photo] = []
    answers: list[Array] = []
    with ZipFile(folder / PACKED_FILE, "w", ZIP_STORED) as packed:
        for file in CONTEXT_FILES:
            packed.write(data / file, f"data/{file}", ZIP_DEFLATED)
        room -= sum(entry.compress_size for entry in packed.infolist())
        for photo in sorted(photos, key=lambda one: not is_drawn(one)):
            small, jpeg, png = shrink_photo(photo, data)
            room -= len(jpeg) + len(png) + LABEL_BYTES
            if room < 0:
                break
            packed.writestr(f"data/{small.file_name}", jpeg)
            if small.panoptic:
                packed.writestr(f"data/{small.panoptic}", png)
            if photo.teacher_row is not None:
                small.teacher_row = len(answers)
                answers.append(shrink_answer(teacher[photo.teacher_row]))
            kept.append(small)
        labels = json.dumps([asdict(photo) for photo in kept])
        packed.writestr(f"work/{LABELS_FILE}", labels, ZIP_DEFLATED, 9)
        entry = ZipInfo(f"work/{TEACHER_FILE}")
        entry.compress_type = ZIP_DEFLATED
        shape = (0, TEACHER_CELLS, TEACHER_CELLS, MOSAIC_CLASSES)
        rows = np.stack(answers) if answers else np.zeros(shape, np.uint8)
        with packed.open(entry, "w", force_zip64=True) as file:
            np.lib.format.write_array(file, rows)
    size = (folder / PACKED_FILE).stat().st_size / 2**20
    print(f"{len(kept)} of {len(photos)} images, {size:.1f} MiB", flush=True)


def is_drawn(photo: Photo) -> bool:
    """Whether every mask of an image is a person's."""
    return photo.complete and all(labelled.true_mask for labelled in photo.objects)


def shrink_photo(photo: Photo, data: Path) -> tuple[Photo, bytes, bytes]:
    """Shrink an image with its labels; answers it, its JPEG, and its PNG of segments or nothing."""
    drawn = is_drawn(photo) or photo.panoptic is not None
    side = LONG_SIDE if drawn else BOXED_LONG_SIDE
    scale = min(side / max(photo.height, photo.width), 1.0)
    width, height = round(photo.width * scale), round(photo.height * scale)
    image = cv2.resize(
        read_image(data / photo.file_name), (width, height), interpolation=cv2.INTER_AREA
    )
    quality = QUALITY if drawn else BOXED_QUALITY
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    png = b""
    if photo.panoptic:
        ids = read_segment_ids(data / photo.panoptic)
        ids = cv2.resize(ids, (width, height), interpolation=cv2.INTER_NEAREST)
        channels = [(ids >> shift & 255).astype(np.uint8) for shift in (16, 8, 0)]
        png = cv2.imencode(".png", cv2.merge(channels))[1].tobytes()
    ratios = (width / photo.width, height / photo.height)
    objects = [shrink_object(labelled, ratios, (width, height)) for labelled in photo.objects]
    return replace(photo, height=height, width=width, objects=objects), jpeg.tobytes(), png


def shrink_object(
    labelled: LabelledObject, ratios: tuple[float, float], size_wh: tuple[int, int]
) -> LabelledObject:
    """Scale an object's box and mask."""
    mask = cv2.resize(decode_mask(labelled), size_wh, interpolation=cv2.INTER_NEAREST)
    box = [round(edge * ratio, 2) for edge, ratio in zip(labelled.box, ratios * 2, strict=True)]
    return replace(labelled, box=box, rle=encode_mask(mask))


def shrink_answer(answer: Array) -> Array:
    """Average the teacher's uint8 (128, 128, C) over cells and round it, so that it compresses."""
    cells = cv2.resize(
        answer.astype(np.float32), (TEACHER_CELLS, TEACHER_CELLS), interpolation=cv2.INTER_AREA
    )
    rounded: Array = ((cells / TEACHER_STEP).round() * TEACHER_STEP).clip(0, 255).astype(np.uint8)
    return rounded
