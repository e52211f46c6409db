"""Result files and options that `combine` refuses, by name."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from result_files import SIZE, change, write_cat_and_sky, write_files

import fuse
from fuse.errors import CocoFormatError, ConfigError, DataError, FuseError, FuseWarning
from fuse.fusion import METHODS, fuse_by_overlap
from fuse.runs.combine import combine


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """One image with one cat and one sky."""
    return write_cat_and_sky(tmp_path)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("instances", {"score": 1.5}, r"instances.json, entry 0: score 1.5 must lie in 0\.\.1"),
        ("instances", {"score": None}, "instances.json, entry 0: score None"),
        ("instances", {"score": float("nan")}, "instances.json .*entry 0, score is NaN"),
        ("instances", {"score": -0.1}, "instances.json, entry 0: score -0.1 must lie in"),
        ("instances", {"score": "sure"}, r"instances.json .*got `str` - at `\$\[0\].score`"),
        ("instances", {"category_id": 4}, "entry 0: category_id 4 is not in"),
        ("instances", {"category_id": 3.5}, r"got `float` - at `\$\[0\].category_id`"),
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
            "entry 0: segmentation: the RLE is 12 wide, 17 high; the image is 17 wide",
        ),
        (
            "semantic",
            {"segmentation": {"size": [12, 17], "counts": "0XXXX"}},
            "semantic.json, entry 0: segmentation: the RLE is cut short",
        ),
        ("semantic", {"category_id": 99}, "semantic.json, entry 0: category_id 99 is not in"),
        (
            "semantic",
            {"image_id": None},
            "semantic.json, entry 0: has neither image_id nor file_name",
        ),
        ("images", {"height": None}, r"images, entry 0 \(id 5\): needs file_name, height and w"),
        ("images", {"width": 0}, r"images.json .*>= 1.*width"),
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


def test_a_image_that_stands_twice_is_named(files: dict[str, Path], tmp_path: Path) -> None:
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
        (np.zeros((12, 16), np.uint8), r"b\.png is 16 wide, 12 high; the image is 17 wide"),
        (np.full(SIZE, 6, np.uint8), r"b\.png: 6 is no category_id of"),
        (
            np.zeros((*SIZE, 3), np.uint8),
            r"b\.png: is rgb of 8 bits, should be palette indices or grey of",
        ),
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
        assert combine(tmp_path / "out", **files, rule=rule).images == 1
    else:
        with pytest.raises(ConfigError, match=f"rule '{rule}' needs a folder of label PNGs"):
            combine(tmp_path / "out", **files, rule=rule)


@pytest.mark.parametrize("name", ["instances", "semantic"])
def test_results_of_other_images_are_refused(files: dict, tmp_path: Path, name: str) -> None:
    change(files[name], image_id=77)
    with pytest.raises(DataError, match=rf"{name}.json: none of its images \(image_id 77, ...\)"):
        combine(tmp_path / "out", **files)
    assert not (tmp_path / "out").exists()


def test_paths_may_be_text(files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    combine(str(out), **{name: str(path) for name, path in files.items()})
    dataset = fuse.read_panoptic_json(str(out), str(out / "panoptic"))
    (name,) = [annotation.file_name for annotation in dataset.annotations.values()]
    segment_map = fuse.read_id_map(str(out / "panoptic" / name))
    fuse.write_id_map(str(tmp_path / "again.png"), segment_map)
    assert (tmp_path / "again.png").read_bytes() == (out / "panoptic" / name).read_bytes()
    assert fuse.evaluate(str(out), str(out)).result.all.pq == 1
    assert fuse.load_space("coco_super") == fuse.load_space(Path("coco_super"))


def test_a_label_png_of_two_images_is_refused_before_any_work(tmp_path: Path) -> None:
    images = [
        {"id": i, "file_name": f"../{folder}/x.jpg", "height": 2, "width": 3}
        for i, folder in enumerate("ab")
    ]
    paths = write_files(tmp_path, images, [], None)
    labels = tmp_path / "labels"
    labels.mkdir()
    Image.new("L", (3, 2)).save(labels / "x.png")
    with (
        pytest.warns(FuseWarning, match="lead out of a folder"),
        pytest.raises(CocoFormatError, match=r"x\.png would be of both 'a/x\.jpg' and 'b/x"),
    ):
        combine(tmp_path / "out", **paths, semantic=labels)
    assert not (tmp_path / "out").exists()
