"""docs/datasets.md says what is true: its commands parse, its preset is one, its links lead on."""

import re
import shlex
from pathlib import Path

from fuse.datasets.convert import DATASETS
from fuse.inference.presets import list_pipelines, read_pipeline
from fuse.labels import find_label_map, list_spaces, load_space

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "datasets.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, flags=re.DOTALL)
COMMANDS = [
    line.removeprefix("$ ")
    for language, text in BLOCKS
    if language == "console"
    for line in text.splitlines()
    if line.startswith("$ fuse ")
]


def test_each_preset_ships():
    named = {
        command.split("--pipeline ")[1].split()[0] for command in COMMANDS if "--pip" in command
    }
    assert named <= set(list_pipelines())
    assert len(named) == 5


def test_each_dataset_is_converted_once():
    converted = [shlex.split(command)[2] for command in COMMANDS if " convert " in command]
    assert converted == list(DATASETS)


def test_label_spaces_ship():
    rows = re.findall(r"^\|(?:[^|]+\|){2} `(\w+)` \|", TEXT, flags=re.MULTILINE)
    assert len(rows) == 7
    assert set(rows) <= set(list_spaces())


def test_the_preset_of_voc():
    config = read_pipeline("voc-deeplabv3")
    voc = load_space(config.label_space)
    to_voc = find_label_map(load_space("coco_things"), voc)
    assert set(to_voc.target_ids.values()) == set(voc.by_id)
