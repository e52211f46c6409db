"""Figures of a report: they are those of fuse evaluate; which images it chooses."""

from pathlib import Path

import numpy as np
import pytest
from run_folders import draw_predictions, write_maps, write_run

from fuse import api
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.metrics.measures import PQ_MEASURES
from fuse.report.runs import open_runs
from fuse.report.scores import RatedImage, choose_images, rate_images, summarize_run

TRUTH = Path(__file__).parent.parent.parent / "examples" / "annotations.json"


def rate(runs):
    return rate_images(runs, workers=1)


def test_scores_are_those_of_evaluate(kept):
    runs = open_runs(kept, read_panoptic_json(TRUTH))
    rated = rate(runs)
    for place, path in enumerate(kept):
        expected = api.evaluate(TRUTH, path)
        found = summarize_run(place, rated, runs[place])
        assert found.result.to_json() == expected.result.to_json()
        assert set(found.measured.pq) == set(PQ_MEASURES)
        by_id = {image.image_id: image for image in expected.images}
        for image in rated:
            stats = by_id[image.image_id].stats
            assert image.scores[place].stats.tp.sum() == stats.tp.sum()
    counts = rated[0].to_json()["counts"]
    first = by_id_counts(rated[0].scores[0].stats)
    assert counts == first


def by_id_counts(stats):
    return {"tp": stats.tp.sum(), "fp": stats.fp.sum(), "fn": stats.fn.sum()}


def test_change_is_the_share_of_pixels_of_another_class(tmp_path):
    names = ("a.jpg", "b.jpg")
    first, second = (draw_predictions(names, seed=seed) for seed in (1, 2))
    run = write_run(tmp_path, first)
    other = write_maps(tmp_path / "other.json", second | {"a.jpg": first["a.jpg"]})
    rated = rate(open_runs([run, other], None))
    assert rated[0].changed == 0

    def categories(prediction):
        by_id = {s.segment_id: s.category_id for s in prediction.segments_info}
        return np.vectorize(lambda i: by_id.get(i, 0))(prediction.panoptic_map)

    differ = categories(first["b.jpg"]) != categories(second["b.jpg"])
    assert rated[1].changed == differ.mean()
    assert rated[1].pq == (None, None)
    assert summarize_run(0, rated, open_runs([run], None)[0]) is None


def image(place, pq=None, changed=None):
    return RatedImage(place, f"{place}.jpg", (None,), (pq,), changed, ())


@pytest.mark.parametrize(
    ("images", "count", "expected"),
    [
        ([image(i, i / 10) for i in range(3)], 5, [0, 1, 2]),
        ([image(i, i / 10) for i in range(10)], 4, [0, 1, 8, 9]),
        ([image(i, i / 10, changed=i == 5) for i in range(10)], 3, [0, 5, 9]),
        ([image(i, changed=i / 10) for i in range(10)], 2, [8, 9]),
        ([image(i) for i in range(9)], 3, [0, 4, 8]),
        ([image(0, 0.5), image(1), image(2, 0.1)], 2, [0, 2]),
    ],
    ids=["all", "worst and best", "and most changed", "most changed", "even", "scored"],
)
def test_which_images_are_shown(images, count, expected):
    assert [p.image_id for p in choose_images(images, count)] == expected
