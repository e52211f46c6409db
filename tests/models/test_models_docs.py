"""docs/models.md names every model and every option, and its presets are made of them."""

import inspect
import json
import re
import tomllib
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from fuse.inference.presets import list_pipelines, read_pipeline
from fuse.labels import find_label_map, load_space
from fuse.models.adapters.net_file import NetDescription
from fuse.models.adapters.precomputed import PrecomputedInstances
from fuse.models.registry import BUILT_IN
from fuse.types import NamedImage

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE))
DESCRIPTION = [field.name for field in fields(NetDescription)]


def options_of(kind, name):
    module, _, factory = BUILT_IN[kind][name].partition(":")
    parameters = inspect.signature(getattr(import_module(module), factory)).parameters
    named = [key for key in parameters if key not in ("device", "options")]
    return named + (DESCRIPTION if "options" in parameters else [])


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in BUILT_IN.items() for name in names]
)
def test_every_model_is_described_with_all_its_options(kind, name):
    (section,) = [text for title, text in SECTIONS.items() if name in title.split(" and ")]
    assert re.search(rf"^\| `{name}` \|", PAGE, flags=re.MULTILINE)
    for option in options_of(kind, name):
        assert f"`{option}`" in section


def test_the_examples_use_options_that_exist():
    examples = [tomllib.loads(text) for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)]
    assert len(examples) == 7
    for example in examples:
        for kind in BUILT_IN:
            if kind in example:
                known = options_of(kind, example[kind].pop("model"))
                assert set(example.pop(kind)) <= set(known)
        assert set(example) <= {*DESCRIPTION, "fusion"}


def test_answers_of_other_libraries_are_saved_as_the_page_says(tmp_path, monkeypatch):
    """The loop of the page, with the answers of a net, then the file as an instance net."""
    (code,) = re.findall(r"```python\n(.*?)```", SECTIONS["saved"], re.DOTALL)
    masks = np.zeros((2, 40, 60), dtype=bool)
    masks[0, 5:20, 10:30] = masks[1, 15:35, 25:50] = True
    monkeypatch.chdir(tmp_path)
    answers = [(7, [0.9, 0.25], [1, 18], masks)]
    exec(compile(code, "models.md", "exec"), {"answers": answers})  # noqa: S102 - our own page
    images = {"images": [{"id": 7, "file_name": "a.jpg", "height": 40, "width": 60}]}
    (tmp_path / "images.json").write_text(json.dumps(images))
    saved = PrecomputedInstances(
        "cpu", path="instances.json", label_space="coco_things", images="images.json"
    )
    image = NamedImage(np.zeros((40, 60, 3), dtype=np.uint8), "a.jpg")
    (found,) = saved.predict([image], score_threshold=0.2)
    assert found.category_ids.tolist() == [1, 18]
    assert found.scores.tolist() == [0.9, 0.25]
    assert found.boxes.tolist() == [[10, 5, 30, 20], [25, 15, 50, 35]]


def count_spoken(config):
    """What a preset's nets can answer with, after the label maps: stuff and things, of how many."""
    target = load_space(config.label_space)
    spoken = {}
    for branch in ("semantic", "instance"):
        model = getattr(config, branch)
        own = {"panoptic-fpn": "coco_panoptic", "smp": "coco_super"}.get(model.model)
        own = own or ("voc" if branch == "semantic" else "coco_things")
        own = "coco_super" if config.name.startswith("tiny") else own
        label_map = find_label_map(load_space(model.options.get("label_space", own)), target)
        spoken[branch] = set(label_map.target_ids.values())
        if branch == "instance" and config.fusion.class_choice != "commonest":
            spoken[branch].update(*label_map.choices.values())
    counts = [
        (len(spoken[branch].intersection(ids)), len(ids))
        for branch, ids in (("semantic", target.stuff_ids), ("instance", target.thing_ids))
    ]
    return "{} of {} stuff, {} of {} things".format(*counts[0], *counts[1])


def test_the_table_of_presets_says_what_each_speaks():
    rows = re.findall(r"^\| `([\w-]+)` \| (\d+ of .*?) \|", SECTIONS["Presets"], flags=re.MULTILINE)
    assert dict(rows) == {name: count_spoken(read_pipeline(name)) for name in list_pipelines()}
