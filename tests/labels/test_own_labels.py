"""A preset with a label space and label maps of one's own, on real images.

The space numbers and names COCO's supercategories anew, so that the maps must be those of `tiny`,
category by category.
"""

import csv
import json
import shutil
from pathlib import Path

import pytest

from fuse import api, load_space
from fuse.errors import CocoFormatError, ConfigError, DataError, LabelSpaceError
from fuse.io.coco.panoptic import read_panoptic_json

EXAMPLES = Path(__file__).parents[2] / "examples" / "images"
SUPER = load_space("coco_super")
MAP_ROWS = {category.name: f"my {category.name}" for category in SUPER.categories}


def my_id(category_id):
    return 900 + 2 * category_id  # the order stays, in which segments are numbered


def write_csv(path, header, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])


def write_preset(folder):
    """mine.toml with mine.csv, semantic.csv and instance.csv beside it."""
    folder.mkdir(exist_ok=True)
    write_csv(
        folder / "mine.csv",
        "category_id,class_index,name,isthing,supercategory,r,g,b",
        [
            (my_id(c.category_id), row, f"my {c.name}", int(c.isthing), "", *c.color)
            for row, c in enumerate(SUPER.categories)
        ],
    )
    for branch in ("semantic", "instance"):
        write_csv(folder / f"{branch}.csv", "source,target", MAP_ROWS.items())
    path = folder / "mine.toml"
    path.write_text("""
label_space = "mine.csv"
[semantic]
model = "smp"
weights = "tiny_semantic"
label_map = "semantic.csv"
[instance]
model = "torchvision"
weights = "tiny_instance"
label_map = "instance.csv"
[fusion]
stuff_area = 0.04
""")
    return path


def run(preset, out, **options):
    images = [str(EXAMPLES / name) for name in ("chelsea.jpg", "china.jpg", "rocket.jpg")]
    return api.run(images, out, pipeline=str(preset), device="cpu", **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run with kept predictions whose CSV files are gone."""
    folder = tmp_path_factory.mktemp("own")
    preset = write_preset(folder / "preset")
    out = run(preset, folder / "out", keep_predictions=True).out
    shutil.rmtree(preset.parent)
    return out


def segments(out, category_id=int):
    dataset = read_panoptic_json(out)
    return {
        dataset.images[image_id].file_name: [
            (s.segment_id, category_id(s.category_id), s.area, s.iscrowd)
            for s in annotation.segments_info
        ]
        for image_id, annotation in dataset.annotations.items()
    }


@pytest.mark.slow
def test_the_maps_are_tinys_under_other_names(finished, tmp_path):
    tiny = run("tiny", tmp_path / "tiny").out
    assert segments(finished) == segments(tiny, my_id)
    assert sum(map(len, segments(finished).values())) > 5
    for path in (tiny / "panoptic").iterdir():
        assert (finished / "panoptic" / path.name).read_bytes() == path.read_bytes()


def test_the_result_has_the_spaces_own_categories(finished):
    categories = json.loads((finished / "panoptic.json").read_text())["categories"]
    assert [(c["id"], c["name"], c["isthing"], c["color"]) for c in categories] == [
        (my_id(c.category_id), f"my {c.name}", int(c.isthing), list(c.color))
        for c in SUPER.categories
    ]


def test_what_is_kept_can_be_fused_without_the_csv_files(finished, tmp_path):
    again = tmp_path / "again"
    api.combine(again, predictions=finished)
    for path in [finished / "panoptic.json", *sorted((finished / "panoptic").iterdir())]:
        assert (again / path.relative_to(finished)).read_bytes() == path.read_bytes()


def test_kept_predictions_can_be_diagnosed(finished):
    diagnosis = api.diagnose(finished, finished / "panoptic.json")
    assert diagnosis.to_json()["label_space"] == "mine"


@pytest.mark.slow
def test_shards_are_joined_without_the_csv_files(finished, tmp_path):
    preset = write_preset(tmp_path / "preset")
    shards = [
        run(preset, tmp_path / str(i), shard=(i, 2), keep_predictions=True).out for i in (1, 2)
    ]
    shutil.rmtree(preset.parent)
    api.merge(shards, tmp_path / "joined")
    joined = (tmp_path / "joined" / "panoptic.json").read_bytes()
    assert joined == (finished / "panoptic.json").read_bytes()


@pytest.mark.slow
def test_a_map_that_changed_is_another_run(tmp_path):
    preset = write_preset(tmp_path / "preset")
    run(preset, tmp_path / "out")
    rows = MAP_ROWS | {"sky": "my water"}
    write_csv(preset.parent / "semantic.csv", "source,target", rows.items())
    with pytest.raises(DataError, match=r"label_maps\.semantic\.sky was my sky, is my w"):
        run(preset, tmp_path / "out")


@pytest.mark.slow
def test_several_classes_may_become_one_or_none(tmp_path):
    preset = write_preset(tmp_path / "preset")
    rows = MAP_ROWS | {"sky": "my water", "person": "void"}
    for branch in ("semantic", "instance"):
        write_csv(preset.parent / f"{branch}.csv", "source,target", rows.items())
    found = {
        category_id
        for image in segments(run(preset, tmp_path / "out").out).values()
        for _, category_id, *_ in image
    }
    by_name = SUPER.by_name
    assert my_id(by_name["water"].category_id) in found
    assert my_id(by_name["sky"].category_id) not in found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            {"skye": "my sky"}, r"semantic\.csv, line 29: 'skye' is not in coco_super", id="source"
        ),
        pytest.param(
            {"sky": "sky"}, r"line 27: 'sky' is not in mine; did you mean 'my sky'", id="target"
        ),
        pytest.param(None, r"semantic\.csv: the label map cannot be read", id="missing"),
    ],
)
def test_a_wrong_map_is_named_and_leaves_nothing(tmp_path, change, message):
    preset = write_preset(tmp_path / "preset")
    path = preset.parent / "semantic.csv"
    path.unlink()
    if change is not None:
        write_csv(path, "source,target", (MAP_ROWS | change).items())
    with pytest.raises(LabelSpaceError, match=message):
        run(preset, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_map_that_is_no_path_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"semantic\.label_map must be the path of a CSV"):
        run("tiny", tmp_path / "out", overrides=["semantic.label_map=3"])


def test_a_misspelt_key_is_told_the_right_one(tmp_path):
    preset = write_preset(tmp_path / "preset")
    preset.write_text(preset.read_text().replace("label_map", "labelmap"))
    with pytest.raises(ConfigError, match="no key 'labelmap'; did you mean 'label_map'"):
        run(preset, tmp_path / "out")


def test_where_no_map_leads_the_error_says_how_to_give_one(tmp_path):
    preset = write_preset(tmp_path / "preset")
    preset.write_text(preset.read_text().replace("label_map", "# label_map"))
    with pytest.raises(LabelSpaceError, match=r"'smp': no label map leads .* label_map = \"map"):
        run(preset, tmp_path / "out")


@pytest.mark.parametrize(
    "maps",
    [
        pytest.param({"instance": {"person": ["my sea"]}}, id="unknown"),
        pytest.param({"semantic": {"sky": []}}, id="nowhere"),
        pytest.param({"semantic": None}, id="no map"),
        pytest.param(3, id="no maps"),
    ],
)
def test_a_run_with_damaged_maps_is_named(finished, tmp_path, maps):
    damaged = shutil.copytree(finished, tmp_path / "damaged")
    path = damaged / "run.json"
    content = json.loads(path.read_text())
    known = content["settings"]["label_maps"]
    content["settings"]["label_maps"] = {**known, **maps} if isinstance(maps, dict) else maps
    path.write_text(json.dumps(content))
    with pytest.raises(CocoFormatError, match=r"run\.json cannot be read"):
        api.combine(tmp_path / "again", predictions=damaged)


def test_a_file_that_is_not_there_is_called_a_file():
    with pytest.raises(
        LabelSpaceError, match=r"there is no file nope\.csv; shipped are ade20k_150"
    ):
        load_space("nope.csv")
    with pytest.raises(LabelSpaceError, match="no label space 'nope'; shipped are"):
        load_space("nope")
