"""What a fusion section may say, and what of it goes with which rule."""

import pytest

from fuse.errors import ConfigError
from fuse.fusion import FusionConfig, change_fusion


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rule": "adaptive", "vote_among": "things"}, "rule 'adaptive' has no key 'vote_among'"),
        ({"rule": "adaptive", "temprature": 2}, "did you mean 'temperature'"),
        ({"rule": "adaptive", "temperature": 0}, "must be above 0, got 0"),
        ({"rule": "adaptive", "temperature": float("nan")}, "must be above 0, got nan"),
        ({"rule": "adaptive", "temperature": "hot"}, "must be a number, got 'hot'"),
        ({"rule": "vote", "vote_among": "stuff"}, "'stuff' is none of things, supercategory"),
        ({"rule": "pairs", "pairs": [["tie"]]}, "a CSV file or a list of"),
        ({"rule": "pairs", "pairs": 3}, "a CSV file or a list of"),
        ({"rule": "pairs", "pairs": ["ti"]}, "a CSV file or a list of"),
        ({"rule": "pairs", "pairs": [["tie", 3]]}, "a CSV file or a list of"),
        ({"class_choice": "best"}, "'best' is none of commonest, evidence, overlap"),
        ({"class_choice": 3}, "3 is none of commonest, evidence, overlap"),
        ({"rule": "best"}, "'best' is none of overlap"),
        ({"score_threshold": True}, "must be a number, got True"),
        ({"score_threshold": -0.1}, r"must lie in 0\.\.1, got -0\.1"),
        ({"overlap_threshold": 1.1}, r"must lie in 0\.\.1, got 1\.1"),
        ({"stuff_score": 2}, r"must lie in 0\.\.1, got 2"),
        ({"stuff_area": -1}, "at least 0 and finite, got -1"),
        ({"stuff_area": float("inf")}, "at least 0 and finite, got inf"),
        ({"temperature": 1}, "the rule 'overlap' has no key 'temperature'"),
    ],
)
def test_a_rule_takes_its_own_parameters_only(changes, message):
    with pytest.raises(ConfigError, match=message):
        change_fusion(FusionConfig(), changes)


def test_a_rule_known_by_its_thresholds_brings_them():
    tuned = FusionConfig(stuff_area=0.02)
    fusion = change_fusion(tuned, {"rule": "upsnet-combined", "score_threshold": 0.7})
    assert (fusion.score_threshold, fusion.overlap_threshold, fusion.stuff_area) == (0.7, 0.3, 4096)
    assert change_fusion(tuned, {"rule": "area-first"}).stuff_area == 0.02


def test_the_ends_of_the_ranges_are_allowed():
    for value in (0, 1):
        fusion = FusionConfig(score_threshold=value, overlap_threshold=value, stuff_score=value)
        assert fusion.to_json()["stuff_score"] == value
    assert FusionConfig(stuff_area=0).stuff_area == 0
