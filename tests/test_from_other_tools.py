"""docs/from-other-tools.md: each command, on files in the form in which each tool writes them."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from pycocotools import mask as coco_mask

from fuse.cli import main
from fuse.io.png import write_id_map

PAGE = Path(__file__).parents[1] / "docs" / "from-other-tools.md"
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S))

HEIGHT, WIDTH = 96, 128
NAMES = {139: "000000000139.jpg", 285: "000000000285.jpg"}
PERSON, CAR, SKY = 1, 3, 187  # of COCO panoptic
BOXES = {PERSON: (8, 16, 24, 40), CAR: (60, 50, 40, 20)}  # x, y, width, height


def draw():
    """Category ids (HEIGHT, WIDTH): a person and a car before the sky."""
    labels = np.full((HEIGHT, WIDTH), SKY, np.int32)
    for category_id, (x, y, width, height) in BOXES.items():
        labels[y : y + height, x : x + width] = category_id
    return labels


def dump(path, content):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_grey(path, values):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


def write_images(folder, names=("000000000139.jpg", "000000000285.jpg")):
    for name in names:
        write_grey(Path(folder, name), np.full((HEIGHT, WIDTH, 3), 90))


def polygon(category_id):
    x, y, width, height = BOXES[category_id]
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def encode(mask):
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


def list_images(names=NAMES, **more):
    return [
        {"id": i, "file_name": name, "height": HEIGHT, "width": WIDTH, **more}
        for i, name in names.items()
    ]


def list_results(ids, names=NAMES):
    """Instances that a net found, by category id of the scene."""
    return [
        {
            "image_id": image_id,
            "category_id": ids[category_id],
            "bbox": list(map(float, BOXES[category_id])),
            "score": 0.9,
            "segmentation": encode(draw() == category_id),
        }
        for image_id in names
        for category_id in BOXES
    ]


COCO_CATEGORIES = [
    {"supercategory": "person", "color": [220, 20, 60], "isthing": 1, "id": 1, "name": "person"},
    {"supercategory": "vehicle", "color": [0, 0, 142], "isthing": 1, "id": 3, "name": "car"},
    {
        "supercategory": "sky",
        "color": [70, 130, 180],
        "isthing": 0,
        "id": 187,
        "name": "sky-other-merged",
    },
]


def write_panoptic(path, *, categories=COCO_CATEGORIES, ids=None, images=True, segment_ids=None):
    """A panoptic JSON and its PNGs of the scene; ids are those of the categories there."""
    ids = ids or {i: i for i in (PERSON, CAR, SKY)}
    segment_ids = segment_ids or {PERSON: 7, CAR: 300, SKY: 70000}
    labels, annotations = draw(), []
    panoptic_map = np.zeros_like(labels)
    for category_id, segment_id in segment_ids.items():
        panoptic_map[labels == category_id] = segment_id
    for image_id, name in NAMES.items():
        png = Path(path).with_suffix("") / name.replace(".jpg", ".png")
        png.parent.mkdir(parents=True, exist_ok=True)
        write_id_map(png, panoptic_map)
        segments = [
            {
                "id": segment_ids[i],
                "category_id": ids[i],
                "iscrowd": 0,
                "area": int(area),
                "bbox": [],
            }
            for i, area in zip(*np.unique(labels, return_counts=True), strict=True)
        ]
        for segment in segments:
            segment["bbox"] = [0, 0, WIDTH, HEIGHT]
        annotations.append({"image_id": image_id, "file_name": png.name, "segments_info": segments})
    content = {"annotations": annotations}
    if images:
        content |= {"images": list_images(), "categories": categories}
    dump(path, content)


def write_panopticapi():
    write_panoptic("panoptic_val.json")
    write_panoptic("pred.json")
    ids = {i: i for i in BOXES}
    dump("instances.json", list_results(ids))
    stuff = encode(draw() == SKY)
    dump("stuff.json", [{"image_id": i, "category_id": SKY, "segmentation": stuff} for i in NAMES])


def write_detectron2():
    """COCOEvaluator's and SemSegEvaluator's files; things are category 0 of the stuff head."""
    write_panoptic("panoptic_val.json")
    dump("inference/coco_instances_results.json", list_results({i: i for i in BOXES}))
    entries = [
        {"file_name": name, "image_id": i, "category_id": category_id, "segmentation": encode(mask)}
        for i, name in NAMES.items()
        for category_id, mask in ((0, draw() != SKY), (SKY, draw() == SKY))
    ]
    dump("inference/sem_seg_predictions.json", entries)


def write_mmdetection():
    """CocoPanopticMetric's files: annotations alone, ids of label + 1000 n."""
    write_panoptic("panoptic_val.json")
    write_images("images")
    segment_ids = {PERSON: 1000, CAR: 1002, SKY: 119}
    write_panoptic("work/coco.panoptic.json", images=False, segment_ids=segment_ids)


def write_transformers():
    """What post_process_panoptic_segmentation answers, both ways: 0 is void, or -1 is."""
    write_panoptic("panoptic_val.json")
    write_images("images")
    id2label = {0: "person", 2: "car", 119: "sky-other-merged"}
    results = []
    for first, void in ((1, 0), (0, -1)):
        ids = {PERSON: (first, 0), CAR: (first + 1, 2), SKY: (first + 2, 119)}
        segmentation = np.full((HEIGHT, WIDTH), void, np.float32)
        for category_id, (segment_id, _) in ids.items():
            segmentation[draw() == category_id] = segment_id
        infos = [
            {"id": segment_id, "label_id": label_id, "was_fused": False, "score": 0.9}
            for segment_id, label_id in ids.values()
        ]
        results.append({"segmentation": segmentation, "segments_info": infos})
    (code,) = re.findall(r"```python\n(.*?)```", SECTIONS["transformers"], re.S)
    exec(code, {"results": results, "names": [*NAMES.values()], "id2label": id2label})  # noqa: S102


def write_fiftyone():
    """COCODetectionDataset with confidences, and ImageSegmentationDirectory."""
    write_panoptic("panoptic_val.json")
    categories = [
        {"id": c["id"], "name": c["name"], "supercategory": None} for c in COCO_CATEGORIES
    ]
    annotations = [
        {"id": n, **entry, "segmentation": [polygon(entry["category_id"])], "iscrowd": 0}
        for n, entry in enumerate(list_results({i: i for i in BOXES}), start=1)
    ]
    info = {"year": "", "version": "", "description": "Exported from FiftyOne", "url": ""}
    images = list_images(license=None, coco_url=None)
    content = {"info": info, "licenses": [], "categories": categories, "images": images}
    dump("instances/labels.json", content | {"annotations": annotations})
    for name in NAMES.values():
        write_grey(Path("masks/labels", name.replace(".jpg", ".png")), draw())


def write_datumaro():
    """coco_panoptic: ids from 1 in the order of the labels, none of them a thing."""
    categories = [
        {"id": i, "name": c["name"], "supercategory": "", "isthing": 0}
        for i, c in enumerate(COCO_CATEGORIES, start=1)
    ]
    ids = {PERSON: 1, CAR: 2, SKY: 3}
    for folder in (".", "predicted"):
        path = Path(folder, "annotations/panoptic_val.json")
        write_panoptic(path, categories=categories, ids=ids)
    write_images("images/val")


def write_annotations(path, names, ids, categories, image=None):
    """Instances as annotation tools export them: polygons without scores."""
    annotations = [
        {
            "id": n,
            "image_id": image_id,
            "category_id": ids[category_id],
            "segmentation": [polygon(category_id)],
            "bbox": list(BOXES[category_id]),
            "area": 900,
            "iscrowd": 0,
        }
        for n, (image_id, category_id) in enumerate((i, c) for i in names for c in BOXES)
    ]
    images = list_images(names, **(image or {}))
    dump(path, {"images": images, "categories": categories, "annotations": annotations})


def write_own_nets(ids, names, void=0):
    """What a net of one's own found among these categories, and a label space with stuff."""
    dump("results.json", list_results(ids, names))
    values = np.vectorize({PERSON: void, CAR: void, SKY: ids[SKY]}.get)(draw())
    for name in names.values():
        write_grey(Path("masks", Path(name).stem + ".png"), values)
    rows = [f"{ids[PERSON]},0,cat,1", f"{ids[CAR]},1,dog,1", f"{ids[SKY]},2,sky,0"]
    head = "category_id,class_index,name,isthing,supercategory,r,g,b"
    Path("mine.csv").write_text("\n".join([head, *(f"{row},,9,9,9" for row in rows)]) + "\n")


def write_coco_annotator():
    ids = {PERSON: 1, CAR: 2, SKY: 3}
    categories = [
        {"id": i, "name": n, "supercategory": "", "color": "#fd380c", "metadata": {}}
        | {"keypoint_colors": [], "creator": "admin"}
        for i, n in ((1, "cat"), (2, "dog"), (3, "sky"))
    ]
    image = {"dataset_id": 1, "path": "/datasets/pets/a.jpg", "annotated": False, "metadata": {}}
    write_annotations("export.json", NAMES, ids, categories, image)
    write_own_nets(ids, NAMES)
    write_images("images")


def write_labelme2coco():
    ids = {PERSON: 0, CAR: 1, SKY: 2}
    categories = [
        {"id": i, "name": n, "supercategory": n} for i, n in enumerate(("cat", "dog", "sky"))
    ]
    write_annotations("train.json", NAMES, ids, categories)
    write_own_nets(ids, NAMES, void=255)
    write_images("images")


def write_roboflow():
    ids = {PERSON: 1, CAR: 2, SKY: 3}
    names = {i: f"cat{i}_jpg.rf.0f1e2d.jpg" for i in range(2)}
    categories = [{"id": 0, "name": "pets", "supercategory": "none"}] + [
        {"id": i, "name": n, "supercategory": "pets"}
        for i, n in ((1, "cat"), (2, "dog"), (3, "sky"))
    ]
    image = {"license": 1, "date_captured": "2026-01-01T00:00:00+00:00"}
    write_annotations("valid/_annotations.coco.json", names, ids, categories, image)
    write_own_nets(ids, names)
    write_images("valid", names.values())


ALL_RIGHT = r"^all +100\.0 "
FUSED = r"^2 images, 6 segments -> fused"
SHOWN = r"^2 of 2 images, .* -> report\.html"
# What each command prints, in the order of the page.
PRINTED = {
    "panopticapi": (write_panopticapi, [ALL_RIGHT, FUSED]),
    "detectron2": (write_detectron2, [FUSED, ALL_RIGHT]),
    "mmdetection": (write_mmdetection, [ALL_RIGHT, SHOWN]),
    "transformers": (write_transformers, [ALL_RIGHT, SHOWN]),
    "FiftyOne": (write_fiftyone, [FUSED, ALL_RIGHT]),
    "Datumaro": (write_datumaro, [ALL_RIGHT, SHOWN]),
    "COCO Annotator": (write_coco_annotator, [FUSED, SHOWN]),
    "labelme2coco": (write_labelme2coco, [FUSED, SHOWN]),
    "Roboflow": (write_roboflow, [FUSED, SHOWN]),
}


def call(command):
    return CliRunner().invoke(main, shlex.split(command))


def test_each_tool_of_the_page_is_tried():
    assert list(SECTIONS) == list(PRINTED)


@pytest.mark.parametrize("tool", PRINTED)
def test_the_commands_do_what_the_page_says(tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write, printed = PRINTED[tool]
    write()
    commands = re.findall(r"^\$ fuse (.*)$", SECTIONS[tool], re.M)
    assert len(commands) == len(printed)
    for command, pattern in zip(commands, printed, strict=True):
        result = call(command)
        assert result.exit_code == 0, result.output
        assert re.search(pattern, result.stdout, re.M), result.output
        assert "warning" not in result.stderr
