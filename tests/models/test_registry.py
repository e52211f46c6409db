"""From names in presets to models: built-in ones, plug-ins, and what is wrong with either."""

import sys
from importlib import import_module, invalidate_caches
from pathlib import Path

import numpy as np
import pytest

from fuse.errors import ConfigError, ModelError, ModelNotFoundError, ModelOutputError
from fuse.labels import load_space
from fuse.models import registry
from fuse.models.registry import (
    create_instance_model,
    create_semantic_model,
    find_needed_weights,
    list_models,
    needs_plugin_permission,
)

PLUGIN = """
import numpy as np
from fuse import load_space

class Net:
    def __init__(self, device, *, size: int, words: list[str] | None = None):
        self.label_space = load_space("coco_super")
        self.category_ids = np.array([13], dtype=np.int32)
        self.weights_hash = f"{device} {size} {words}"
    def predict(self, images):
        return []

def fail(device):
    raise RuntimeError("no licence found")

def half(device):
    net = Net(device, size=1)
    net.category_ids = [13]
    return net

def bare(device):
    return object()

def strange(device, *, class_ids):
    net = Net(device, size=1)
    net.category_ids = np.array(class_ids).astype("int64" if len(class_ids) == 1 else "int32")
    return net

def leave(device):
    raise SystemExit("no licence\\nfound")

def anything(device, **options):
    return Net(device, size=len(options))

def describe_weights(options):
    return "the weights of " + str(options["size"])
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A module on the path, and a way to make distributions that offer models in it."""
    name = f"plugin_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)

    def offer(distribution, group, line):
        folder = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        (folder / "entry_points.txt").write_text(f"[{group}]\n{line.format(module=name)}\n")
        invalidate_caches()

    yield name, offer
    sys.modules.pop(name, None)


def entry_of(kind, name):
    return [entry for entry in list_models() if (entry.kind, entry.name) == (kind, name)]


def test_built_in_models_are_listed_and_work():
    entries = {(entry.kind, entry.name): entry for entry in list_models()}
    for kind, names in registry.BUILT_IN.items():
        for name, target in names.items():
            entry = entries[kind, name]
            assert (entry.target, entry.origin) == (target, "fuse itself")
            assert entry.problem is None
            module, _, factory = target.partition(":")
            assert callable(getattr(import_module(module), factory))


def test_a_module_is_a_model(plugin):
    name, _ = plugin
    model = create_semantic_model(f"{name}:Net", "cpu", {"size": 3, "words": ["a"]})
    assert model.weights_hash == "cpu 3 ['a']"


def test_a_file_is_a_model(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(PLUGIN)
    assert create_semantic_model(f"{tmp_path}/mine.py:Net", "cpu", {"size": 3}).weights_hash
    monkeypatch.chdir(tmp_path)
    assert create_semantic_model("mine.py:Net", "cpu", {"size": 3}).weights_hash == "cpu 3 None"


def test_a_file_is_run_once_until_it_changes_and_finds_its_neighbours(tmp_path):
    (tmp_path / "helper_of_mine.py").write_text("RUNS = []")
    path = tmp_path / "mine.py"
    path.write_text(f"from helper_of_mine import RUNS\nRUNS.append(1)\n{PLUGIN}")
    for other in ("a", "b"):
        create_semantic_model(f"{path}:Net", "cpu", {"size": 3, "words": [other]})
    runs = sys.modules["helper_of_mine"].RUNS
    assert runs == [1]
    path.write_text(path.read_text() + "\n# changed")
    create_semantic_model(f"{path}:Net", "cpu", {"size": 3})
    assert runs == [1, 1]


def test_an_installed_package_offers_a_model(plugin):
    name, offer = plugin
    offer("pkg-one", "fuse.semantic_models", "mynet = {module}:Net")
    (entry,) = entry_of("semantic", "mynet")
    assert (entry.target, entry.origin, entry.problem) == (f"{name}:Net", "pkg-one", None)
    assert create_semantic_model("mynet", "cpu", {"size": 1}).weights_hash == "cpu 1 None"
    with pytest.raises(ModelNotFoundError):  # it is of the other kind
        create_instance_model("mynet", "cpu", {"size": 1})


def test_two_packages_claiming_a_name_are_both_named(plugin):
    _, offer = plugin
    offer("pkg-one", "fuse.semantic_models", "mynet = {module}:Net")
    offer("pkg-two", "fuse.semantic_models", "mynet = {module}:anything")
    offer("pkg-three", "fuse.semantic_models", "smp = {module}:Net")
    with pytest.raises(
        ModelError, match=r"'mynet' is offered by pkg-(one|two) and by pkg-(one|two)"
    ):
        create_semantic_model("mynet", "cpu", {"size": 1})
    with pytest.raises(ModelError, match="'smp' is offered by fuse itself and by pkg-three"):
        create_semantic_model("smp", "cpu", {"weights": "tiny_semantic"})
    assert all("is offered by" in entry.problem for entry in entry_of("semantic", "mynet"))
    assert create_semantic_model("oracle", "cpu", {"gt": str(_truth())})  # others still work


def _truth():
    return Path(__file__).parents[2] / "examples" / "annotations.json"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("broken = no_such_module_at_all:Net", "No module named 'no_such_module_at_all'"),
        ("broken = {module}:Nut", "has no class or function 'Nut'; did you mean 'Net'?"),
        ("broken = {module}:__name__", "has no class or function '__name__'"),
    ],
)
def test_a_broken_plugin_is_listed_and_fails_only_when_used(plugin, line, problem):
    _, offer = plugin
    offer("pkg-one", "fuse.instance_models", line)
    (entry,) = entry_of("instance", "broken")
    assert problem in entry.problem
    assert "from pkg-one" in entry.problem
    with pytest.raises(ModelError, match="instance model 'broken' from pkg-one"):
        create_instance_model("broken", "cpu", {})
    assert create_semantic_model("smp", "cpu", {"weights": "tiny_semantic"})


def test_a_file_of_an_unknown_user_is_named():
    with pytest.raises(ModelError, match=r"semantic model '~nobody9/x.py:Net' .*home directory"):
        create_semantic_model("~nobody9/x.py:Net", "cpu", {})


def test_a_plugin_that_fails_is_named(plugin, tmp_path):
    name, _ = plugin
    with pytest.raises(
        ModelError, match=f"'{name}:fail' cannot be built: RuntimeError: no licence found"
    ):
        create_semantic_model(f"{name}:fail", "cpu", {})
    with pytest.raises(ModelOutputError, match="its category_ids must be ndarray, got list"):
        create_semantic_model(f"{name}:half", "cpu", {})
    with pytest.raises(ModelOutputError, match="has no label_space, which docs"):
        create_semantic_model(f"{name}:bare", "cpu", {})
    with pytest.raises(
        ModelError, match=rf"built: SystemExit: no licence found \({name}\.py, line"
    ):
        create_semantic_model(f"{name}:leave", "cpu", {})
    (tmp_path / "torn.py").write_text("class Net(")
    with pytest.raises(ModelError, match=r"torn\.py:Net' from the preset cannot be .*SyntaxError"):
        create_semantic_model(f"{tmp_path}/torn.py:Net", "cpu", {})
    (tmp_path / "needs.py").write_text("import json\n\nimport no_such_module_at_all\n")
    with pytest.raises(ModelError, match=r"No module named 'no_such_.* \(needs\.py, line 3\)"):
        create_semantic_model(f"{tmp_path}/needs.py:Net", "cpu", {})
    with pytest.raises(
        ModelError, match=r"none\.py:Net' from the preset: there is no file /.*none"
    ):
        create_semantic_model(f"{tmp_path}/none.py:Net", "cpu", {})


@pytest.mark.parametrize(
    ("class_ids", "message"),
    [
        ([13], "its category_ids must be int32 with one axis, got int64"),
        (
            [[13], [14]],
            r"its category_ids must be int32 with one axis, got int32 of shape \(2, 1\)",
        ),
        ([13, 999, 0], "its category_ids have 999, which is no category_id of coco_super"),
    ],
)
def test_class_ids_that_name_no_classes_are_told(plugin, class_ids, message):
    name, _ = plugin
    with pytest.raises(ModelOutputError, match=f"semantic model '{name}:strange': {message}"):
        create_semantic_model(f"{name}:strange", "cpu", {"class_ids": class_ids})


def test_an_extra_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    message = r"'onnx' needs the package onnxruntime: pip install 'panoptic-fuse\[onnx\]'"
    with pytest.raises(ModelError, match=message):
        create_semantic_model("onnx", "cpu", {"weights": "net.onnx"})
    (entry,) = entry_of("semantic", "onnx")
    assert "pip install" in entry.problem


@pytest.mark.parametrize(
    ("name", "hint"),
    [("smpp", "did you mean 'smp'"), ("detectron", "known are exported, onnx, oracle")],
)
def test_an_unknown_name_gets_the_nearest(name, hint):
    with pytest.raises(ModelNotFoundError, match=f"no semantic model '{name}'; .*{hint}"):
        create_semantic_model(name, "cpu", {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "tiny_semantic", "min_sise": 3}, "no key 'min_sise'; did you mean 'min_size'"),
        ({}, "semantic.weights is missing; the model 'smp' needs it"),
        ({"weights": 7}, "semantic.weights must be text, got 7"),
        ({"weights": "a", "min_size": 1.5}, "semantic.min_size must be a whole number, got 1.5"),
        ({"weights": "a", "min_size": True}, "semantic.min_size must be a whole number, got True"),
        ({"weights": "a", "mean": 0.5}, "semantic.mean must be a list, each a number, got 0.5"),
        ({"weights": "a", "mean": ["0.5"]}, "semantic.mean must be a list, each a number"),
        ({"weights": "a", "align_corners": 1}, "align_corners must be true or false, got 1"),
        ({"weights": "a", "arguments": []}, r"semantic.arguments must be a table, got \[\]"),
    ],
)
def test_options_are_checked_against_the_factory(options, message):
    with pytest.raises(ConfigError, match=message):
        create_semantic_model("smp", "cpu", options)


def test_options_of_plugins_are_checked_too(plugin):
    name, _ = plugin
    with pytest.raises(ConfigError, match=r"semantic\.size is missing"):
        create_semantic_model(f"{name}:Net", "cpu", {})
    with pytest.raises(ConfigError, match=r"semantic\.words must be a list, each text"):
        create_semantic_model(f"{name}:Net", "cpu", {"size": 1, "words": "a"})
    model = create_semantic_model(f"{name}:anything", "cpu", {"a": 1, "b": []})
    assert model.weights_hash == "cpu 2 None"


def test_needed_weights_are_told_without_loading_them(plugin, tmp_path, monkeypatch):
    name, _ = plugin
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    needed = find_needed_weights(
        "instance",
        "torchvision",
        {"architecture": "maskrcnn_resnet50_fpn_v2", "weights": "COCO_V1"},
    )
    assert not needed.is_present
    assert needed.path.parent == tmp_path / "hub" / "checkpoints"
    assert needed.source.startswith("https://")
    shipped = find_needed_weights("semantic", "smp", {"weights": "tiny_semantic"})
    assert shipped.is_present
    assert find_needed_weights("semantic", "oracle", {"gt": "a.json"}) is None
    assert find_needed_weights("semantic", f"{name}:Net", {"size": 4}) == "the weights of 4"


def test_only_code_that_nobody_installed_needs_permission(plugin):
    assert needs_plugin_permission("module:Net")
    assert needs_plugin_permission("C:\\nets\\mine.py:Net")
    for kind in registry.BUILT_IN.values():
        assert {name for name in kind if needs_plugin_permission(name)} <= {"exported"}


def test_class_ids_reach_the_model():
    model = create_semantic_model("smp", "cpu", {"weights": "tiny_semantic"})
    assert model.category_ids.dtype == np.int32
    assert set(model.category_ids.tolist()) <= {0, *load_space("coco_super").by_id}
