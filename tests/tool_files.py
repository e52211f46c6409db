"""Small label files in the layouts that labelling tools publish, written by hand.

Layouts after: labelme's ``examples/instance_segmentation`` (a JSON per image, version 4 and 5);
CVAT's page "XML annotation format", version 1.1, and its segmentation mask 1.1; Ultralytics' page
on segmentation datasets and their coco8-seg; Label Studio's pages on tasks and BrushLabels; COCO's
page "Data format". No content is taken from them.
"""

import base64
import json
from io import BytesIO

import numpy as np
from PIL import Image

from fuse import api
from fuse.io.coco.panoptic import read_panoptic_json

SIZE = (60, 80)  # of every image here


def png_text(mask):
    """A mask as the PNG in base64 that labelme keeps in a shape."""
    file = BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).convert("1").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def write_image(path, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1]).save(path)


LABELME = {
    "version": "5.4.1",
    "flags": {},
    "shapes": [
        {
            "label": "person",
            "points": [[10.0, 10.0], [19.0, 10.0], [19.0, 29.0], [10.0, 29.0]],
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        },
        {
            "label": "sofa",
            "points": [[30.0, 30.0], [49.0, 49.0]],
            "group_id": 1,
            "shape_type": "rectangle",
            "flags": {},
        },
        {
            "label": "sofa",
            "points": [[60.0, 40.0], [69.0, 40.0], [69.0, 49.0], [60.0, 49.0]],
            "group_id": 1,
            "shape_type": "polygon",
            "flags": {},
        },
        {
            "label": "__ignore__",
            "points": [[0.0, 0.0], [5.0, 0.0], [5.0, 5.0]],
            "group_id": None,
            "shape_type": "polygon",
            "flags": {},
        },
        {
            "label": "sofa",
            "points": [[2.0, 2.0]],
            "group_id": None,
            "shape_type": "point",
            "flags": {},
        },
    ],
    "imagePath": "2011_000003.jpg",
    "imageData": None,
    "imageHeight": SIZE[0],
    "imageWidth": SIZE[1],
}

CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>4</id>
      <name>segmentation</name>
      <size>1</size>
      <mode>annotation</mode>
      <overlap>0</overlap>
      <bugtracker></bugtracker>
      <flipped>False</flipped>
      <created>2018-09-25 11:34:24.617558+03:00</created>
      <updated>2018-09-25 11:38:27.301183+03:00</updated>
      <labels>
        <label>
          <name>car</name>
          <color>#fa3253</color>
          <type>any</type>
          <attributes>
            <attribute>
              <name>model</name>
              <mutable>False</mutable>
              <input_type>select</input_type>
              <default_value>mazda</default_value>
              <values>mazda
volvo</values>
            </attribute>
          </attributes>
        </label>
        <label>
          <name>road</name>
          <color>#33ddff</color>
          <type>any</type>
          <attributes></attributes>
        </label>
      </labels>
    </task>
    <dumped>2018-09-25 11:38:28.799808+03:00</dumped>
  </meta>
  <image id="0" name="filename000.jpg" width="80" height="60">
    <polygon label="road" source="manual" occluded="0" \
points="0.00,30.00;80.00,30.00;80.00,60.00;0.00,60.00" z_order="-1">
    </polygon>
    <polygon label="car" source="manual" occluded="0" \
points="10.00,20.00;30.00,20.00;30.00,40.00;10.00,40.00" z_order="1">
      <attribute name="model">volvo</attribute>
    </polygon>
    <mask label="car" source="manual" occluded="0" rle="0, 2, 2, 2, 2" left="28" top="38" \
width="4" height="2" z_order="2">
    </mask>
    <box label="car" source="manual" occluded="0" xtl="1.0" ytl="2.0" xbr="3.0" ybr="4.0" \
z_order="0">
    </box>
  </image>
</annotations>
"""

LABELMAP = """# label:color_rgb:parts:actions
background:0,0,0::
aeroplane:10,10,128::
sky:10,128,0::
"""

DATA_YAML = """# Ultralytics YOLO
path: ../datasets/coco8-seg # dataset root dir
train: images/train # train images (relative to 'path') 4 images
val: images/val # val images (relative to 'path') 4 images
test: # test images (optional)

# Classes
names:
  0: person
  1: bicycle
"""

YOLO_LINES = """1 0.125 0.25 0.375 0.25 0.375 0.75 0.125 0.75
0 0.5 0.5 0.625 0.5 0.5625 0.75
"""


_REGION = {
    "original_width": SIZE[1],
    "original_height": SIZE[0],
    "image_rotation": 0,
    "from_name": "tag",
    "to_name": "image",
    "origin": "manual",
}
_ROAD = [[0, 50], [100, 50], [100, 100], [0, 100]]
_BOX = {"x": 1, "y": 1, "width": 5, "height": 5, "rotation": 0, "rectanglelabels": ["Airplane"]}


def label_studio_tasks(rle):
    """A task with a brush mask, a polygon and a box, as an export of version 1 has it."""
    brush = {"format": "rle", "rle": rle, "brushlabels": ["Airplane"]}
    polygon = {"points": _ROAD, "closed": True, "polygonlabels": ["Road"]}
    annotation = {
        "id": 1001,
        "completed_by": 1,
        "result": [
            _REGION | {"id": "Dx_aB91ISN", "type": "brushlabels", "value": brush},
            _REGION | {"id": "qEx3TyXPoq", "type": "polygonlabels", "value": polygon},
            _REGION | {"id": "t5sp3TyXPo", "type": "rectanglelabels", "value": _BOX},
        ],
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2021-03-09T22:16:08.728353Z",
        "lead_time": 4.288,
    }
    task = {
        "id": 1,
        "data": {"image": "/data/upload/1/0b1c2d3e-street.jpg"},
        "annotations": [annotation],
        "drafts": [],
        "predictions": [],
        "created_at": "2021-03-09T21:52:49.513742Z",
        "project": 83,
    }
    return [task]


def brush_code(alpha):
    """Label Studio's brush code of an RGBA picture, slowly: each run of a value in 16 bits."""
    values = np.repeat(alpha.reshape(-1), 4)
    bits = f"{len(values):032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    edges = np.concatenate(([0], np.flatnonzero(np.diff(values)) + 1, [len(values)]))
    for first, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        bits += f"1{3:02b}{stop - first - 1:016b}{values[first]:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


COCO_IMAGE = {
    "id": 7,
    "license": 1,
    "file_name": "000000000007.jpg",
    "coco_url": "",
    "height": SIZE[0],
    "width": SIZE[1],
    "date_captured": "2013-11-14 17:02:52",
}


def make_annotation(number, category_id, segmentation, area, bbox, iscrowd=0):
    return {
        "id": number,
        "image_id": 7,
        "category_id": category_id,
        "segmentation": segmentation,
        "area": area,
        "bbox": bbox,
        "iscrowd": iscrowd,
    }


def coco_instances():
    """Two objects and a crowd, the last 10 rows of 40 columns; one object lies in the other."""
    counts = [50, *[10, 50] * 39, 10, SIZE[0] * 40]
    dog = [[14, 14, 20, 14, 20, 20, 14, 20]]
    person = [[10, 10, 40, 10, 40, 40, 10, 40]]
    crowd = {"size": list(SIZE), "counts": counts}
    return {
        "info": {"year": 2017, "version": "1.0", "description": None},
        "licenses": [{"id": 1, "name": "none", "url": ""}],
        "images": [dict(COCO_IMAGE)],
        "annotations": [
            make_annotation(1, 18, dog, 36.0, [14, 14, 6, 6]),
            make_annotation(2, 1, person, 900.0, [10, 10, 30, 30]),
            make_annotation(3, 1, crowd, 400, [0, 50, 40, 10], iscrowd=1),
        ],
        "categories": [
            {"id": 1, "name": "person", "supercategory": "person"},
            {"id": 18, "name": "dog", "supercategory": "animal"},
        ],
    }


def stuff_json():
    """Sky above, grass below, as COCO's stuff annotations have it: a mask per class."""
    content = coco_instances()
    sky = [[0, 0, 80, 0, 80, 30, 0, 30]]
    grass = [[0, 30, 80, 30, 80, 60, 0, 60]]
    content["annotations"] = [
        {"id": 1, "image_id": 7, "category_id": 157, "segmentation": sky, "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 124, "segmentation": grass, "iscrowd": 0},
    ]
    content["categories"] = [
        {"id": 124, "name": "grass", "supercategory": "plant"},
        {"id": 157, "name": "sky-other", "supercategory": "sky"},
    ]
    return content


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


SPACE_CSV = """category_id,class_index,name,isthing,supercategory,r,g,b
3,0,person,1,,220,20,60
5,1,sofa,0,,10,20,30
"""


def convert(tool, source, out, **options):
    """The one image of a conversion, its areas by (name, iscrowd), and the findings' counts."""
    result = api.convert(tool, source, out, **options)
    truth = read_panoptic_json(out)
    assert result.images == len(truth.annotations) == 1
    image = truth.load(next(iter(truth.annotations)))
    assert result.segments == len(image.segments_info)
    areas = sorted(
        (truth.space.by_id[s.category_id].name, s.iscrowd, s.area) for s in image.segments_info
    )
    return truth, image, areas, {finding.code: finding.count for finding in result.findings}
