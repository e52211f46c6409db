"""The presets that ship: models, options, label spaces and maps exist; weights are told."""

import pytest

from fuse.inference.presets import list_pipelines, read_pipeline
from fuse.labels import find_label_map, load_space
from fuse.models.registry import find_needed_weights, needs_plugin_permission

PRESETS = list(list_pipelines())
COCO_MASK_RCNN = "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth"


def spaces_of(config):
    """The label spaces of both nets; shipped weights and torchvision's name theirs themselves."""
    default = "coco_super" if config.name.startswith("tiny") else "coco_things"
    return [
        load_space(branch.options.get("label_space", default))
        for branch in (config.semantic, config.instance)
    ]


@pytest.mark.parametrize("name", PRESETS)
def test_every_name_in_a_preset_exists(name):
    config = read_pipeline(name)
    target = load_space(config.label_space)
    assert config.description
    for space in spaces_of(config):
        label_map = find_label_map(space, target)
        assert any(label_map.target_ids.values())
    for kind, branch in (("semantic", config.semantic), ("instance", config.instance)):
        assert not needs_plugin_permission(branch.model)
        needed = find_needed_weights(kind, branch.model, branch.options)
        assert needed is not None
        assert needed.is_present or not name.startswith("tiny")


@pytest.mark.parametrize("name", [name for name in PRESETS if name.startswith("coco")])
def test_the_weights_of_the_coco_presets_are_torchvisions(name):
    branch = read_pipeline(name).instance
    if branch.model == "torchvision":
        needed = find_needed_weights("instance", branch.model, branch.options)
        assert needed.source.endswith(COCO_MASK_RCNN)
