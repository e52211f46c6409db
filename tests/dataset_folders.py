"""Small folders of random ground truth in the layouts that datasets are published in."""

import json
from pathlib import Path

import numpy as np
from factories import blocky_map
from PIL import Image

from fuse.io.png import write_id_map
from fuse.labels import load_space

SIZE = (24, 36)


def write_png(path: Path, pixels: np.ndarray, palette: bool = False) -> None:
    """Write grey of 8 or 16 bits, RGB, or palette indices, by the dtype and shape."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette([value for i in range(256) for value in (i, 255 - i, i // 2)])
    image.save(path)


def stored_pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def write_cityscapes(root: Path, seed: int = 0, split: str = "val") -> Path:
    """Two cities, three images: stuff, crowds, objects, ignored classes and ignored objects."""
    rng = np.random.default_rng(seed)
    values = [*range(34), 7, 11, 23, 24, 26, *(i * 1000 + n for i in range(24, 34) for n in (0, 7))]
    for city, frame in (("ulm", 2), ("bonn", 1), ("bonn", 3)):
        stem = f"{city}_{frame:06}_000019_gtFine"
        codes = blocky_map(rng, SIZE, values, block=4)
        folder = root / "gtFine" / split / city
        write_png(folder / f"{stem}_instanceIds.png", codes.astype(np.uint16))
        labels = np.where(codes < 1000, codes, codes // 1000)
        write_png(folder / f"{stem}_labelIds.png", labels.astype(np.uint8))
    return root


def write_ade20k(root: Path, seed: int = 0, split: str = "validation") -> Path:
    """Two images; objects lie over stuff and void too, and some things have none."""
    rng = np.random.default_rng(seed)
    for number in (2, 1):
        name = f"ADE_val_{number:08}.png"
        classes = blocky_map(rng, SIZE, list(range(151)), block=6).astype(np.uint8)
        objects = np.zeros((*SIZE, 3), dtype=np.uint8)
        instance = blocky_map(rng, SIZE, [0, 0, 1, 2, 3, 255], block=4)
        objects[..., 1] = instance
        # An object has one class of 100.
        objects[..., 0] = np.where(instance > 0, instance * 37 % 100 + 1, 0)
        write_png(root / "annotations" / split / name, classes)
        write_png(root / "annotations_instance" / split / name, objects)
    return root


def vistas_config() -> dict:
    labels = [
        {"name": c.name.lower(), "readable": c.name, "instances": c.isthing, "evaluate": True}
        for c in load_space("vistas_v1").categories
    ]
    unlabeled = {"name": "void--unlabeled", "readable": "Unlabeled", "evaluate": False}
    return {"version": "1.2", "labels": [*labels, {**unlabeled, "instances": False}]}


def write_vistas_instances(root: Path, seed: int = 0, split: str = "validation") -> Path:
    """Two images of 16-bit class * 256 + object, and the config."""
    rng = np.random.default_rng(seed)
    values = [i * 256 + n for i in range(66) for n in ((0, 1, 9) if i % 3 else (0,))]
    for stem in ("zebra", "_abc"):
        codes = blocky_map(rng, SIZE, values).astype(np.uint16)
        write_png(root / split / "instances" / f"{stem}.png", codes)
    (root / "config.json").write_text(json.dumps(vistas_config()))
    return root


def write_vistas_panoptic(root: Path, seed: int = 0, split: str = "validation") -> Path:
    """Two images as COCO panoptic with the 66th class "Unlabeled", crowds and void."""
    rng = np.random.default_rng(seed)
    space = load_space("vistas_v1")
    folder = root / split / "panoptic"
    folder.mkdir(parents=True)
    images, annotations = [], []
    for stem in ("zebra", "_abc"):
        ids = [int(i) for i in rng.choice(2**24 - 1, 12, replace=False) + 1]
        panoptic_map = blocky_map(rng, SIZE, [0, *ids], block=6)
        write_id_map(folder / f"{stem}.png", panoptic_map)
        segments = [
            {
                "id": segment_id,
                "category_id": int(rng.choice([*space.by_id, 66, 66, 66])),
                "area": int((panoptic_map == segment_id).sum()),
                "iscrowd": 0,
            }
            for segment_id in np.unique(panoptic_map[panoptic_map > 0]).tolist()
        ]
        segments[0].update(category_id=20, iscrowd=1)
        annotations.append(
            {"image_id": stem, "file_name": f"{stem}.png", "segments_info": segments}
        )
        images.append({"id": stem, "file_name": f"{stem}.jpg", "height": SIZE[0], "width": SIZE[1]})
    categories = [
        {"id": c.category_id, "name": c.name, "isthing": int(c.isthing)} for c in space.categories
    ]
    categories.append({"id": 66, "name": "Unlabeled", "isthing": 0})
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "panoptic_2018.json").write_text(json.dumps(content))
    return root


def write_voc(root: Path, seed: int = 0, split: str = "val") -> Path:
    """Two listed images and one that is not: objects with a border of 255 on background."""
    rng = np.random.default_rng(seed)
    names = ["2008_000002", "2007_000033", "2009_000001"]
    for name in names:
        objects = blocky_map(rng, SIZE, [0, 0, 1, 2, 3, 4, 255], block=5)
        classes = np.where(objects == 255, 255, np.where(objects > 0, objects * 5 % 20 + 1, 0))
        for kind, pixels in (("Class", classes), ("Object", objects)):
            path = root / f"Segmentation{kind}" / f"{name}.png"
            write_png(path, pixels.astype(np.uint8), palette=True)
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / f"{split}.txt").write_text("\n".join(names[:2]) + "\n")
    return root


def vistas_v2_config() -> dict:
    """The 124 classes in their order; those that are not scored are between the others."""
    space = load_space("vistas_v2")
    names = {place: space.by_id[place + 1].name for place in range(124) if place + 1 in space.by_id}
    names |= VISTAS_V2_VOID
    labels = [{"readable": names[place], "instances": True} for place in range(124)]
    return {"version": "2.0", "labels": labels}


# By their place in config_v2.0.json.
VISTAS_V2_VOID = {
    2: "Ambiguous Barrier",
    31: "Person Group",
    38: "Lane Marking - Ambiguous",
    79: "Signage - Ambiguous",
    86: "Pole Group",
    96: "Traffic Sign - Ambiguous",
    115: "Vehicle Group",
    123: "Unlabeled",
}


def write_vistas_v2(root: Path, seed: int = 0, split: str = "validation") -> Path:
    """Two images of the release with both versions, of v2.0 only the instances."""
    rng = np.random.default_rng(seed)
    values = [i * 256 + n for i in range(124) for n in (0, 3)]
    for stem in ("zebra", "_abc"):
        codes = blocky_map(rng, SIZE, values).astype(np.uint16)
        write_png(root / split / "v2.0" / "instances" / f"{stem}.png", codes)
    (root / split / "v1.2").mkdir()
    (root / "config_v2.0.json").write_text(json.dumps(vistas_v2_config()))
    return root


def write_bdd100k(root: Path, seed: int = 0, split: str = "val") -> Path:
    """Two bitmasks: stuff in several parts, objects, crowds, ignored objects and void."""
    rng = np.random.default_rng(seed)
    for stem in ("b1c66a42-6f7d68ca", "7d06fefd-f7be05a6"):
        number = blocky_map(rng, SIZE, list(range(1, 400)), block=5)
        label = number * 7 % 41
        flags = np.where(number % 5 == 0, 2, np.where(number % 7 == 0, 1, number % 3 * 4))
        channels = (label, flags, number >> 8, number & 255)
        pixels = np.stack(channels, axis=-1).astype(np.uint8)
        write_png(root / "labels" / "pan_seg" / "bitmasks" / split / f"{stem}.png", pixels)
    return root


# (dataset, writer, default split, image ids in order)
LAYOUTS = {
    "cityscapes": (
        "cityscapes",
        write_cityscapes,
        "val",
        ["bonn_000001_000019", "bonn_000003_000019", "ulm_000002_000019"],
    ),
    "ade20k": ("ade20k", write_ade20k, "validation", ["ADE_val_00000001", "ADE_val_00000002"]),
    "vistas-instances": ("vistas", write_vistas_instances, "validation", ["_abc", "zebra"]),
    "vistas-v2": ("vistas-v2", write_vistas_v2, "validation", ["_abc", "zebra"]),
    "bdd100k": ("bdd100k", write_bdd100k, "val", ["7d06fefd-f7be05a6", "b1c66a42-6f7d68ca"]),
    "vistas-panoptic": ("vistas", write_vistas_panoptic, "validation", ["_abc", "zebra"]),
    "voc": ("voc", write_voc, "val", ["2007_000033", "2008_000002"]),
}
