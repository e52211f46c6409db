"""docs/plugin.md does what it says: its code is taken from the page and run."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from fuse import Pipeline, SemanticLogits, load_space, read_panoptic_json

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "images"
PAGE = (ROOT / "docs" / "plugin.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL)


def find_block(language, words):
    (block,) = [text for lang, text in BLOCKS if lang == language and words in text]
    return block


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """What a reader of the page would have on disk."""
    (tmp_path / "sky.py").write_text(find_block("python", "class SkyAndGround"))
    (tmp_path / "sky.toml").write_text(find_block("toml", "[semantic]"))
    (tmp_path / "person.py").write_text(find_block("python", "class OnePerson"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_net_is_no_longer_than_promised():
    assert len(find_block("python", "class SkyAndGround").splitlines()) <= 40


def test_both_nets_run_as_a_pipeline(folder):
    preset = (folder / "sky.toml").read_text().replace('weights = "tiny_instance"\n', "")
    (folder / "pair.toml").write_text(preset)
    pipeline = Pipeline.load("pair.toml", ["instance.model=person.py:OnePerson"], device="cpu")
    prediction = pipeline(np.zeros((200, 300, 3), dtype=np.uint8))
    names = {
        segment.segment_id: pipeline.space.by_id[segment.category_id].name
        for segment in prediction.segments_info
    }
    assert sorted(names.values()) == ["ground", "person", "sky"]
    rows = [names[segment_id] for segment_id in prediction.panoptic_map[:, 5].tolist()]
    assert rows == ["sky"] * 80 + ["ground"] * 120  # horizon = 0.4
    assert names[int(prediction.panoptic_map[120, 150])] == "person"


@pytest.mark.slow
def test_the_preset_runs_as_it_stands(folder):
    pipeline = Pipeline.load("sky.toml", device="cpu")
    prediction = pipeline(np.zeros((200, 300, 3), dtype=np.uint8))
    assert {s.category_id for s in prediction.segments_info} >= {
        load_space("coco_super").by_name[name].category_id for name in ("sky", "ground")
    }


def test_the_last_lines_try_a_net_alone(folder):
    names = {}
    exec(find_block("python", "predict_semantic"), names)  # noqa: S102 - the page's own code
    assert isinstance(names["answer"], SemanticLogits)
    assert names["answer"].size == (120, 160)


def test_the_loop_writes_what_it_says(folder, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    shutil.copy(EXAMPLES / "chelsea.jpg", "a.jpg")
    names = {}
    exec(find_block("python", "write_panoptic_json"), names)  # noqa: S102 - the page's own code
    written = read_panoptic_json("mine.json")
    assert written.space == load_space("coco_super")
    assert written.images[1].file_name == "a.jpg"
    prediction = written.load(1)
    assert np.array_equal(prediction.panoptic_map, names["prediction"].panoptic_map)
    assert [segment.category_id for segment in prediction.segments_info] == [1, names["sky"]]
    assert [segment.score for segment in prediction.segments_info] == [0.9, None]
