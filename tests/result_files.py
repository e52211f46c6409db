"""COCO result files as other tools write them: images, instances and stuff, random or by hand."""

import json
from pathlib import Path

import numpy as np
from factories import TOY_SPACE, full_masks, rle_masks

CATEGORIES = [
    {"id": c.category_id, "name": c.name, "isthing": int(c.isthing), "supercategory": "any"}
    for c in TOY_SPACE.categories
]
SIZE = (12, 17)


def as_json(entries: list[dict]) -> list[dict]:
    """Entries with counts as text, as result files have them."""
    return [
        e | {"segmentation": e["segmentation"] | {"counts": e["segmentation"]["counts"].decode()}}
        for e in entries
    ]


def random_files(
    rng: np.random.Generator, images: int = 3
) -> tuple[list[dict], list[dict], list[dict]]:
    """images, instances and stuff of a few images; instances in no order, with equal scores."""
    listed, instances, stuff = [], [], []
    for image_id in rng.permutation(100)[:images].tolist():
        height, width = (int(side) for side in rng.integers(1, 14, 2))
        listed.append(
            {"id": image_id, "file_name": f"{image_id}.jpg", "height": height, "width": width}
        )
        rles = rle_masks(full_masks(rng, (height, width), 9)).rles
        for rle in rles[:6]:
            instances.append(
                {
                    "image_id": image_id,
                    "category_id": int(rng.choice(TOY_SPACE.thing_ids)),
                    "score": int(rng.integers(3, 11)) / 10,
                    "segmentation": rle,
                }
            )
        for rle in rles[6:]:
            category_id = int(rng.choice(list(TOY_SPACE.by_id)))
            stuff.append({"image_id": image_id, "category_id": category_id, "segmentation": rle})
    return listed, rng.permutation(instances).tolist(), rng.permutation(stuff).tolist()


def write_files(
    folder: Path, images: list[dict], instances: list[dict], stuff: list[dict] | None
) -> dict[str, Path]:
    """The three files, as arguments of combine; stuff None leaves that to the caller."""
    contents = {
        "images": {"images": images, "categories": CATEGORIES},
        "instances": as_json(instances),
        "semantic": None if stuff is None else as_json(stuff),
    }
    paths = {}
    for name, content in contents.items():
        if content is not None:
            paths[name] = folder / f"{name}.json"
            paths[name].write_text(json.dumps(content))
    return paths


def write_cat_and_sky(folder: Path) -> dict[str, Path]:
    """Files of one image with one cat and one sky."""
    cat, sky = rle_masks(np.stack([np.eye(12, 17) > 0, np.ones(SIZE) > 0])).rles
    return write_files(
        folder,
        [{"id": 5, "file_name": "a/b.jpg", "height": 12, "width": 17}],
        [{"image_id": 5, "category_id": 3, "score": 0.9, "segmentation": cat}],
        [{"image_id": 5, "category_id": 5, "segmentation": sky}],
    )


def change(path: Path, **changes: object) -> None:
    """Change the last entry of a file, or of its images."""
    content = json.loads(path.read_text())
    (content["images"] if isinstance(content, dict) else content)[-1].update(changes)
    path.write_text(json.dumps(content))
