"""The choosing set: images that no training reads, on which everything is chosen.

`docs/choosing60.txt` names 60 images of `coco-panoptic-more` with panoptic truth, and
`docs/choosing-instances.txt` every 10th image of the other folders whose instances are complete.
Both were written once, by `python scripts/tiny_training/choosing.py DATA`, before anything was
trained, and stay as they are.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np

DOCS = Path(__file__).resolve().parents[2] / "docs"
PANOPTIC_LIST = DOCS / "choosing60.txt"
INSTANCES_LIST = DOCS / "choosing-instances.txt"

PANOPTIC_FOLDER = "coco-panoptic-more"
COUNT = 60
SEED = 19
DRAWS = 20_000
EVERY = 10  # of the folders with complete instances
INSTANCE_FOLDERS = (
    ("coco-panoptic", "annotations/instances_train2017.json", "images/train2017"),
    ("coco-instances-mini", "instances.json", "images"),
    ("coco-instances-more", "instances.json", "images"),
)


def read_choosing_set() -> set[str]:
    """Read the paths, below the data root, of the images that no training may read."""
    panoptic = [f"{PANOPTIC_FOLDER}/images/{name}" for name in PANOPTIC_LIST.read_text().split()]
    return {*panoptic, *INSTANCES_LIST.read_text().split()}


def read_duplicates(root: Path, folder: str) -> set[int]:
    """Read the ids of a folder's images that older folders hold as well."""
    path = root / folder / "also_elsewhere.tsv"
    if not path.exists():
        return set()
    with path.open() as lines:
        return {int(row["id"]) for row in csv.DictReader(lines, delimiter="\t")}


def choose_panoptic(root: Path) -> list[str]:
    """Choose 60 images whose classes are as frequent as in all that could be chosen.

    These have complete instances and lie in no older folder, so no earlier weights have seen
    them. Of 20,000 random draws the one is taken whose image counts per supercategory are
    nearest to the expected ones, relative to their chance deviation; no class may fall short
    by more than a fifth.
    """
    folder = root / PANOPTIC_FOLDER
    panoptic = json.loads((folder / "panoptic.json").read_text())
    instances = json.loads((folder / "instances.json").read_text())
    complete = {entry["id"] for entry in instances["images"]}
    allowed = complete - read_duplicates(root, PANOPTIC_FOLDER)
    names = {entry["id"]: entry["file_name"] for entry in panoptic["images"]}
    supers = {entry["id"]: entry["supercategory"] for entry in panoptic["categories"]}
    columns = sorted(set(supers.values()))
    annotations = [one for one in panoptic["annotations"] if one["image_id"] in allowed]
    annotations.sort(key=lambda one: one["image_id"])
    holds = np.zeros((len(annotations), len(columns)))
    for row, annotation in enumerate(annotations):
        for segment in annotation["segments_info"]:
            holds[row, columns.index(supers[segment["category_id"]])] = 1
    expected = holds.mean(0) * COUNT
    rng = np.random.default_rng(SEED)
    best, best_distance = np.empty(0, int), np.inf
    for _ in range(DRAWS):
        drawn = rng.choice(len(annotations), COUNT, replace=False)
        counts = holds[drawn].sum(0)
        distance = float(((counts - expected) ** 2 / expected).sum())
        if distance < best_distance and (counts >= 0.8 * expected).all():
            best, best_distance = drawn, distance
    return sorted(names[annotations[row]["image_id"]] for row in best)


def choose_instances(root: Path) -> list[str]:
    """Take every 10th image of the folders with complete instances, without duplicates."""
    dropped = read_duplicates(root, PANOPTIC_FOLDER) | read_duplicates(root, "coco-instances-more")
    chosen = []
    for folder, file, images in INSTANCE_FOLDERS:
        entries = json.loads((root / folder / file).read_text())["images"]
        chosen += [
            f"{folder}/{images}/{entry['file_name']}"
            for entry in entries[::EVERY]
            if entry["id"] not in dropped
        ]
    return chosen


if __name__ == "__main__":
    data = Path(sys.argv[1])
    PANOPTIC_LIST.write_text("\n".join(choose_panoptic(data)) + "\n")
    INSTANCES_LIST.write_text("\n".join(choose_instances(data)) + "\n")
