"""Small real files of every kind that commands read, and the commands that read them."""

import json
import shutil
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import mutations
import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from fuse import api
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.labels import find_space_file

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples" / "images"
NAMES = ("astronaut.jpg", "chelsea.jpg", "rocket.jpg")
SIDE = 96  # pixels of the longer side: large enough to hold something, small enough to be quick
MAP_CSV = ROOT / "fuse" / "labels" / "maps" / "coco_panoptic_to_coco_super.csv"

PRESETS = {
    "oracle": {
        "semantic": {"model": "oracle", "gt": "truth.json", "gt_dir": "truth"},
        "instance": {"model": "oracle", "gt": "truth.json"},
    },
    "saved": {
        "semantic": {"model": "saved", "path": "labels", "label_space": "coco_super"},
        "instance": {
            **{"model": "saved", "path": "instances.json", "label_space": "coco_super"},
            "images": "images.json",
        },
    },
    "tiny": {
        "semantic": {"model": "smp", "weights": "semantic.safetensors", "min_size": 64},
        "instance": {
            **{"model": "torchvision", "weights": "instance.safetensors"},
            **{"min_size": 64, "precision": "float32"},
        },
    },
}


@dataclass(frozen=True)
class Reader:
    """A file, how it is spoilt, and who reads it.

    Attributes:
        file: below the folder of `make_files`; a glob, of which the first is taken.
        mutate: a function of `mutations`.
        read: from an output folder to whatever it does, beside the files.
        seeds: how many spoilt files the default run of the tests reads.
    """

    file: str
    mutate: Callable[..., bytes]
    read: Callable[[Path], object]
    seeds: int = 8


def make_files(folder: Path) -> None:
    """Images, two shards of a run, their join, and what other tools would have written."""
    images = folder / "images"
    images.mkdir()
    for name in NAMES:
        with Image.open(EXAMPLES / name) as image:
            image.thumbnail((SIDE, SIDE))
            image.save(images / name)
    shutil.copy(MAP_CSV, folder / "map.csv")
    shutil.copy(find_space_file("coco_super"), folder / "space.csv")
    for kind in ("semantic", "instance"):
        shutil.copy(ROOT / f"fuse/weights/tiny_{kind}.safetensors", folder / f"{kind}.safetensors")
    options = {"device": "cpu", "keep_predictions": True}
    for shard in (1, 2):
        api.run([str(images)], folder / f"shard{shard}", shard=(shard, 2), **options)
    api.run([str(images)], folder / "run", **options)
    shutil.copy(folder / "run" / "panoptic.json", folder / "truth.json")
    shutil.copytree(folder / "run" / "panoptic", folder / "truth")
    _write_results(folder)
    kept, truth = folder / "run", folder / "truth.json"
    sweep = api.sweep(kept, truth, ["score_threshold=0.3,0.6"])
    (folder / "sweep.json").write_text(json.dumps(sweep.to_json()))
    ledger = api.diagnose(kept, truth, orders=2)
    (folder / "ledger.json").write_text(json.dumps(ledger.to_json()))
    for name, sections in PRESETS.items():
        lines = ['label_space = "coco_super"', 'description = "of a test"']
        for section in ("semantic", "instance"):
            lines += [
                f"[{section}]",
                *(f"{k} = {json.dumps(v)}" for k, v in sections[section].items()),
            ]
        lines += ["[fusion]", "score_threshold = 0.3", "stuff_area = 16"]
        (folder / f"{name}.toml").write_text("\n".join(lines))
    # To be gone on with: a damaged line of its journal costs no net.
    with chdir(folder):
        _resume(folder)


def _write_results(folder: Path) -> None:
    """The run's segments as result files: instances, stuff, label PNGs, and an image list."""
    dataset = read_panoptic_json(folder / "run")
    (folder / "labels").mkdir()
    instances, stuff = [], []
    for image_id in dataset.annotations:
        prediction = dataset.load(image_id)
        labels = np.zeros(prediction.size, dtype=np.uint8)
        for segment in prediction.segments_info:
            mask = prediction.panoptic_map == segment.segment_id
            labels[mask] = segment.category_id
            rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
            entry = {"image_id": image_id, "category_id": segment.category_id}
            entry["segmentation"] = rle | {"counts": rle["counts"].decode()}
            if segment.score is None:
                stuff.append(entry)
            else:
                instances.append(entry | {"score": segment.score})
                x, y, width, height = segment.bbox
                x2, y2 = x + width, y + height
                rival = {  # of another class over it, as outlines of people overlap
                    "image_id": image_id,
                    "category_id": 1 if segment.category_id == 2 else 2,
                    "bbox": [x, y, width, height],
                    "segmentation": [[x, y, x2, y, x2, y2, x, y2]],
                }
                instances.append(rival | {"score": 0.9})
        name = Path(dataset.image_name(image_id)).with_suffix(".png")
        Image.fromarray(labels).save(folder / "labels" / name)
    content = json.loads((folder / "run" / "panoptic.json").read_bytes())
    (folder / "instances.json").write_text(json.dumps(instances))
    (folder / "stuff.json").write_text(json.dumps(stuff))
    (folder / "images.json").write_text(
        json.dumps({"images": content["images"], "categories": content["categories"]})
    )
    (folder / "categories.json").write_text(json.dumps(content["categories"]))


def _combine(out: Path, semantic: str = "stuff.json", **options: object) -> object:
    return api.combine(
        out,
        instances=Path("instances.json"),
        semantic=Path(semantic),
        images=Path("images.json"),
        stuff_area=16,
        **options,
    )


def _evaluate(out: Path, **options: object) -> object:
    evaluation = api.evaluate(Path("truth.json"), Path("run"), **options)
    out.mkdir(exist_ok=True)
    api.write_per_image_csv(out / "images.csv", evaluation)
    return evaluation.to_json()


def _resume(out: Path) -> object:
    return api.run(
        ["images"],
        Path("resumed"),
        pipeline="oracle.toml",
        device="cpu",
        keep_predictions=True,
        gt=Path("truth.json"),
    )


def _run(preset: str, **options: object) -> Callable[[Path], object]:
    return lambda out: api.run(["images"], out, device="cpu", pipeline=f"{preset}.toml", **options)


def _sweep(out: Path) -> object:
    grid = ["score_threshold=0.3,0.6", "stuff_area=16"]
    return api.sweep(Path("run"), Path("truth.json"), grid).to_json()


def _combine_kept(out: Path) -> object:
    return api.combine(out, predictions=Path("run"), score_threshold=0.3, stuff_area=16)


def _merge(out: Path) -> object:
    return api.merge([Path("shard1"), Path("shard2")], out)


def _report(out: Path, **options: object) -> object:
    out.mkdir(exist_ok=True)
    run, page = Path("run"), out / "report.html"
    return api.report(run, gt=Path("truth.json"), images=Path("images"), out=page, **options)


def _compare(out: Path) -> object:
    return api.compare([Path("run"), Path("shard1")], Path("truth.json"), intersect=True).to_json()


def _diagnose(out: Path) -> object:
    return api.diagnose(Path("run"), Path("truth.json"), orders=2).to_json()


def _disagree(out: Path) -> object:
    return api.disagree(Path("run")).to_json()


def _pairs(out: Path) -> object:
    out.mkdir(exist_ok=True)
    return api.pairs(Path("truth.json"), Path("instances.json"), out / "pairs.csv")


def _audit(out: Path, **options: object) -> object:
    return api.audit("coco_panoptic", "coco_super", **options).to_json()


JSON, LINES, CSV, TOML = (
    mutations.mutate_json,
    mutations.mutate_lines,
    mutations.mutate_csv,
    mutations.mutate_toml,
)
PNG, NPZ, WEIGHTS = mutations.mutate_png, mutations.mutate_npz, mutations.mutate_safetensors

READERS = {
    "evaluate, truth": Reader("truth.json", JSON, _evaluate),
    "evaluate, prediction": Reader("run/panoptic.json", JSON, _evaluate),
    "evaluate, official": Reader("truth.json", JSON, lambda out: _evaluate(out, official=True)),
    "evaluate, true PNG": Reader("truth/*.png", PNG, _evaluate),
    "evaluate, predicted PNG": Reader("run/panoptic/*.png", PNG, _evaluate),
    "evaluate, semantic JSON": Reader(
        "stuff.json", JSON, lambda out: _evaluate(out, semantic=Path("stuff.json"))
    ),
    "evaluate, semantic PNG": Reader(
        "labels/*.png", PNG, lambda out: _evaluate(out, semantic=Path("labels"))
    ),
    "evaluate, instances": Reader(
        "instances.json", JSON, lambda out: _evaluate(out, instances=Path("instances.json"))
    ),
    "combine, instances": Reader("instances.json", JSON, _combine),
    "combine, stuff": Reader("stuff.json", JSON, _combine),
    "combine, label PNG": Reader("labels/*.png", PNG, lambda out: _combine(out, "labels")),
    "combine, image list": Reader("images.json", JSON, _combine),
    "combine, image list and PNGs": Reader(
        "images.json", JSON, lambda out: _combine(out, "labels")
    ),
    "combine, categories JSON": Reader(
        "categories.json", JSON, lambda out: _combine(out, categories="categories.json")
    ),
    "combine, categories CSV": Reader(
        "space.csv", CSV, lambda out: _combine(out, categories="space.csv")
    ),
    "combine kept, prediction": Reader("run/predictions/*.npz", NPZ, _combine_kept),
    "combine kept, run.json": Reader("run/run.json", JSON, _combine_kept),
    "combine kept, panoptic.json": Reader("run/panoptic.json", JSON, _combine_kept),
    "sweep, prediction": Reader("run/predictions/*.npz", NPZ, _sweep),
    "sweep, run.json": Reader("run/run.json", JSON, _sweep),
    "sweep, panoptic.json": Reader("run/panoptic.json", JSON, _sweep),
    "sweep, truth": Reader("truth.json", JSON, _sweep),
    "merge, run.json": Reader("shard1/run.json", JSON, _merge),
    "merge, journal": Reader("shard1/records.jsonl", LINES, _merge),
    "merge, panoptic.json": Reader("shard1/panoptic.json", JSON, _merge),
    "verify, run.json": Reader("run/run.json", JSON, lambda out: api.verify(Path("run")).to_json()),
    "verify, journal": Reader(
        "run/records.jsonl", LINES, lambda out: api.verify(Path("run"), redo=True).to_json()
    ),
    "verify, map": Reader("run/panoptic/*.png", PNG, lambda out: api.verify(Path("run")).to_json()),
    "report, truth": Reader("truth.json", JSON, _report),
    "report, sweep": Reader("sweep.json", JSON, lambda out: _report(out, sweep=Path("sweep.json"))),
    "report, ledger": Reader(
        "ledger.json", JSON, lambda out: _report(out, ledger=Path("ledger.json"))
    ),
    "report, run.json": Reader("run/run.json", JSON, _report),
    "report, panoptic.json": Reader("run/panoptic.json", JSON, _report),
    "report, prediction": Reader("run/predictions/*.npz", NPZ, _report),
    "report, PNG": Reader("run/panoptic/*.png", PNG, _report),
    "compare, truth": Reader("truth.json", JSON, _compare),
    "compare, run.json": Reader("run/run.json", JSON, _compare),
    "compare, prediction": Reader("shard1/predictions/*.npz", NPZ, _compare),
    "diagnose, truth": Reader("truth.json", JSON, _diagnose),
    "diagnose, run.json": Reader("run/run.json", JSON, _diagnose),
    "diagnose, prediction": Reader("run/predictions/*.npz", NPZ, _diagnose),
    "disagree, run.json": Reader("run/run.json", JSON, _disagree),
    "disagree, prediction": Reader("run/predictions/*.npz", NPZ, _disagree),
    "pairs, truth": Reader("truth.json", JSON, _pairs),
    "pairs, instances": Reader("instances.json", JSON, _pairs),
    "run, truth": Reader("truth.json", JSON, _run("saved", gt=Path("truth.json"))),
    "run, oracle's truth": Reader("truth.json", JSON, _run("oracle")),
    "run, saved instances": Reader("instances.json", JSON, _run("saved", pictures=True)),
    "run, saved image list": Reader("images.json", JSON, _run("saved")),
    "run, saved label PNG": Reader("labels/*.png", PNG, _run("saved", keep_predictions=True)),
    "run, preset": Reader("oracle.toml", TOML, _run("oracle")),
    "run, preset of files": Reader("saved.toml", TOML, _run("saved")),
    "run, preset of nets": Reader("tiny.toml", TOML, _run("tiny"), seeds=2),
    "run, semantic weights": Reader("semantic.safetensors", WEIGHTS, _run("tiny"), seeds=2),
    "run, instance weights": Reader("instance.safetensors", WEIGHTS, _run("tiny"), seeds=2),
    "go on, run.json": Reader("resumed/run.json", JSON, _resume),
    "go on, journal": Reader("resumed/records.jsonl", LINES, _resume),
    "audit, map": Reader("map.csv", CSV, lambda out: _audit(out, map_file=Path("map.csv"))),
    "audit, space": Reader(
        "space.csv",
        CSV,
        lambda out: api.audit("coco_panoptic", "space.csv", map_file=Path("map.csv")),
    ),
    "audit, truth": Reader("truth.json", JSON, lambda out: _audit(out, gt=Path("truth.json"))),
}
