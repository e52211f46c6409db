"""Fusing files of other tools, against COCO's combine script as a loop."""

import json
from pathlib import Path

import numpy as np
import pytest
from factories import TOY_SPACE, blocky_map, full_masks, rle_masks
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from reference.combine import combine_slowly

from fuse.combine import combine
from fuse.errors import CocoFormatError, ConfigError, DataError, FuseError
from fuse.fusion import METHODS, fuse_by_overlap
from fuse.io.coco import read_panoptic_json
from fuse.types import Instances, RleMasks, SemanticPrediction

THINGS = set(TOY_SPACE.thing_ids)
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
    rng: np.random.Generator, photos: int = 3
) -> tuple[list[dict], list[dict], list[dict]]:
    """images, instances and stuff of a few photos; instances in no order, with equal scores."""
    images, instances, stuff = [], [], []
    for image_id in rng.permutation(100)[:photos].tolist():
        height, width = (int(side) for side in rng.integers(1, 14, 2))
        images.append(
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
    return images, rng.permutation(instances).tolist(), rng.permutation(stuff).tolist()


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


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """One photo with one cat and one sky."""
    cat, sky = rle_masks(np.stack([np.eye(12, 17) > 0, np.ones(SIZE) > 0])).rles
    return write_files(
        tmp_path,
        [{"id": 5, "file_name": "a/b.jpg", "height": 12, "width": 17}],
        [{"image_id": 5, "category_id": 3, "score": 0.9, "segmentation": cat}],
        [{"image_id": 5, "category_id": 5, "segmentation": sky}],
    )


def change(path: Path, **changes: object) -> None:
    """Change the last entry of a file, or of its images."""
    content = json.loads(path.read_text())
    (content["images"] if isinstance(content, dict) else content)[-1].update(changes)
    path.write_text(json.dumps(content))


# -- the same segments as the script -----------------------------------------------------------


@given(
    seed=st.integers(0, 2**32),
    score_threshold=st.sampled_from([0.0, 0.5, 0.8]),
    overlap_threshold=st.sampled_from([0.0, 0.5, 1.0]),
    stuff_area=st.sampled_from([0, 1, 3, 10, 4096]),
)
def test_segments_are_those_of_the_combine_script(
    tmp_path_factory,
    seed: int,
    score_threshold: float,
    overlap_threshold: float,
    stuff_area: float,
) -> None:
    images, instances, stuff = random_files(np.random.default_rng(seed))
    folder = tmp_path_factory.mktemp("files")
    thresholds = (score_threshold, overlap_threshold, stuff_area)
    result = combine(
        folder / "out",
        **write_files(folder, images, instances, stuff),
        score_threshold=score_threshold,
        overlap_threshold=overlap_threshold,
        stuff_area=stuff_area,
        workers=1,
    )
    expected = combine_slowly(images, instances, stuff, THINGS, *thresholds)
    combined = read_panoptic_json(folder / "out")
    assert list(combined.annotations) == [image["id"] for image in images]
    assert result.photos == len(images)
    assert result.segments == sum(len(segments) for _, segments in expected.values())
    for image_id, (panoptic_map, segments) in expected.items():
        found = combined.load(image_id)
        assert (found.panoptic_map == panoptic_map).all()
        assert [(s.segment_id, s.category_id) for s in found.segments_info] == segments


def stripes_of(*spans: tuple[int, int]) -> np.ndarray:
    """bool (N, 20), True from first to stop."""
    x = np.arange(20)
    return np.array([(first <= x) & (x < stop) for first, stop in spans])


def test_a_dropped_stuff_mask_leaves_its_pixels_to_the_next(tmp_path: Path) -> None:
    rles = rle_masks(stripes_of((0, 8), (4, 10), (4, 20), (18, 20))[:, np.newaxis]).rles
    stuff = [
        {"image_id": 1, "category_id": category_id, "segmentation": rle}
        for category_id, rle in zip([5, 21, 5, 200], rles, strict=True)
    ]
    image = {"id": 1, "file_name": "1.jpg", "height": 1, "width": 20}
    out = tmp_path / "out"
    combine(out, **write_files(tmp_path, [image], [], stuff), stuff_area=4)
    found = read_panoptic_json(out).load(1)
    # 21 has two free pixels only; the second mask of 5 takes them and joins the first.
    assert found.panoptic_map.tolist() == [[1] * 20]
    assert [(s.category_id, s.area, s.bbox) for s in found.segments_info] == [
        (5, 20, (0, 0, 20, 1))
    ]


def test_stuff_masks_of_a_category_are_one_segment_wherever_they_stand(tmp_path: Path) -> None:
    masks = stripes_of((0, 3), (3, 9), (12, 20), (9, 12))
    rles = rle_masks(masks[:, np.newaxis]).rles
    stuff = [
        {"image_id": 1, "category_id": category_id, "segmentation": rle}
        for category_id, rle in zip([21, 5, 21, 5], rles, strict=True)
    ]
    image = {"id": 1, "file_name": "1.jpg", "height": 1, "width": 20}
    combine(tmp_path / "out", **write_files(tmp_path, [image], [], stuff), stuff_area=1)
    found = read_panoptic_json(tmp_path / "out").load(1)
    assert found.panoptic_map.tolist() == [[1] * 3 + [2] * 9 + [1] * 8]
    assert [(s.category_id, s.area, s.bbox) for s in found.segments_info] == [
        (21, 11, (0, 0, 20, 1)),
        (5, 9, (3, 0, 9, 1)),
    ]


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_label_pngs_fuse_as_the_same_map_in_memory(tmp_path: Path, mode: str) -> None:
    rng = np.random.default_rng(3)
    images, instances, _ = random_files(rng, photos=5)
    paths = write_files(tmp_path, images, instances, None)
    labels = tmp_path / "labels"
    labels.mkdir()
    expected = {}
    for image in images:
        size = (image["height"], image["width"])
        label_map = blocky_map(rng, size, [0, *TOY_SPACE.by_id])
        if mode == "P":
            picture = Image.fromarray(label_map.astype(np.uint8)).convert("P")
            picture.putdata(label_map.ravel().tolist())
        else:
            picture = Image.fromarray(label_map.astype(np.uint16 if mode == "I;16" else np.uint8))
        assert picture.mode == mode
        picture.save(labels / f"{image['id']}.png")
        own = [entry for entry in instances if entry["image_id"] == image["id"]]
        expected[image["id"]] = fuse_by_overlap(
            SemanticPrediction(label_map),
            Instances(
                np.zeros((len(own), 4), dtype=np.float32),
                np.array([entry["score"] for entry in own]),
                np.array([entry["category_id"] for entry in own], dtype=np.int32),
                RleMasks(tuple(entry["segmentation"] for entry in own)),
                size,
            ),
            TOY_SPACE,
            stuff_area=2,
        )
    combine(tmp_path / "out", **paths, semantic=labels, stuff_area=2)
    combined = read_panoptic_json(tmp_path / "out")
    for image_id, fused in expected.items():
        found = combined.load(image_id)
        assert (found.panoptic_map == fused.panoptic_map).all()
        assert found.segments_info == fused.segments_info


# -- output ------------------------------------------------------------------------------------


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def segment(
    segment_id: int, category_id: int, area: int, bbox: list[int], score: float | None
) -> dict:
    numbers = {"id": segment_id, "category_id": category_id, "area": area, "bbox": bbox}
    return numbers | {"iscrowd": 0, "score": score}


def test_any_number_of_threads_gives_the_same_bytes(tmp_path: Path) -> None:
    paths = write_files(tmp_path, *random_files(np.random.default_rng(8), photos=70))
    done = []
    for workers in (1, 3):
        out = tmp_path / f"out{workers}"
        combine(out, **paths, workers=workers, on_progress=lambda *counts: done.append(counts))
    assert snapshot(tmp_path / "out1") == snapshot(tmp_path / "out3")
    assert done == [(n, 70) for n in range(1, 71)] * 2


def test_output_is_named_and_described_as_a_run_is(files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    result = combine(out, **files, stuff_area=1)
    assert snapshot(out).keys() == {"panoptic.json", "panoptic/a/b.png"}
    content = json.loads((out / "panoptic.json").read_text())
    assert content["images"] == [{"id": 5, "file_name": "a/b.jpg", "height": 12, "width": 17}]
    assert content["annotations"] == [
        {
            "image_id": 5,
            "file_name": "a/b.png",
            "segments_info": [
                segment(1, 3, 12, [0, 0, 12, 12], 0.9),
                segment(2, 5, 192, [0, 0, 17, 12], None),
            ],
        }
    ]
    assert [c["id"] for c in content["categories"]] == list(TOY_SPACE.by_id)
    assert (result.photos, result.segments, result.unlisted) == (1, 2, ())


def test_a_photo_without_predictions_is_void(files: dict[str, Path], tmp_path: Path) -> None:
    for name in ("instances", "semantic"):
        change(files[name], image_id=77)
    result = combine(tmp_path / "out", **files)
    assert result.unlisted == (77,)
    found = read_panoptic_json(tmp_path / "out").load(5)
    assert found.segments_info == ()
    assert not found.panoptic_map.any()


def test_polygons_are_masks(files: dict[str, Path], tmp_path: Path) -> None:
    change(
        files["instances"], segmentation=[[1, 0, 3, 0, 3, 3, 1, 3], [9, 9, 11, 9, 11, 11, 9, 11]]
    )
    combine(tmp_path / "out", **files)
    panoptic_map = read_panoptic_json(tmp_path / "out").load(5).panoptic_map
    expected = np.zeros(SIZE, dtype=int)
    expected[0:3, 1:3] = expected[9:11, 9:11] = 1
    assert (panoptic_map == expected).all()


@pytest.mark.parametrize("wrap", [lambda c: c, lambda c: {"categories": c}], ids=["list", "object"])
def test_categories_come_from_a_file_of_their_own(
    files: dict[str, Path], tmp_path: Path, wrap
) -> None:
    images = json.loads(files["images"].read_text())["images"]
    files["images"].write_text(json.dumps({"images": images}))
    categories = tmp_path / "categories.json"
    categories.write_text(json.dumps(wrap(CATEGORIES)))
    combine(tmp_path / "out", **files, categories=str(categories))
    assert list(read_panoptic_json(tmp_path / "out").space.by_id) == list(TOY_SPACE.by_id)


def test_without_categories_they_are_those_of_coco(files: dict[str, Path], tmp_path: Path) -> None:
    images = json.loads(files["images"].read_text())["images"]
    files["images"].write_text(json.dumps({"images": images}))
    change(files["instances"], category_id=12)  # one of the gaps
    with pytest.raises(CocoFormatError, match=r"instances.json, entry 0: category_id 12 is not"):
        combine(tmp_path / "out", **files)
    change(files["instances"], category_id=17)
    combine(tmp_path / "out", **files)
    assert read_panoptic_json(tmp_path / "out").space.name == "coco_panoptic"


def test_a_folder_in_use_is_kept_unless_overwritten(files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    combine(out, **files)
    before = snapshot(out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="out is not empty"):
        combine(out, **files, score_threshold=1.0)
    (out / "panoptic" / "stale.png").write_bytes(b"")
    combine(out, **files, overwrite=True)
    assert snapshot(out) == before | {"notes.txt": b"mine"}
    with pytest.raises(DataError, match=r"notes.txt is a file"):
        combine(out / "notes.txt", **files)


def test_a_run_is_not_overwritten(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(DataError, match="holds a run, whose files belong together"):
        combine(tmp_path, **files, overwrite=True)
    assert (tmp_path / "run.json").read_text() == "{}"


def test_what_was_there_stays_where_the_new_input_is_wrong(
    files: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    combine(out, **files)
    before = snapshot(out)
    change(files["semantic"], segmentation={"size": [1, 1], "counts": "1"})
    with pytest.raises(CocoFormatError, match="size"):
        combine(out, **files, overwrite=True)
    assert snapshot(out) == before
    with pytest.raises(CocoFormatError, match="size"):
        combine(tmp_path / "new", **files)
    assert not (tmp_path / "new").exists()


# -- wrong input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("instances", {"score": 1.5}, r"instances.json, entry 0: score 1.5 must lie in 0\.\.1"),
        ("instances", {"score": None}, "instances.json, entry 0: score None"),
        ("instances", {"score": float("nan")}, "instances.json .*entry 0, score is NaN"),
        ("instances", {"score": -0.1}, "instances.json, entry 0: score -0.1 must lie in"),
        ("instances", {"score": "0.9"}, r"instances.json .*got `str` - at `\$\[0\].score`"),
        ("instances", {"category_id": 4}, "entry 0: category_id 4 is not in"),
        ("instances", {"category_id": 3.0}, r"got `float` - at `\$\[0\].category_id`"),
        ("instances", {"image_id": True}, r"got `bool` - at `\$\[0\].image_id`"),
        ("instances", {"iscrowd": 2}, r"<= 1 - at `\$\[0\].iscrowd`"),
        (
            "instances",
            {"segmentation": {"size": [12, 17], "counts": "PP" * 5000}},
            "entry 0: segmentation: the RLE is cut short or has more pixels",
        ),
        ("instances", {"bbox": [1, 1, -5, 3]}, "entry 0: bbox: Expected `float` >= 0"),
        (
            "instances",
            {"segmentation": {"size": [17, 12], "counts": "0"}},
            r"entry 0: segmentation: the RLE has size \(17, 12\), the photo \(12, 17\)",
        ),
        (
            "semantic",
            {"segmentation": {"size": [12, 17], "counts": "0XXXX"}},
            "semantic.json, entry 0: segmentation: the RLE is cut short",
        ),
        ("semantic", {"category_id": 99}, "semantic.json, entry 0: category_id 99 is not in"),
        ("semantic", {"image_id": None}, r"semantic.json .* `\$\[0\].image_id`"),
        ("images", {"height": None}, r"images, entry 0 \(id 5\): needs file_name, height and w"),
        ("images", {"width": 0}, r"images.json .*>= 1.*width"),
        ("images", {"file_name": "../b.jpg"}, "is no path in a folder"),
    ],
)
def test_wrong_entries_are_named_and_leave_nothing(
    files: dict[str, Path], tmp_path: Path, name: str, changes: dict, message: str
) -> None:
    change(files[name], **changes)
    out = tmp_path / "out"
    with pytest.raises(FuseError, match=message):
        combine(out, **files)
    assert not out.exists()


def test_a_photo_that_stands_twice_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    content = json.loads(files["images"].read_text())
    content["images"] *= 2
    files["images"].write_text(json.dumps(content))
    with pytest.raises(CocoFormatError, match=r"images, entry 1 \(id 5\): the id stands twice"):
        combine(tmp_path / "out", **files)


@pytest.mark.parametrize("name", ["images", "instances", "semantic"])
@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"[{]", "is not a COCO"), (b"\x89PNG\r\n", "is not a COCO")],
)
def test_files_that_are_no_json_are_named(
    files: dict[str, Path], tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    files[name].write_bytes(content)
    with pytest.raises(CocoFormatError, match=rf"{name}.json.* {message}"):
        combine(tmp_path / "out", **files)
    files[name].unlink()
    with pytest.raises(CocoFormatError, match=rf"{name}.json: cannot be read"):
        combine(tmp_path / "out", **files)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (None, r"image_id 5 has no a/b\.png"),
        (np.zeros((12, 16), np.uint8), r"b\.png: its size is \(12, 16\), the photo's \(12, 17\)"),
        (np.full(SIZE, 6, np.uint8), r"b\.png: 6 is no category_id of"),
        (np.zeros((*SIZE, 3), np.uint8), r"b\.png: a label map has one number per pixel"),
    ],
)
def test_wrong_label_pngs_are_named(
    files: dict[str, Path], tmp_path: Path, picture: np.ndarray | None, message: str
) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    if picture is not None:
        Image.fromarray(picture).save(labels / "b.png")
    with pytest.raises(CocoFormatError, match=message):
        combine(tmp_path / "out", **files | {"semantic": labels})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "veto"}, "'veto' is none of overlap"),
        ({"overrides": ["temperature=2"]}, "rule 'overlap' has no key 'temperature'"),
        ({"rule": "adaptive", "overrides": ["fusion.temperature=0"]}, "must be above 0, got 0"),
        ({"rule": "pairs"}, "needs fusion.pairs"),
        ({"overrides": ["semantic.model=1"]}, "has no key 'semantic'"),
        ({"score_threshold": 1.1}, "score_threshold must lie in 0..1"),
        ({"overlap_threshold": float("nan")}, "overlap_threshold must lie in 0..1"),
        ({"stuff_area": -1}, "stuff_area must be at least 0"),
    ],
)
def test_wrong_options_are_refused(
    files: dict[str, Path], tmp_path: Path, options: dict, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        combine(tmp_path / "out", **files, **options)


@pytest.mark.parametrize("rule", sorted(METHODS.keys() - {"overlap", "pairs"}))
def test_only_the_painter_of_overlap_takes_stuff_masks(
    files: dict[str, Path], tmp_path: Path, rule: str
) -> None:
    if METHODS[rule].fuse is fuse_by_overlap:
        assert combine(tmp_path / "out", **files, rule=rule).photos == 1
    else:
        with pytest.raises(ConfigError, match=f"rule '{rule}' needs a folder of label PNGs"):
            combine(tmp_path / "out", **files, rule=rule)
