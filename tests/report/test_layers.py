"""Maps of a report: sampled to its size, numbered, and each segment with what it counts as."""

from pathlib import Path

import numpy as np
import pytest
from factories import TOY_SPACE, panoptic_truth
from hypothesis import given
from hypothesis import strategies as st
from run_folders import draw_predictions, write_run

from fuse.io.coco.panoptic import read_panoptic_json
from fuse.io.png import read_id_map
from fuse.metrics.matching import match_segments
from fuse.report.layers import (
    LONGEST_SIDE,
    ShownSegment,
    make_layer,
    make_panoptic_layer,
    make_scored_layers,
    show_image,
)
from fuse.report.runs import open_runs

TRUTH = Path(__file__).parent.parent.parent / "examples" / "annotations.json"


def read_numbers(layer, tmp_path):
    (tmp_path / "layer.png").write_bytes(layer.png)
    return read_id_map(tmp_path / "layer.png")


@pytest.mark.parametrize("size", [(30, 40), (15, 20), (7, 9)])
def test_a_map_says_the_same_at_every_size(size, tmp_path):
    prediction = panoptic_truth(np.random.default_rng(1), (30, 40), block=6)
    layer = make_panoptic_layer(prediction, TOY_SPACE, size)
    numbers = read_numbers(layer, tmp_path)
    assert numbers.shape == size
    by_id = {s.segment_id: s.category_id for s in prediction.segments_info}
    rows = ((np.arange(size[0]) + 0.5) * 30 / size[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) * 40 / size[1]).astype(int)
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            number, segment_id = numbers[y, x], int(prediction.panoptic_map[row, column])
            shown = layer.segments[number - 1].category if number else None
            assert shown == by_id.get(segment_id)


def test_pixels_of_what_is_not_listed_are_void(tmp_path):
    layer = make_layer(
        np.array([[7, 5, 0, 9]], np.int32), {9: ShownSegment(3, "#000000", 0.25)}, (1, 4)
    )
    assert read_numbers(layer, tmp_path).tolist() == [[0, 0, 0, 1]]


@given(st.integers(0, 2**32 - 1))
def test_kinds_count_as_pq_does(seed):
    rng = np.random.default_rng(seed)
    truth = panoptic_truth(rng, (12, 12), segments=5)
    pred = panoptic_truth(rng, (12, 12), segments=5, crowds=False)
    fused, true = make_scored_layers(truth, pred, TOY_SPACE, (12, 12))
    kinds = [s.kind for s in fused.segments]
    stats = match_segments(truth, pred)
    assert kinds.count("tp") == stats.tp.sum()
    assert kinds.count("fp") == stats.fp.sum()
    assert [s.kind for s in true.segments].count("fn") == stats.fn.sum()
    assert set(kinds) <= {"tp", "fp", "excused"}
    crowds = [s.kind == "crowd" for s in true.segments]
    assert crowds == [s.iscrowd for s in truth.segments_info]
    for place, segment in enumerate(fused.segments, start=1):
        if segment.kind == "tp":
            partner = true.segments[segment.partner - 1]
            assert (partner.kind, partner.partner, partner.iou) == ("tp", place, segment.iou)


def test_a_segment_leaves_out_what_is_not_known():
    assert ShownSegment(3, "#010203", 1 / 3).to_json() == {
        "category": 3,
        "color": "#010203",
        "share": 0.3333,
    }


def test_all_layers_of_a_kept_run(kept, tmp_path):
    runs = open_runs(kept, read_panoptic_json(TRUTH))
    image_id = next(
        i for i in runs[0].dataset.annotations if "coffee" in runs[0].dataset.image_name(i)
    )
    image = show_image(image_id, runs, TRUTH.parent / "images" / "coffee.jpg")
    assert image.size == (400, 600)
    assert image.jpeg.startswith(b"\xff\xd8")
    assert list(image.layers) == ["semantic", "instances", "fused", "truth", "run-1"]
    for layer in image.layers.values():
        numbers = read_numbers(layer, tmp_path)
        assert numbers.shape == image.size
        assert numbers.max() <= len(layer.segments)
    threshold = runs[0].saved.fusion.score_threshold
    assert all(s.score >= threshold for s in image.layers["instances"].segments)
    assert sum(s.share for s in image.layers["semantic"].segments) <= 1


def test_large_images_are_shrunk(tmp_path):
    run = write_run(tmp_path, draw_predictions(["wide.jpg"], size=(100, 1300), block=40))
    (shown,) = open_runs([run], None)
    image = show_image(1, [shown], tmp_path / "images" / "wide.jpg")
    assert image.size == (49, LONGEST_SIDE)


@pytest.mark.parametrize(
    ("damage", "note"),
    [
        (lambda image: None, "name its folder with --images"),
        (lambda image: image.write_bytes(b"no picture"), "not a picture"),
        (lambda image: image.write_bytes(next(TRUTH.parent.glob("images/*")).read_bytes()), "size"),
    ],
    ids=["moved", "damaged", "another"],
)
def test_an_image_without_its_picture_says_why(tmp_path, damage, note):
    run = write_run(tmp_path, draw_predictions(["a.jpg"]))
    (shown,) = open_runs([run], None)
    path = tmp_path / "images" / "a.jpg"
    damage(path)
    image = show_image(1, [shown], None if "--images" in note else path)
    assert image.jpeg is None
    assert note in image.note
    assert list(image.layers) == ["fused"]
