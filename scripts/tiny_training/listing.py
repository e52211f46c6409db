"""What people labelled: every image that may be trained on, gathered from all data folders.

An image that lies in two folders is listed once, with the newer labels.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from tiny_training.choosing import PANOPTIC_FOLDER, read_choosing_set, read_duplicates
from tiny_training.photos import LabelledObject, Photo, read_segment_ids

FIRST_STUFF_ID = 13
PERSON = 1
SAME_BOX = 3.0  # pixels: a keypoint file's person box and the full box differ by less
Annotations = dict[int, list[dict[str, Any]]]


def list_photos(root: Path) -> Iterator[Photo]:
    """Yield every image with the labels that people gave it, those of the choosing set too."""
    panoptic_ids = {entry["id"] for entry in read(root, PANOPTIC_FOLDER, "panoptic.json")["images"]}
    newer = panoptic_ids | read_duplicates(root, "coco-instances-more")
    held_out = read_choosing_set()
    for photos in (
        list_panoptic(root, "coco-panoptic", "images/train2017"),
        list_panoptic(root, PANOPTIC_FOLDER, "images"),
        list_instances(root, "coco-instances-mini", panoptic_ids),
        list_instances(root, "coco-instances-more", panoptic_ids),
        list_partial(root),
        list_boxed(root, newer),
    ):
        for photo in photos:
            photo.held_out = photo.file_name in held_out
            yield photo


def list_panoptic(root: Path, folder: str, images: str) -> Iterator[Photo]:
    """Yield images with panoptic truth; things without instance file are cut from the PNG."""
    old = folder == "coco-panoptic"
    panoptic_file = "annotations/panoptic_train2017.json" if old else "panoptic.json"
    instances_file = "annotations/instances_train2017.json" if old else "instances.json"
    pngs = "annotations/panoptic_train2017" if old else "panoptic"
    category_of = coco_category_to_super(root)
    instances = read(root, folder, instances_file)
    complete = {entry["id"] for entry in instances["images"]}
    by_image = group_by_image(instances["annotations"])
    panoptic = read(root, folder, panoptic_file)
    truth = {entry["image_id"]: entry for entry in panoptic["annotations"]}
    for entry in instances["images"] if old else panoptic["images"]:
        photo = open_photo(entry, folder, images)
        segments = truth[entry["id"]]["segments_info"]
        photo.panoptic = f"{folder}/{pngs}/{truth[entry['id']]['file_name']}"
        photo.segments = {one["id"]: category_of[one["category_id"]] for one in segments}
        photo.crowds = [one["id"] for one in segments if one["iscrowd"]]
        if entry["id"] in complete:
            for annotation in by_image[entry["id"]]:
                photo.objects.append(read_object(annotation, photo, category_of))
        else:
            photo.objects += cut_objects(photo, root)
        yield photo


def cut_objects(photo: Photo, root: Path) -> Iterator[LabelledObject]:
    """Make objects of the things in an image's panoptic PNG; crowds are to be ignored."""
    segment_ids = read_segment_ids(root / str(photo.panoptic))
    for segment_id, category_id in photo.segments.items():
        mask = segment_ids == segment_id
        if category_id >= FIRST_STUFF_ID or not mask.any():
            continue
        rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        x, y, width, height = (float(side) for side in coco_mask.toBbox(rle))
        yield LabelledObject(
            category_id=category_id,
            box=[x, y, x + width, y + height],
            rle=to_json(rle),
            confidence=0.0 if segment_id in photo.crowds else 1.0,
        )


def list_instances(root: Path, folder: str, dropped: set[int]) -> Iterator[Photo]:
    """Yield images with complete instances and no stuff, but for those that are `dropped`."""
    category_of = coco_category_to_super(root)
    instances = read(root, folder, "instances.json")
    by_image = group_by_image(instances["annotations"])
    for entry in instances["images"]:
        if entry["id"] in dropped:
            continue
        photo = open_photo(entry, folder, "images")
        for annotation in by_image[entry["id"]]:
            photo.objects.append(read_object(annotation, photo, category_of))
        yield photo


def list_partial(root: Path) -> Iterator[Photo]:
    """Yield the street images, where people labelled a few classes only.

    `known` are the supercategories of which every object is labelled: persons. The labelled
    vehicles are not all vehicles.
    """
    for photo in list_instances(root, "coco-partial-street", set()):
        photo.complete = False
        photo.known = [PERSON]
        yield photo


def list_boxed(root: Path, dropped: set[int]) -> Iterator[Photo]:
    """Yield images with every true box, and masks where some folder has a polygon of a box.

    Boxes without a polygon have `true_mask` False and an empty mask, to be filled in.
    """
    category_of = coco_category_to_super(root)
    boxes = read(root, "coco-val2017-boxes", "boxes.json")
    by_image = group_by_image(boxes["annotations"])
    persons = group_by_image(read(root, "coco-single-person", "instances.json")["annotations"])
    lvis = read(root, "coco-lvis-labels", "lvis.json")["annotations"]
    outlines = {one["coco_box_id"]: one for one in lvis if one.get("coco_box_id")}
    for entry in boxes["images"]:
        if entry["id"] in dropped:
            continue
        photo = open_photo(entry, entry["folder"], "images")
        for annotation in by_image[entry["id"]]:
            outline = outlines.get(annotation["id"]) or find_person(
                annotation, persons[entry["id"]]
            )
            crowd = annotation["iscrowd"] or annotation["maybe_crowd"]
            merged = {**annotation, "iscrowd": crowd, "segmentation": [whole_box(annotation)]}
            if outline and not crowd:
                merged["segmentation"] = outline["segmentation"]
            labelled = read_object(merged, photo, category_of)
            labelled.true_mask = bool(outline) and not crowd
            photo.objects.append(labelled)
        yield photo


def find_person(annotation: dict[str, Any], persons: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Find the person whose polygon belongs to a box of category 1, or None."""
    if annotation["category_id"] != PERSON:
        return None
    for person in persons:
        if np.abs(np.subtract(person["bbox"], annotation["bbox"])).max() < SAME_BOX:
            return person
    return None


def whole_box(annotation: dict[str, Any]) -> list[float]:
    """Outline a `bbox` as a polygon."""
    x, y, width, height = annotation["bbox"]
    right, bottom = x + width, y + height
    return [x, y, right, y, right, bottom, x, bottom]


def open_photo(entry: dict[str, Any], folder: str, images: str) -> Photo:
    """Make a `Photo` without labels of a COCO image entry."""
    return Photo(
        file_name=f"{folder}/{images}/{entry['file_name']}",
        height=entry["height"],
        width=entry["width"],
        source=folder,
        held_out=False,
        complete=True,
    )


def read_object(
    annotation: dict[str, Any], photo: Photo, category_of: dict[int, int]
) -> LabelledObject:
    """Turn a COCO annotation (polygons or either RLE) into a `LabelledObject`."""
    outline = annotation["segmentation"]
    if isinstance(outline, list):
        rle = coco_mask.merge(coco_mask.frPyObjects(outline, photo.height, photo.width))
    elif isinstance(outline["counts"], list):
        rle = coco_mask.frPyObjects(outline, photo.height, photo.width)
    else:
        rle = {"size": outline["size"], "counts": outline["counts"].encode()}
    x, y, width, height = annotation["bbox"]
    return LabelledObject(
        category_id=category_of[annotation["category_id"]],
        box=[x, y, x + max(width, 1.0), y + max(height, 1.0)],
        rle=to_json(rle),
        confidence=0.0 if annotation["iscrowd"] else 1.0,
    )


def to_json(rle: dict[str, Any]) -> dict[str, Any]:
    """Make a compressed RLE that JSON can hold."""
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode()}


def group_by_image(annotations: Iterable[dict[str, Any]]) -> Annotations:
    """Group annotations by their image_id; unknown ids have none."""
    groups: Annotations = defaultdict(list)
    for annotation in annotations:
        groups[annotation["image_id"]].append(annotation)
    return groups


def read(root: Path, folder: str, file: str) -> dict[str, Any]:
    """Read a JSON file of a data folder."""
    content: dict[str, Any] = json.loads((root / folder / file).read_text())
    return content


@cache
def coco_category_to_super(root: Path) -> dict[int, int]:
    """Map COCO's 133 panoptic category ids to `coco_super`, in order of first appearance."""
    categories = read(root, "coco-panoptic", "annotations/panoptic_train2017.json")["categories"]
    names = list(dict.fromkeys(entry["supercategory"] for entry in categories))
    return {entry["id"]: names.index(entry["supercategory"]) + 1 for entry in categories}
