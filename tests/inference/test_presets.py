"""Presets: found, read, changed and checked."""

import json
from pathlib import Path

import pytest

from fuse.errors import ConfigError
from fuse.fusion import FusionConfig, change_fusion
from fuse.inference.presets import (
    list_pipelines,
    parse_fusion_overrides,
    parse_pipeline,
    read_pipeline,
)

PRESET = """
description = "a pair"
label_space = "coco_super"
[semantic]
model = "smp"
weights = "tiny_semantic"
[instance]
model = "torchvision"
weights = "tiny_instance"
[fusion]
score_threshold = 0.4
"""


@pytest.fixture
def preset(tmp_path):
    path = tmp_path / "pair.toml"
    path.write_text(PRESET)
    return path


def test_tiny_ships_and_is_read():
    assert "tiny" in list_pipelines()
    config = read_pipeline("tiny")
    assert config.name == "tiny"
    assert config.semantic.options["weights"] == "tiny_semantic"


def test_a_file_is_read_with_defaults_for_what_it_leaves_out(preset):
    config = read_pipeline(str(preset))
    assert config.name == "pair"
    assert config.instance.model == "torchvision"
    assert config.instance.options == {"weights": "tiny_instance"}
    assert config.fusion == FusionConfig(score_threshold=0.4)


@pytest.mark.parametrize(
    ("override", "get", "expected"),
    [
        ("fusion.score_threshold=0.3", lambda c: c.fusion.score_threshold, 0.3),
        ("fusion.stuff_area = 0.01", lambda c: c.fusion.stuff_area, 0.01),
        ("instance.weights=my/net.pth", lambda c: c.instance.options["weights"], "my/net.pth"),
        ("semantic.min_size=640", lambda c: c.semantic.options["min_size"], 640),
        ("label_space=coco_panoptic", lambda c: c.label_space, "coco_panoptic"),
    ],
)
def test_overrides_change_one_value(preset, override, get, expected):
    assert get(read_pipeline(str(preset), [override])) == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("fusion.score_treshold=0.3", "did you mean 'score_threshold'"),
        ("fusoin.rule=overlap", "did you mean 'fusion'"),
        ("score_threshold=0.3", "did you mean fusion.score_threshold?"),
        ("fusion.rule=best", "none of overlap"),
        ("fusion.temperature=2", "the rule 'overlap' has no key 'temperature'"),
        ("fusion.class_choice=best", "none of commonest, evidence, overlap"),
        ("fusion.score_threshold=1.5", r"must lie in 0\.\.1, got 1\.5"),
        ("fusion.overlap_threshold=high", "must be a number, got 'high'"),
        ("fusion.stuff_area=-1", "at least 0"),
        ("fusion.stuff_area=nan", "at least 0"),
        ("fusion.score_threshold=true", "must be a number"),
        ("fusion.score_threshold", "write KEY=VALUE"),
        ("label_space.name=1", "'label_space' is not a section"),
        ("semantic.model=1", "semantic.model is missing"),
        ("fusion=1", r"fusion is a section, \[fusion\]"),
        ("semantic.weights=", r"semantic\.weights is empty"),
        ("instance.label_map=", r"instance\.label_map must be the path"),
    ],
)
def test_a_wrong_override_says_what_is_wrong(preset, override, message):
    with pytest.raises(ConfigError, match=message):
        read_pipeline(str(preset), [override])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label_space = ", "not valid TOML"),
        ("", "label_space is missing"),
        ("label_space = 'x'", r"section \[semantic\] is missing"),
        ("label_space = 'x'\nsemantic = 3", r"semantic is a section, \[semantic\]"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_pipeline(str(path))
    assert str(path) in str(caught.value)


def test_a_home_that_nobody_has_is_named(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("label_space = 'x'\n[semantic]\nmodel = 'smp'\nweights = '~nobody9/net.pth'\n")
    with pytest.raises(ConfigError, match=r"weights = '~nobody9/net\.pth': .*home directory"):
        read_pipeline(str(path))


def test_paths_in_a_preset_are_relative_to_its_folder(tmp_path, monkeypatch):
    folder = tmp_path / "presets"
    (folder / "nets" / "saved").mkdir(parents=True)
    (folder / "pair.toml").write_text("""
label_space = "spaces/mine.csv"
[semantic]
model = "mine.py:Net"
weights = "nets/saved"
label_space = "coco_panoptic"
encoder = "nets"
[instance]
model = "torchvision"
weights = "nets/net.pth"
gt = "/truth.json"
images = "~/images.json"
""")
    (tmp_path / "nets").mkdir()
    monkeypatch.chdir(tmp_path)
    config = read_pipeline("presets/pair.toml", ["instance.path=here.json"])
    assert config.label_space == "presets/spaces/mine.csv"
    assert config.semantic.model == "presets/mine.py:Net"
    assert config.semantic.options == {
        "weights": "presets/nets/saved",
        "label_space": "coco_panoptic",  # a name
        "encoder": "nets",  # no path, whatever lies there
    }
    assert config.instance.options == {
        "weights": "presets/nets/net.pth",  # a file, there or not
        "gt": "/truth.json",
        "images": str(Path("~/images.json").expanduser()),
        "path": "here.json",  # of the command
    }


@pytest.mark.parametrize("name", ["owner/net", "COCO_V1", "google/deeplabv3_mobilenet_v2_1.0_513"])
def test_names_of_weights_are_no_paths(tmp_path, name):
    text = PRESET.replace("tiny_semantic", name)
    (tmp_path / "pair.toml").write_text(text)
    assert read_pipeline(str(tmp_path / "pair.toml")).semantic.options["weights"] == name


def test_an_unknown_pipeline_lists_the_known_ones():
    with pytest.raises(ConfigError, match="no pipeline 'tinny'; did you mean 'tiny'"):
        read_pipeline("tinny")


def test_a_config_survives_its_own_json():
    config = read_pipeline("tiny")
    table = config.to_json()
    again = parse_pipeline(
        table["name"],
        {
            "description": table["description"],
            "label_space": table["label_space"],
            "semantic": {"model": table["semantic"]["model"], **table["semantic"]["options"]},
            "instance": {"model": table["instance"]["model"], **table["instance"]["options"]},
            "fusion": table["fusion"],
        },
    )
    assert again == config


def test_a_config_says_what_its_rule_looks_at_and_reads_it_again(tmp_path):
    (tmp_path / "pairs.csv").write_text("above,below\ntie,person\n")
    changes = parse_fusion_overrides(["rule=pairs", f"pairs={tmp_path / 'pairs.csv'}"])
    fusion = change_fusion(FusionConfig(temperature=3), changes)
    assert fusion.pairs == (("tie", "person"),)
    table = json.loads(json.dumps(fusion.to_json()))
    assert "temperature" not in table
    assert change_fusion(FusionConfig(temperature=3), table) == fusion
