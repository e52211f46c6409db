"""What holds for every dataset: whole or not at all, the same bytes, and 1.0 against itself."""

import json

import numpy as np
import pytest
from dataset_folders import LAYOUTS, stored_pixels, write_cityscapes, write_voc

from fuse.datasets.convert import DATASETS, convert
from fuse.errors import ConfigError, DataError
from fuse.evaluation.evaluate import evaluate
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.labels import load_space

SPACES = {
    "cityscapes": "cityscapes",
    "ade20k": "ade20k_panoptic",
    "vistas": "vistas_v1",
    "vistas-v2": "vistas_v2",
    "bdd100k": "bdd100k",
    "voc": "voc",
}


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(params=LAYOUTS)
def layout(request, tmp_path):
    dataset, write, split, image_ids = LAYOUTS[request.param]
    return dataset, write(tmp_path / "in"), split, image_ids


def test_every_dataset_has_a_layout():
    assert {dataset for dataset, *_ in LAYOUTS.values()} == set(DATASETS) == set(SPACES)


def test_the_result_scores_one_against_itself_without_findings(layout, tmp_path):
    dataset, folder, _, image_ids = layout
    out = tmp_path / "gt.json"
    seen = []
    result = convert(dataset, folder, out, on_progress=lambda *done: seen.append(done))
    assert (result.out, result.images) == (out, len(image_ids))
    assert seen == [(done + 1, len(image_ids)) for done in range(len(image_ids))]
    truth = read_panoptic_json(out)
    assert list(truth.annotations) == list(truth.images) == image_ids
    assert truth.space is load_space(SPACES[dataset])
    assert result.segments == sum(len(a.segments_info) for a in truth.annotations.values())

    scored = evaluate(out, out)
    assert scored.findings == ()
    assert scored.mapped is None
    assert scored.result.all.pq == 1.0
    assert scored.result.things.n > 0
    assert scored.result.stuff.n > 0


def test_segments_say_what_the_pixels_are(layout, tmp_path):
    dataset, folder, _, _ = layout
    out = tmp_path / "gt.json"
    convert(dataset, folder, out)
    content = json.loads(out.read_text())
    for annotation, image in zip(content["annotations"], content["images"], strict=True):
        pixels = stored_pixels(out.with_suffix("") / annotation["file_name"]).astype(np.int64)
        assert pixels.shape == (image["height"], image["width"], 3)
        ids = pixels @ [1, 256, 65536]
        segments = {s["id"]: s for s in annotation["segments_info"]}
        assert set(np.unique(ids)) - {0} == set(segments)
        for segment_id, segment in segments.items():
            y, x = np.nonzero(ids == segment_id)
            assert segment["area"] == len(y)
            assert segment["bbox"] == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]


def test_the_same_bytes_whatever_the_threads(layout, tmp_path):
    dataset, folder, split, _ = layout
    for name, workers in (("a", 1), ("b", 3)):
        convert(dataset, folder, tmp_path / name / "gt.json", split=split, workers=workers)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


@pytest.mark.parametrize("name", LAYOUTS)
def test_another_split_has_to_be_there(name, tmp_path):
    dataset, write, _, image_ids = LAYOUTS[name]
    folder = write(tmp_path / "in", split="some")
    assert convert(dataset, folder, tmp_path / "a.json", split="some").images == len(image_ids)
    with pytest.raises(DataError, match=r"other.*; give the folder"):
        convert(dataset, folder, tmp_path / "b.json", split="other")
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_folder_of_something_else(dataset, tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match="give the folder") as raised:
        convert(dataset, tmp_path / "in", tmp_path / "gt.json")
    assert str(tmp_path / "in") in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_bad_image_leaves_nothing(tmp_path):
    folder = write_voc(tmp_path / "in")
    (folder / "SegmentationClass" / "2008_000002.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"2008_000002\.png"):
        convert("voc", folder, tmp_path / "gt.json")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_bad_image_leaves_what_was_there(tmp_path):
    out = tmp_path / "out" / "gt.json"
    convert("voc", write_voc(tmp_path / "in"), out)
    before = files_of(tmp_path / "out")
    broken = write_voc(tmp_path / "broken", seed=1)
    (broken / "SegmentationObject" / "2008_000002.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError):
        convert("voc", broken, out, overwrite=True)
    assert files_of(tmp_path / "out") == before


def test_overwriting(tmp_path):
    out = tmp_path / "out" / "gt.json"
    convert("voc", write_voc(tmp_path / "in"), out)
    cityscapes = write_cityscapes(tmp_path / "in2")
    with pytest.raises(DataError, match=r"gt\.json exists; give another name, or --overwrite"):
        convert("cityscapes", cityscapes, out)
    convert("cityscapes", cityscapes, out, overwrite=True)
    convert("cityscapes", cityscapes, tmp_path / "new" / "gt.json")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "new")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("with_json", [False, True])
def test_the_dataset_itself_is_never_in_the_way(overwrite, with_json, tmp_path):
    """A dataset in cityscapes/ and a result called cityscapes.json want the same folder."""
    folder = write_cityscapes(tmp_path / "cityscapes")
    if with_json:
        (tmp_path / "cityscapes.json").write_text("{}")
    before = files_of(tmp_path)
    with pytest.raises(DataError, match=r"cityscapes(\.json)? exists.*give another name"):
        convert("cityscapes", folder, tmp_path / "cityscapes.json", overwrite=overwrite)
    assert files_of(tmp_path) == before


def test_a_folder_of_pngs_without_its_json_is_kept(tmp_path):
    folder = write_voc(tmp_path / "in")
    out = folder / "SegmentationClass.json"
    before = files_of(tmp_path)
    with pytest.raises(DataError, match=r"the PNGs of SegmentationClass\.json would go there"):
        convert("voc", folder, out, overwrite=True)
    assert files_of(tmp_path) == before


@pytest.mark.parametrize(
    ("dataset", "out", "message"),
    [
        ("kitti", "gt.json", "no dataset or tool 'kitti'; known are cityscapes, .*labelme"),
        ("voc", "gt", r"gt: the output must end in \.json"),
    ],
)
def test_wrong_arguments(dataset, out, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        convert(dataset, write_voc(tmp_path / "in"), tmp_path / out)
