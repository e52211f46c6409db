"""Fusing files of other tools, against COCO's combine script as a loop."""

import json
from pathlib import Path

import numpy as np
import pytest
from factories import TOY_SPACE, blocky_map, rle_masks
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from reference.combine import combine_slowly
from result_files import (
    CATEGORIES,
    SIZE,
    change,
    random_files,
    write_cat_and_sky,
    write_files,
)

from fuse.errors import CocoFormatError, DataError, FuseWarning
from fuse.fusion import fuse_by_overlap
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.runs.combine import combine
from fuse.types import Instances, RleMasks, SemanticPrediction

THINGS = set(TOY_SPACE.thing_ids)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """One image with one cat and one sky."""
    return write_cat_and_sky(tmp_path)


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
    assert result.images == len(images)
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
    images, instances, _ = random_files(rng, images=5)
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
    paths = write_files(tmp_path, *random_files(np.random.default_rng(8), images=70))
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
    assert (result.images, result.segments, result.unlisted) == (1, 2, ())


def test_a_image_without_predictions_is_void(files: dict[str, Path], tmp_path: Path) -> None:
    images, results = (json.loads(files[name].read_text()) for name in ("images", "instances"))
    images["images"].append({**images["images"][0], "id": 6, "file_name": "other.jpg"})
    files["images"].write_text(json.dumps(images))
    files["instances"].write_text(json.dumps([*results, {**results[0], "image_id": 77}]))
    with pytest.warns(FuseWarning, match=r"1 of 2 images have no entry, first image_id 6; they"):
        result = combine(tmp_path / "out", **files)
    assert (result.images, result.unlisted) == (2, (77,))
    found = read_panoptic_json(tmp_path / "out").load(6)
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
    with pytest.raises(CocoFormatError, match="wide"):
        combine(out, **files, overwrite=True)
    assert snapshot(out) == before
    with pytest.raises(CocoFormatError, match="wide"):
        combine(tmp_path / "new", **files)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("write_name", ["{}", "datasets/coco/val/{}", "C:\\val\\{}"])
def test_stuff_that_names_its_image_as_detectron2_does(tmp_path: Path, write_name: str) -> None:
    images, instances, stuff = random_files(np.random.default_rng(4))
    combine(tmp_path / "by_id", **write_files(tmp_path, images, instances, stuff))
    names = {image["id"]: write_name.format(image["file_name"]) for image in images}
    named = [{k: v for k, v in e.items() if k != "image_id"} for e in stuff]
    for one, entry in zip(named, stuff, strict=True):
        one["file_name"] = names[entry["image_id"]]
    result = combine(tmp_path / "by_name", **write_files(tmp_path, images, instances, named))
    assert result.unlisted == ()
    first, second = (tmp_path / name / "panoptic.json" for name in ("by_id", "by_name"))
    assert first.read_bytes() == second.read_bytes()
