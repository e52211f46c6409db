"""Ground truth replayed: the label map and the things of an image, and the PQ it reaches."""

import json
from pathlib import Path

import numpy as np
import pytest
from factories import TOY_SPACE, panoptic_truth
from pycocotools import mask as coco_mask

from fuse.api import run
from fuse.errors import CocoFormatError, DataError
from fuse.io.png import write_id_map
from fuse.models.adapters.oracle import InstanceOracle, SemanticOracle
from fuse.types import NamedImage

EXAMPLES = Path(__file__).parents[3] / "examples"
SIZE = (24, 30)


def image_of(name="trip/a.jpg", size=SIZE):
    return NamedImage(np.zeros((*size, 3), dtype=np.uint8), name)


@pytest.fixture
def truth(tmp_path):
    """A random panoptic map with crowds and void, and its JSON."""
    prediction = panoptic_truth(np.random.default_rng(0), SIZE, segments=12)
    segments = [
        {
            "id": segment.segment_id,
            "category_id": segment.category_id,
            "iscrowd": int(segment.iscrowd),
            "area": segment.area,
            "bbox": segment.bbox,
        }
        for segment in prediction.segments_info
    ]
    categories = [
        {"id": c.category_id, "name": c.name, "isthing": int(c.isthing)}
        for c in TOY_SPACE.categories
    ]
    content = {
        "images": [{"id": 7, "file_name": "trip/a.jpg", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": [{"image_id": 7, "file_name": "a.png", "segments_info": segments}],
        "categories": categories,
    }
    (tmp_path / "gt.json").write_text(json.dumps(content))
    (tmp_path / "pngs").mkdir()
    write_id_map(tmp_path / "pngs" / "a.png", prediction.panoptic_map)
    return prediction, {"gt": str(tmp_path / "gt.json"), "gt_dir": str(tmp_path / "pngs")}


def test_every_pixel_has_its_segments_category(truth):
    prediction, options = truth
    model = SemanticOracle("cpu", **options)
    (semantic,) = model.predict([image_of()])
    category_of = {s.segment_id: s.category_id for s in prediction.segments_info} | {0: 0}
    assert len(category_of) > 5
    for y, x in np.ndindex(SIZE):
        assert semantic.label_map[y, x] == category_of[int(prediction.panoptic_map[y, x])]
    assert {(c.category_id, c.isthing) for c in model.label_space.categories} == {
        (c.category_id, c.isthing) for c in TOY_SPACE.categories
    }


def test_things_are_instances_and_crowds_are_not(truth):
    prediction, options = truth
    (instances,) = InstanceOracle("cpu", **options).predict([image_of()], score_threshold=0.5)
    things = [
        s
        for s in prediction.segments_info
        if s.category_id in TOY_SPACE.thing_ids and not s.iscrowd
    ]
    assert 0 < len(things) < len(prediction.segments_info)
    assert any(s.iscrowd for s in prediction.segments_info)
    assert instances.category_ids.tolist() == [s.category_id for s in things]
    assert instances.scores.tolist() == [1.0] * len(things)
    for segment, rle, box in zip(things, instances.masks.rles, instances.boxes, strict=True):
        mask = coco_mask.decode(rle)
        assert (mask == (prediction.panoptic_map == segment.segment_id)).all()
        x, y, width, height = segment.bbox
        assert box.tolist() == [x, y, x + width, y + height]


def test_what_the_truth_does_not_know_is_named(truth, tmp_path):
    _, options = truth
    model = SemanticOracle("cpu", **options)
    with pytest.raises(DataError, match=r"gt\.json: knows no image 'b\.jpg'"):
        model.predict([image_of("b.jpg")])
    with pytest.raises(DataError, match=r"a\.png: is 30 wide, 24 high, the image 5 wide, 5 high"):
        model.predict([image_of(size=(5, 5))])
    with pytest.raises(CocoFormatError, match=r"none\.json"):
        InstanceOracle("cpu", gt=str(tmp_path / "none.json"))


@pytest.mark.parametrize(("stuff_area", "reaches_all"), [(0, True), (0.3, False)])
def test_a_run_of_the_oracle_reaches_all_that_its_rule_allows(tmp_path, stuff_area, reaches_all):
    """The whole job, from images to PQ, loses nothing but the stuff that the rule drops."""
    gt = EXAMPLES / "annotations.json"
    preset = tmp_path / "oracle.toml"
    preset.write_text(
        f'label_space = "coco_super"\n'
        f'[semantic]\nmodel = "oracle"\ngt = "{gt.as_posix()}"\n'
        f'[instance]\nmodel = "oracle"\ngt = "{gt.as_posix()}"\n'
        f"[fusion]\nstuff_area = {stuff_area}\n"
    )
    result = run([str(EXAMPLES / "images")], tmp_path / "out", pipeline=str(preset), gt=gt)
    assert result.failed == ()
    scores = result.to_json()["pq"]
    assert scores["things"]["pq"] == 1.0
    assert (scores["all"]["pq"] == 1.0) is reaches_all
