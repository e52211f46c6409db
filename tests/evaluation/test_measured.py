"""Measures of files: the sums of what each image counts, with intervals, in every command."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from factories import panoptic_truth
from panoptic_maps import SPACE, panoptic, write_dataset

from fuse import api
from fuse.cli import main
from fuse.evaluation.evaluate import evaluate
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.labels import find_label_map, load_space, map_panoptic
from fuse.metrics.boundary import match_boundaries
from fuse.metrics.pq import sum_stats, summarize

COCO, SUPER = load_space("coco_panoptic"), load_space("coco_super")


def toy_images(seed, count=6, crowds=True):
    rng = np.random.default_rng(seed)
    return {i: panoptic_truth(rng, (40, 40), SPACE, crowds=crowds) for i in range(1, count + 1)}


@pytest.fixture
def toys(tmp_path):
    """Ground truth and a prediction, half of whose images are right; things have scores."""
    truth, noise = toy_images(1), toy_images(2, crowds=False)
    clean = toy_images(1, crowds=False)
    pred = {i: clean[i] if i % 2 else noise[i] for i in truth}
    gt, path = write_dataset(tmp_path, "gt", truth), write_dataset(tmp_path, "pred", pred)
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        for number, segment in enumerate(annotation["segments_info"]):
            if segment["category_id"] != 7:
                segment["score"] = 0.5 + 0.05 * (number % 10)
    path.write_text(json.dumps(content))
    return gt, path


def test_all_measures_of_files(toys):
    gt, pred = toys
    plain, evaluation = evaluate(gt, pred), evaluate(gt, pred, measures=["all"])
    assert evaluation.result == plain.result
    measured = evaluation.measured
    truth, predictions = read_panoptic_json(gt), read_panoptic_json(pred)
    stats = [match_boundaries(truth.load(i), predictions.load(i)) for i in truth.annotations]
    assert measured.pq["boundary"].result == summarize(sum_stats(stats), SPACE)
    assert measured.pq["pq"].result == plain.result
    for measure in measured.pq.values():
        if not measure.result.all.n:  # nothing is large in 40 x 40 pixels
            assert measure.intervals["all"]["pq"] is None
            continue
        low, high = measure.intervals["all"]["pq"]
        assert low <= measure.result.all.pq <= high
    by_threshold = [r.all.pq for r in measured.pq["thresholds"].layers.values()]
    assert by_threshold == sorted(by_threshold, reverse=True)
    assert measured.pq["thresholds"].result.all.pq == pytest.approx(np.mean(by_threshold))
    assert 0 < measured.calibration.things.ece < 1
    assert measured.calibration.unscored > 0  # stuff has no scores here
    assert measured.calibration.stuff.interval is None


def test_json_has_more_only_where_it_was_asked_for(toys):
    gt, pred = toys
    plain = evaluate(gt, pred).to_json()
    assert "measures" not in plain
    full = json.loads(json.dumps(evaluate(gt, pred, measures=["boundary", "size"]).to_json()))
    measures = full.pop("measures")
    assert full == json.loads(json.dumps(plain))
    assert set(measures) == {"resamples", "pq", "boundary", "small", "medium", "large"}
    assert len(measures["boundary"]["pq"]["all"]["interval"]["pq"]) == 2
    assert len(measures["boundary"]["per_class"]["1"]["interval"]) == 2


def test_truth_in_another_label_space_is_mapped_before_its_borders_are_found(tmp_path):
    rng = np.random.default_rng(0)
    truth = panoptic_truth(rng, (40, 60), COCO)
    label_map = find_label_map(COCO, SUPER)
    mapped = map_panoptic(truth, label_map)
    moved = np.roll(mapped.panoptic_map, 1, axis=1)
    pred = panoptic(moved, {s.segment_id: s.category_id for s in mapped.segments_info})
    gt = write_dataset(tmp_path, "gt", {1: truth}, COCO)
    path = write_dataset(tmp_path, "pred", {1: pred}, SUPER)
    found = evaluate(gt, path, measures=["boundary"]).measured.pq["boundary"].result
    expected = summarize(match_boundaries(mapped, pred), SUPER)
    assert found.to_json() == expected.to_json()


def test_the_command_prints_a_table_of_its_own(toys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    gt, pred = toys
    command = ["evaluate", "--gt", str(gt), "--pred", str(pred)]
    plain = CliRunner().invoke(main, command).stdout.splitlines()
    shown = CliRunner().invoke(main, [*command, "--measure", "all"]).stdout.splitlines()
    assert [line for line in plain if line not in shown] == []
    text = "\n".join(shown)
    for title in ("Boundary PQ", "PQ-dagger", "PQ, small", "PQ, IoU 0.5 to 0.95", "calibration"):
        assert title in text
    assert "in brackets 95 % of 1000 resamples" in text


def test_compare_gives_differences_with_intervals(toys):
    gt, pred = toys
    plain, full = (api.compare([pred, gt], gt, measures=m) for m in ((), ["all"]))
    assert "measures" not in plain.to_json()["runs"][0]
    assert "measures" not in plain.to_json()["differences"][0]
    moved = full.differences[0].measures
    assert set(moved) == {
        *("boundary", "dagger", "small", "medium", "large", "thresholds", "calibration")
    }
    results = [evaluate(gt, path, measures=["all"]).measured for path in (pred, gt)]
    for measure in ("boundary", "dagger", "thresholds"):
        before, after = (r.pq[measure].result.all.pq for r in results)
        interval = moved[measure]["all"]
        assert interval.difference == pytest.approx(after - before)
        assert interval.low <= interval.difference <= interval.high
    json.dumps(full.to_json())


def test_a_run_is_no_different_from_itself(toys):
    gt, pred = toys
    difference = api.compare([pred, pred], gt, measures=["calibration"]).differences[0]
    things = difference.measures["calibration"]["things"]
    assert (things.difference, things.low, things.high) == (0, 0, 0)
