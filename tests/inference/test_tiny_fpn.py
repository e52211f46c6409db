"""The preset `tiny-fpn`: one net that ships, small, and sees what is plainly there."""

from pathlib import Path

import pytest

from fuse.inference.pipeline import Pipeline
from fuse.inference.presets import read_pipeline
from fuse.io.images import read_image
from fuse.models.cost import count_parameters
from fuse.models.registry import find_needed_weights

IMAGES = Path(__file__).parents[2] / "examples" / "images"


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline.load("tiny-fpn", device="cpu")


def test_one_small_net_stands_behind_both_branches(pipeline):
    models = [pipeline.semantic_model, pipeline.instance_model]
    assert models[0].net is models[1].net
    assert 7e6 < count_parameters(models) < 8e6
    config = read_pipeline("tiny-fpn")
    needed = find_needed_weights("semantic", config.semantic.model, config.semantic.options)
    assert needed.path.stat().st_size <= 16e6
    assert needed.is_present


@pytest.mark.parametrize(("name", "expected"), [("astronaut", "person"), ("coffee", "kitchen")])
def test_it_finds_what_is_plainly_there(pipeline, name, expected):
    prediction = pipeline(read_image(IMAGES / f"{name}.jpg"))
    found = {pipeline.space.by_id[s.category_id].name for s in prediction.segments_info}
    assert expected in found
