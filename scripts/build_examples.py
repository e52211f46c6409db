"""Build the panoptic truth of the example images from the polygons drawn on them.

Inputs, in the folder given (default `examples/`):
    polygons.json       per image the drawn polygons, back to front: a COCO panoptic category
                        name (or "void", which clears), the polygon as [[x, y], ...] in pixel
                        centres, and "iscrowd": true for a group region
    credits.csv         file_name, author, license, license_url, source_url of each image
    images/*.jpg        the images

Outputs, the same bytes on each run:
    annotations/*.png   segment_id = R + 256 G + 65536 B, 0 = void, ids 1, 2, 3, ...
    annotations.json    COCO panoptic JSON; area and bbox are counted from the final map

A later polygon lies over the earlier ones. A thing is one polygon; all polygons of a stuff
category, and all crowd polygons of a category, are one segment of their image. It prints:
8 images, 22 segments.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fuse.io.images import read_image
from fuse.io.png import write_id_map
from fuse.labels import load_space
from fuse.ops.segments import measure_segments
from fuse.types import Int32Array, LabelSpace

VOID = "void"


def paint_polygons(
    polygons: list[dict[str, Any]], size: tuple[int, int], space: LabelSpace
) -> tuple[Int32Array, list[dict[str, Any]]]:
    """Paint polygons back to front.

    Returns:
        panoptic_map int32 (H, W), 0 = void, and its segments_info as COCO has it.

    Raises:
        ValueError: a segment lies hidden under others, so its polygon is wrong.
    """
    panoptic_map = np.zeros(size, np.int32)
    segments: list[tuple[int, bool]] = []  # (category_id, iscrowd) of segment 1, 2, 3, ...
    for drawn in polygons:
        segment_id = 0
        if drawn["category"] != VOID:
            category = space.by_name[drawn["category"]]
            segment = (category.category_id, drawn.get("iscrowd", False))
            is_single = category.isthing and not segment[1]
            if is_single or segment not in segments:
                segments.append(segment)
            segment_id = len(segments) if is_single else segments.index(segment) + 1
        cv2.fillPoly(panoptic_map, [np.asarray(drawn["polygon"], np.int32)], segment_id)
    segment_ids = np.arange(1, len(segments) + 1, dtype=np.int32)
    areas, bboxes, _ = measure_segments(panoptic_map, segment_ids)
    if not areas.all():
        raise ValueError(f"no pixels left of segments {segment_ids[areas == 0].tolist()}")
    columns = zip(segments, segment_ids.tolist(), areas.tolist(), bboxes.tolist(), strict=True)
    return panoptic_map, [
        {
            "id": segment_id,
            "category_id": category_id,
            "area": area,
            "bbox": bbox,
            "iscrowd": int(iscrowd),
        }
        for (category_id, iscrowd), segment_id, area, bbox in columns
    ]


def build_examples(folder: Path) -> dict[str, Any]:
    """Write annotations/*.png and return what annotations.json holds."""
    space = load_space("coco_panoptic")
    polygons = json.loads((folder / "polygons.json").read_text(encoding="utf-8"))
    with (folder / "credits.csv").open(encoding="utf-8", newline="") as file:
        credit_rows = list(csv.DictReader(file))
    (folder / "annotations").mkdir(exist_ok=True)
    images, annotations = [], []
    for image_id, credit in enumerate(credit_rows, 1):
        image_name, png_name = credit["file_name"], Path(credit["file_name"]).stem + ".png"
        height, width = read_image(folder / "images" / image_name).shape[:2]
        panoptic_map, segments = paint_polygons(polygons[image_name], (height, width), space)
        write_id_map(folder / "annotations" / png_name, panoptic_map)
        images.append({"id": image_id, "height": height, "width": width, **credit})
        annotations.append({"image_id": image_id, "file_name": png_name, "segments_info": segments})
    categories = [
        {
            "id": category.category_id,
            "name": category.name,
            "isthing": int(category.isthing),
            "supercategory": category.supercategory,
        }
        for category in space.categories
    ]
    return {"images": images, "annotations": annotations, "categories": categories}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build the truth of the example images.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("examples"))
    examples: Path = parser.parse_args().folder
    built = build_examples(examples)
    (examples / "annotations.json").write_bytes((json.dumps(built, indent=1) + "\n").encode())
    n_segments = sum(len(annotation["segments_info"]) for annotation in built["annotations"])
    print(f"{len(built['images'])} images, {n_segments} segments")
