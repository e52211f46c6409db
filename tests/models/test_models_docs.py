"""docs/models.md names every model and every option, and its presets are made of them."""

import inspect
import re
import tomllib
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest

from fuse.models.adapters.net_file import NetDescription
from fuse.models.registry import BUILT_IN

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
    assert len(examples) == 5
    for example in examples:
        for kind in BUILT_IN:
            if kind in example:
                known = options_of(kind, example[kind].pop("model"))
                assert set(example.pop(kind)) <= set(known)
        assert set(example) <= {*DESCRIPTION, "fusion"}
