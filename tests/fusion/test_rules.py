"""What holds for every rule."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from factories import (
    TOY_SPACE,
    box_instances,
    rle_instances,
    semantic_prediction,
    target_logits,
)
from hypothesis import given
from hypothesis import strategies as st

from fuse.fusion import METHODS, THRESHOLDS, FusionConfig, change_fusion, fuse_image
from fuse.inference.prediction import ImagePrediction
from fuse.types import SemanticPrediction

DOCS = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
CONFIGS = {
    name: change_fusion(FusionConfig(), {"rule": name, "stuff_area": 4}) for name in METHODS
} | {"pairs": change_fusion(FusionConfig(), {"rule": "pairs", "pairs": [["dog", "cat"]]})}


@pytest.mark.parametrize("rule", METHODS.values(), ids=METHODS)
def test_a_rule_takes_what_it_says(rule):
    keywords = {
        name: parameter.default
        for name, parameter in inspect.signature(rule.fuse).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    expected = {*THRESHOLDS, *rule.parameters} | (
        {"class_logits"} if rule.uses_class_logits else set()
    )
    assert keywords.keys() == expected
    # The defaults of the functions are those of the config.
    config = FusionConfig()
    for name in keywords.keys() - {"class_logits"}:
        assert keywords[name] == getattr(config, name), name


@given(
    fusion=st.sampled_from(list(CONFIGS.values())),
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    count=st.integers(0, 6),
    make=st.sampled_from([rle_instances, box_instances]),
    has_logits=st.booleans(),
)
def test_every_rule_makes_a_sound_map(fusion, seed, size, count, make, has_logits):
    rng = np.random.default_rng(seed)
    instances = make(rng, size, count)
    if has_logits:
        semantic = ImagePrediction(target_logits(rng, size, (4, 5)), instances).label()
    else:
        semantic = semantic_prediction(rng, size)
    before = semantic.label_map.copy(), instances.scores.copy()
    fused = fuse_image(semantic, instances, TOY_SPACE, fusion, {})

    ids, areas = np.unique(fused.panoptic_map, return_counts=True)
    counted = dict(zip(ids.tolist(), areas.tolist(), strict=True))
    counted.pop(0, None)
    segments = fused.segments_info
    assert {s.segment_id: s.area for s in segments} == counted
    assert [s.segment_id for s in segments] == list(range(1, len(segments) + 1))
    for s in segments:
        y, x = np.nonzero(fused.panoptic_map == s.segment_id)
        assert s.bbox == (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)
        assert (s.score is None) == (not TOY_SPACE.by_id[s.category_id].isthing)
        assert s.score is None or s.score >= fusion.score_threshold
    assert (semantic.label_map == before[0]).all()
    assert (instances.scores == before[1]).all()

    again = fuse_image(semantic, instances, TOY_SPACE, fusion, {})
    assert (again.panoptic_map == fused.panoptic_map).all()
    assert again.segments_info == segments


@pytest.mark.parametrize("fusion", CONFIGS.values(), ids=CONFIGS)
def test_every_rule_refuses_what_does_not_fit(fusion):
    rng = np.random.default_rng(0)
    instances = rle_instances(rng, (9, 9), 3)
    other = SemanticPrediction(np.zeros((9, 8), np.int32))
    with pytest.raises(
        ValueError, match=r"semantic map is 8 wide, 9 high; that of the .* is 9 wide, 9"
    ):
        fuse_image(other, instances, TOY_SPACE, fusion, {})
    strange = SemanticPrediction(np.full((9, 9), 77, np.int32))
    with pytest.raises(ValueError, match="category id 77, not in toy"):
        fuse_image(strange, instances, TOY_SPACE, fusion, {})
    unknown = instances.select(np.ones(3, dtype=bool), np.full(3, 77, np.int32))
    with pytest.raises(ValueError, match=r"category ids \[77\], not in toy"):
        fuse_image(semantic_prediction(rng, (9, 9)), unknown, TOY_SPACE, fusion, {})


def test_the_documentation_has_every_rule_and_its_parameters():
    rows = [
        line.split("|")[1:-1] for line in DOCS.splitlines() if re.match(r"\| `[\w-]+` \| ", line)
    ]
    described = {
        rule.strip(" `"): tuple(re.findall(r"`(\w+)`", parameters))
        for rule, _, parameters in (row for row in rows if len(row) == 3)
    }
    assert described == {name: rule.parameters for name, rule in METHODS.items()}
    for name, rule in METHODS.items():
        assert re.search(rf"^### .*\b{name}\b", DOCS, flags=re.MULTILINE), name
        if rule.thresholds:
            values = " | ".join(f"{value:g}" for value in rule.thresholds.values())
            assert f"| `{name}` | {values} | " in DOCS
