"""Where two nets contradict each other: by hand, and as files for a labelling tool."""

import csv
import json

import numpy as np
import pytest
from factories import TOY_SPACE, box_instances, rle_masks, semantic_prediction
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from fuse import api
from fuse.analysis.disagreement import (
    KINDS,
    Disagreement,
    ImageDisagreement,
    find_regions,
)
from fuse.inference.prediction import ImagePrediction
from fuse.types import Instances, SemanticPrediction

CAT, DOG, SKY = 3, 8, 5


def by_hand():
    """A cat that the semantic net sees as sky, dog, cat or nothing, and a dog without a claim."""
    labels = np.array([[SKY, SKY, DOG, CAT, 0, SKY, DOG, SKY]], dtype=np.int32)
    masks = np.array([[[1, 1, 1, 1, 1, 0, 0, 0]], [[1, 1, 0, 0, 0, 1, 1, 1]]], dtype=bool)
    instances = Instances(
        np.zeros((2, 4), np.float32),
        np.array([0.9, 0.4]),
        np.array([CAT, CAT], dtype=np.int32),
        rle_masks(masks),
        (1, 8),
    )
    return ImagePrediction(SemanticPrediction(labels), instances)


def test_the_three_ways_to_disagree():
    regions = find_regions(by_hand(), TOY_SPACE, score_threshold=0.5)
    found = [
        (r.kind, r.area, r.semantic_category_id, r.instance_category_id, r.score, r.bbox)
        for r in regions
    ]
    assert found == [
        ("thing-on-stuff", 2, SKY, CAT, 0.9, (0, 0, 2, 1)),
        ("unclaimed", 1, DOG, None, None, (6, 0, 1, 1)),
        ("thing-on-thing", 1, DOG, CAT, 0.9, (2, 0, 1, 1)),
    ]


def test_what_is_nearly_covered_still_counts():
    """A cat of 20 pixels of which a better one has 19: the last one is its own."""
    labels = np.full((1, 20), SKY, dtype=np.int32)
    masks = np.ones((2, 1, 20), dtype=bool)
    masks[0, 0, 19] = False
    found = Instances(
        np.zeros((2, 4), np.float32),
        np.array([0.9, 0.8]),
        np.array([CAT, DOG], dtype=np.int32),
        rle_masks(masks),
        (1, 20),
    )
    prediction = ImagePrediction(SemanticPrediction(labels), found)
    regions = find_regions(prediction, TOY_SPACE, score_threshold=0.5)
    assert [(r.area, r.instance_category_id) for r in regions] == [(19, CAT), (1, DOG)]


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_regions_do_not_overlap_and_hold_what_they_say(seed):
    rng = np.random.default_rng(seed)
    size = (14, 18)
    semantic = semantic_prediction(rng, size)
    kept = ImagePrediction(semantic, box_instances(rng, size, 5))
    taken = np.zeros(size, dtype=int)
    for region in find_regions(kept, TOY_SPACE, score_threshold=0.5):
        mask = coco_mask.decode(region.rle).astype(bool)
        taken += mask
        assert mask.sum() == region.area
        assert coco_mask.toBbox(region.rle).tolist() == list(region.bbox)
        assert set(semantic.label_map[mask].tolist()) == {region.semantic_category_id}
    assert taken.max(initial=0) <= 1


@pytest.fixture
def disagreement():
    regions = tuple(find_regions(by_hand(), TOY_SPACE, score_threshold=0.5))
    pixels = {"thing-on-stuff": 2, "thing-on-thing": 1, "unclaimed": 1}
    none = dict.fromkeys(KINDS, 0)
    return Disagreement(
        TOY_SPACE,
        (
            ImageDisagreement(7, "a.jpg", (1, 8), pixels, regions),
            ImageDisagreement(9, "b,c.jpg", (1, 8), none, ()),
        ),
    )


def test_the_csv_has_a_row_per_image(disagreement, tmp_path):
    disagreement.write_csv(tmp_path / "images.csv")
    rows = list(csv.reader((tmp_path / "images.csv").read_text().splitlines()))
    assert rows[0] == ["image_id", "file_name", "share", *KINDS, "regions"]
    assert rows[1:] == [
        ["7", "a.jpg", "0.5", "2", "1", "1", "3"],
        ["9", "b,c.jpg", "0.0", "0", "0", "0", "0"],
    ]


def test_the_coco_file_is_what_a_labelling_tool_reads(disagreement, tmp_path):
    disagreement.write_coco(tmp_path / "regions.json")
    content = json.loads((tmp_path / "regions.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["a.jpg", "b,c.jpg"]
    assert {c["id"] for c in content["categories"]} == set(TOY_SPACE.by_id)
    first, unclaimed, _ = content["annotations"]
    assert (first["category_id"], first["semantic_category_id"]) == (CAT, SKY)
    assert (unclaimed["category_id"], unclaimed["instance_category_id"]) == (DOG, None)
    assert coco_mask.decode(first["segmentation"]).tolist() == [[1, 1, 0, 0, 0, 0, 0, 0]]
    assert [a["id"] for a in content["annotations"]] == [1, 2, 3]
    assert {a["iscrowd"] for a in content["annotations"]} == {0}


def test_a_run_is_ranked(kept_run):
    found = api.disagree(kept_run)
    shares = [image.share for image in found.images]
    assert len(shares) == 3
    assert shares == sorted(shares, reverse=True)
    figures = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert [image["share"] for image in figures["photos"]] == shares
