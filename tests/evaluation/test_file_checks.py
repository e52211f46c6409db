"""What is wrong with two panoptic JSONs: found, named, and done something about."""

import json

import cv2
import numpy as np
import pytest
from panoptic_maps import SPACE, panoptic, write_dataset

import fuse.evaluation.file_checks
from fuse.errors import CocoFormatError, DataError
from fuse.evaluation.evaluate import evaluate
from fuse.io.png import write_id_map

TRUTH = panoptic([1, 1, 1, 0, 2, 2], {1: 1, 2: 7})
MASK = {"size": [1, 6], "counts": [0, 3, 3]}
PRED = panoptic([1, 1, 0, 0, 2, 2], {1: 1, 2: 7})


def change_segment(content, **fields):
    """Replace fields of the first segment; None takes a field out."""
    segment = content["annotations"][0]["segments_info"][0]
    for key, value in fields.items():
        segment[key] = value
        if value is None:
            del segment[key]


def repeat_segment(content):
    segments = content["annotations"][0]["segments_info"]
    segments.insert(0, {**segments[0], "category_id": 2})


def drop_isthing(content):
    for category in content["categories"]:
        del category["isthing"]


def several_crowds(content):
    content["annotations"][0]["segments_info"] += [
        {"id": 8, "category_id": 2, "area": 1, "iscrowd": 1},
        {"id": 9, "category_id": 2, "area": 1, "iscrowd": 1},
    ]


FAULTS = {
    "truth-wrong-area": ("gt", lambda c: change_segment(c, area=2), "segment 1 (2, not 3)"),
    "truth-no-area": ("gt", lambda c: change_segment(c, area=None), "segment 1"),
    "truth-no-iscrowd": ("gt", lambda c: change_segment(c, iscrowd=None), "segment 1"),
    "truth-no-isthing": ("gt", drop_isthing, "category_id 1"),
    "truth-repeated-id": ("gt", repeat_segment, "image_id 5"),
    "truth-id-zero": (
        "gt",
        lambda c: c["annotations"][0]["segments_info"].append({"id": 0, "category_id": 1}),
        "image_id 5",
    ),
    "truth-no-pixels": (
        "gt",
        lambda c: c["annotations"][0]["segments_info"].append({"id": 44, "category_id": 1}),
        "image_id 5, segment 44",
    ),
    "truth-several-crowds": ("gt", several_crowds, "image_id 5, category_id 2"),
    "truth-unlisted-id": (
        "gt",
        lambda c: c["annotations"][0]["segments_info"].pop(),
        "image_id 5, segment 2",
    ),
    "truth-png-size": (
        "gt",
        lambda c: c["images"][0].update(height=9),
        "(6 wide, 1 high; not 6 wide, 9 high)",
    ),
    "pred-wrong-area": ("pred", lambda c: change_segment(c, area=99), "segment 1 (99, not 2)"),
    "pred-repeated-id": ("pred", repeat_segment, "image_id 5"),
    "pred-id-zero": (
        "pred",
        lambda c: c["annotations"][0]["segments_info"].append({"id": 0, "category_id": 1}),
        "image_id 5",
    ),
    "pred-no-pixels": ("pred", lambda c: change_segment(c, id=77), "image_id 5, segment 77"),
    "pred-unlisted-id": (
        "pred",
        lambda c: c["annotations"][0]["segments_info"].pop(),
        "image_id 5, segment 2",
    ),
    "pred-png-size": (
        "pred",
        lambda c: c["images"][0].update(width=1),
        "(6 wide, 1 high; not 1 wide, 1 high)",
    ),
    "pred-missing": ("pred", lambda c: c["annotations"].pop(0), "image_id 5"),
    "pred-extra": ("gt", lambda c: c["annotations"].pop(0), "image_id 5"),
    "pred-no-categories": ("pred", lambda c: c.pop("categories"), "pred.json"),
    "categories-differ": ("pred", lambda c: c["categories"].pop(1), "2 'dog'"),
}


# What no edit of a JSON brings about; each has a test of its own, the last two in test_job.
OTHER_FAULTS = {
    *("truth-png-kind", "pred-png-kind", "branch-extra", "branch-missing", "branch-stuff"),
    *("cannot-score", "turned", "truth-swapped", "pred-swapped"),
    *("other-photo", "run-renumbered", "pred-renumbered"),
}


def test_every_fault_has_a_test():
    assert FAULTS.keys() | OTHER_FAULTS == fuse.evaluation.file_checks.FAULTS.keys()
    assert not FAULTS.keys() & OTHER_FAULTS


@pytest.mark.parametrize(("code", "fault"), FAULTS.items(), ids=FAULTS)
def test_doctor_names_the_fault(tmp_path, code, fault):
    which, change, first = fault
    paths = {
        "gt": write_dataset(tmp_path, "gt", {5: TRUTH, 6: TRUTH}),
        "pred": write_dataset(tmp_path, "pred", {5: PRED, 6: TRUTH}),
    }
    content = json.loads(paths[which].read_text())
    change(content)
    paths[which].write_text(json.dumps(content))
    evaluation = evaluate(paths["gt"], paths["pred"])
    findings = {finding.code: finding for finding in evaluation.findings}
    assert first in findings[code].first
    assert findings[code].count == (len(content["categories"]) if code == "truth-no-isthing" else 1)
    assert str(findings[code]).count("\n") == 0
    assert 0 <= evaluation.result.all.pq <= 1
    with pytest.raises(DataError, match=findings[code].problem):
        evaluate(paths["gt"], paths["pred"], strict=True)


@pytest.mark.parametrize("code", ["pred-missing", "pred-unlisted-id", "pred-id-zero"])
def test_official_stops_where_the_official_scorer_does(tmp_path, code):
    gt = write_dataset(tmp_path, "gt", {5: TRUTH})
    pred = write_dataset(tmp_path, "pred", {5: PRED})
    content = json.loads(pred.read_text())
    FAULTS[code][1](content)
    pred.write_text(json.dumps(content))
    with pytest.raises(DataError, match="leave out --official"):
        evaluate(gt, pred, official=True)


def test_missing_predictions_count_as_missed(tmp_path):
    gt = write_dataset(tmp_path, "gt", {5: TRUTH, 6: TRUTH})
    pred = write_dataset(tmp_path, "pred", {6: TRUTH})
    evaluation = evaluate(gt, pred)
    assert [(c.tp, c.fn) for c in evaluation.result.per_category.values()] == [
        (1, 1),
        (0, 0),
        (1, 1),
    ]


def test_predictions_of_other_images_are_refused(tmp_path):
    gt = write_dataset(tmp_path, "gt", {5: TRUTH, 6: TRUTH})
    pred = write_dataset(tmp_path, "pred", {"x5": TRUTH, "x6": TRUTH})
    with pytest.raises(DataError, match=r"none of its images \(image_id 'x5', .* \(image_id 5, "):
        evaluate(gt, pred)


def test_no_predictions_at_all_are_all_missed(tmp_path):
    gt = write_dataset(tmp_path, "gt", {5: TRUTH, 6: TRUTH})
    evaluation = evaluate(gt, write_dataset(tmp_path, "pred", {}))
    assert (evaluation.result.all.pq, evaluation.result.all.n) == (0, 2)
    assert [(f.code, f.count) for f in evaluation.findings] == [("pred-missing", 2)]


def test_predictions_of_another_size_are_refused(tmp_path):
    gt = write_dataset(tmp_path, "gt", {5: TRUTH, 6: TRUTH})
    pred = write_dataset(tmp_path, "pred", {5: panoptic([1, 1], {1: 1}), 6: TRUTH})
    with pytest.raises(DataError, match=r"1 photos .* image_id 5: the prediction is 2 wide, 1"):
        evaluate(gt, pred)


def test_broken_pngs_are_counted_and_named(tmp_path):
    gt = write_dataset(tmp_path, "gt", {5: TRUTH, 6: TRUTH, 7: TRUTH})
    pred = write_dataset(tmp_path, "pred", {5: TRUTH, 6: TRUTH, 7: TRUTH})
    (tmp_path / "pred/6.png").write_bytes(b"no PNG")
    (tmp_path / "gt/7.png").unlink()
    with pytest.raises(DataError, match=r"2 photos that cannot be scored, first .*pred.6\.png"):
        evaluate(gt, pred)


def test_official_refuses_claimed_areas_without_a_union(tmp_path):
    truth = panoptic([1, 1, 0, 0], {1: 1}, areas={1: 0})
    gt = write_dataset(tmp_path, "gt", {5: truth})
    pred = write_dataset(tmp_path, "pred", {5: panoptic([1, 1, 0, 0], {1: 1})})
    assert evaluate(gt, pred).result.all.pq == 1
    with pytest.raises(DataError, match="image_id 5: the claimed area"):
        evaluate(gt, pred, official=True)


@pytest.mark.parametrize(("side", "code"), [("gt", "truth-png-kind"), ("pred", "pred-png-kind")])
def test_grey_pngs_are_named(tmp_path, side, code):
    gt = write_dataset(tmp_path, "gt", {5: TRUTH})
    pred = write_dataset(tmp_path, "pred", {5: PRED})
    segment_map = {"gt": TRUTH, "pred": PRED}[side].panoptic_map
    cv2.imwrite(str(tmp_path / side / "5.png"), segment_map.astype(np.uint8))
    evaluation = evaluate(gt, pred)
    assert [finding.code for finding in evaluation.findings] == [code]
    write_id_map(tmp_path / side / "5.png", segment_map)
    assert evaluate(gt, pred).findings == ()


def test_results_of_images_that_the_truth_lacks_are_named(tmp_path):
    gt = write_dataset(tmp_path, "gt", {5: TRUTH})
    pred = write_dataset(tmp_path, "pred", {5: PRED})
    results = [
        {"image_id": i, "category_id": 1, "score": 0.5, "segmentation": {"size": [9, 9]}}
        for i in (77, 78)
    ]
    (tmp_path / "results.json").write_text(json.dumps(results))
    branches = dict.fromkeys(("semantic", "instances"), tmp_path / "results.json")
    finding, missing = evaluate(gt, pred, **branches).findings
    assert (finding.code, finding.count) == ("branch-extra", 4)
    assert finding.first.endswith("results.json, image_id 77")
    assert (missing.code, missing.count) == ("branch-missing", 1)
    assert missing.first.endswith("results.json, image_id 5")
    with pytest.raises(DataError, match="that the ground truth lacks"):
        evaluate(gt, pred, **branches, strict=True)


def test_results_in_other_categories_are_not_scored_in_silence(tmp_path):
    gt = write_dataset(tmp_path, "gt", {5: TRUTH})
    pred = write_dataset(tmp_path, "pred", {5: PRED})
    space = {c.category_id: c for c in SPACE.categories}
    stuff_id = SPACE.stuff_ids[0]
    entry = {"image_id": 5, "category_id": stuff_id, "score": 0.5, "segmentation": MASK}
    path = tmp_path / "results.json"
    path.write_text(json.dumps([entry]))
    (finding,) = evaluate(gt, pred, instances=path).findings
    assert (finding.code, finding.count) == ("branch-stuff", 1)
    assert finding.first == f"{path}, entry 0: {space[stuff_id].name!r}"
    for name, is_wrong in ((space[stuff_id].name, False), ("cat", True)):
        categories = [{"id": stuff_id, "name": name, "isthing": 1}]
        path.write_text(json.dumps({"annotations": [entry], "categories": categories}))
        if is_wrong:
            with pytest.raises(CocoFormatError, match=rf"category_id {stuff_id} is 'cat' there"):
                evaluate(gt, pred, instances=path)
        else:
            assert evaluate(gt, pred, instances=path).findings


def test_other_numbers_are_found_by_name_and_said(tmp_path):
    gt = write_dataset(tmp_path, "gt", {5: TRUTH, 6: PRED})
    pred = write_dataset(tmp_path, "pred", {6: PRED, 5: TRUTH})
    content = json.loads(pred.read_text())
    for annotation in content["annotations"]:
        annotation["image_id"] = 11 - annotation["image_id"]
    content.pop("images", None)
    pred.write_text(json.dumps(content))
    evaluation = evaluate(gt, pred)
    assert evaluation.result.all.pq == 1
    (finding,) = (f for f in evaluation.findings if f.code == "pred-renumbered")
    assert finding.count == 2
    assert "from 5 to 6" in finding.first
    assert evaluate(gt, pred, official=True).result.all.pq < 1
