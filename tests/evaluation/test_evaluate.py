import csv
import json
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hotcoco.panoptic import PanopticEval
from hypothesis import given, settings
from hypothesis import strategies as st
from panoptic_maps import SPACE, pairs, panoptic, write_dataset
from real_data import COCO_ANNOTATIONS, needs_real_data

from fuse.errors import CocoFormatError, DataError, LabelSpaceError
from fuse.evaluation.evaluate import evaluate, summarize_images, write_per_image_csv
from fuse.evaluation.image_scores import ImageScores
from fuse.evaluation.scorer import TruthScorer
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.labels import find_label_map, find_truth_map, load_space, map_panoptic
from fuse.metrics.matching import match_segments
from fuse.metrics.pq import sum_stats, summarize
from fuse.types import Category, LabelSpace

TRUTH = panoptic([1, 1, 1, 0, 2, 2], {1: 1, 2: 7})
PRED = panoptic([1, 1, 0, 0, 2, 2], {1: 1, 2: 7})


def hotcoco_results(gt, pred):
    scorer = PanopticEval(str(gt), str(pred))
    scorer.evaluate()
    return scorer.results()


def assert_equals_hotcoco(result, expected):
    for split, ours in (("All", result.all), ("Things", result.things), ("Stuff", result.stuff)):
        theirs = expected[split]
        assert ours.n == theirs["n"]
        if ours.n:
            for key in ("pq", "sq", "rq"):
                assert getattr(ours, key) == pytest.approx(theirs[key], abs=1e-12), (split, key)
    assert set(result.per_category) == set(expected["per_class"])
    for category_id, theirs in expected["per_class"].items():
        ours = result.per_category[category_id]
        assert (ours.tp, ours.fp, ours.fn) == (theirs["tp"], theirs["fp"], theirs["fn"])
        assert ours.iou_sum == pytest.approx(theirs["iou"], abs=1e-12)


def claim_areas(image, areas):
    """The image with other areas in its segments_info."""
    categories = {s.segment_id: s.category_id for s in image.segments_info}
    crowds = {s.segment_id for s in image.segments_info if s.iscrowd}
    return panoptic(image.panoptic_map, categories, crowds, areas)


@settings(max_examples=150)
@given(st.lists(pairs(), min_size=1, max_size=3), st.data())
def test_official_equals_hotcoco(images, data):
    wrong = st.integers(0, 3)  # pixels too many, in one image of four
    truth = {}
    for image_id, (image, _) in enumerate(images):
        areas = {s.segment_id: s.area + data.draw(wrong) for s in image.segments_info}
        truth[image_id] = claim_areas(image, areas if data.draw(wrong) == 0 else {})
    with tempfile.TemporaryDirectory() as folder:
        gt = write_dataset(Path(folder), "gt", truth)
        pred = write_dataset(Path(folder), "pred", {i: p for i, (_, p) in enumerate(images)})
        evaluation = evaluate(gt, pred, official=True, workers=1)
        assert_equals_hotcoco(evaluation.result, hotcoco_results(gt, pred))


def perturb(truth, rng):
    """A prediction that is right in most places: blocks shifted, swapped and dropped."""
    pred_map = np.roll(truth.panoptic_map, rng.integers(-12, 13, 2), axis=(0, 1))
    ids = [segment.segment_id for segment in truth.segments_info]
    for segment_id in rng.permutation(ids)[: len(ids) // 4]:
        pred_map[pred_map == segment_id] = rng.choice([0, *ids])
    categories = {s.segment_id: s.category_id for s in truth.segments_info}
    present = set(np.unique(pred_map).tolist())
    return panoptic(pred_map, {i: c for i, c in categories.items() if i in present})


@needs_real_data
def test_real_images_equal_hotcoco(tmp_path):
    gt = COCO_ANNOTATIONS / "panoptic_val2017.json"
    truth = read_panoptic_json(gt)
    rng = np.random.default_rng(0)
    images = {image_id: perturb(truth.load(image_id), rng) for image_id in truth.annotations}
    pred = write_dataset(tmp_path, "pred", images, truth.space)
    evaluation = evaluate(gt, pred, official=True)
    assert 0.2 < evaluation.result.all.pq < 0.9
    assert_equals_hotcoco(evaluation.result, hotcoco_results(gt, pred))
    assert evaluation.findings == ()


def test_evaluate(tmp_path):
    gt = write_dataset(tmp_path, "gt", {3: TRUTH, "b": TRUTH})
    pred = write_dataset(tmp_path, "pred", {"b": TRUTH, 3: PRED})
    progress = []
    evaluation = evaluate(gt, pred, on_progress=lambda *done: progress.append(done))
    assert evaluation.findings == ()
    assert [image.image_id for image in evaluation.images] == [3, "b"]
    assert evaluation.result.things.pq == pytest.approx((2 / 3 + 1) / 2)
    assert evaluation.result.stuff.pq == 1
    assert progress == [(1, 2), (2, 2)]
    scores = json.loads(json.dumps(evaluation.to_json()))
    assert scores["images"] == 2
    assert scores["pq"]["things"]["pq"] == evaluation.result.things.pq


@given(st.lists(pairs(), min_size=1, max_size=4))
@settings(max_examples=30)
def test_threads_change_no_bit(images):
    with tempfile.TemporaryDirectory() as folder:
        gt = write_dataset(Path(folder), "gt", {i: t for i, (t, _) in enumerate(images)})
        pred = write_dataset(Path(folder), "pred", {i: p for i, (_, p) in enumerate(images)})
        one, three = (evaluate(gt, pred, workers=workers) for workers in (1, 3))
    expected = summarize(sum_stats(match_segments(*pair) for pair in images), SPACE)
    assert repr(one.result) == repr(three.result) == repr(expected)


COCO, SUPER = load_space("coco_panoptic"), load_space("coco_super")


def coco_image():
    """Two stuff classes of one supercategory (grass, tree), two cats and a crowd of them."""
    ids = {COCO.by_name[name].category_id: name for name in ("grass-merged", "tree-merged")}
    grass, tree = ids
    return panoptic(
        [[1, 1, 2, 2, 3], [4, 4, 4, 5, 0]], {1: grass, 2: tree, 3: 17, 4: 17, 5: 17}, crowds={5}
    )


@pytest.mark.parametrize("official", [False, True])
def test_truth_is_mapped_into_the_predictions_space(tmp_path, official):
    truth = coco_image()
    mapped = map_panoptic(truth, find_label_map(COCO, SUPER))
    pred = panoptic([[1, 1, 1, 0, 3], [4, 4, 4, 4, 4]], {1: 22, 3: 3, 4: 3})
    gt_json = write_dataset(tmp_path, "gt", {5: truth}, COCO)
    pred_json = write_dataset(tmp_path, "pred", {5: pred}, SUPER)
    evaluation = evaluate(gt_json, pred_json, official=official)
    expected = summarize(match_segments(mapped, pred, official=official), SUPER)
    assert repr(evaluation.result) == repr(expected)
    assert evaluation.result.all.n >= 2
    assert evaluation.mapped == (
        "ground truth mapped from coco_panoptic (133 categories) to coco_super (27)"
    )
    assert evaluation.to_json()["label_space"] == "coco_super"


def renamed(*names):
    return LabelSpace(
        "other", tuple(Category(i, name, True) for i, name in zip((1, 2, 8), names, strict=False))
    )


def test_a_chain_of_maps_is_told(tmp_path):
    voc = load_space("voc")
    person = panoptic([1, 1, 1, 1], {1: 15})
    gt = write_dataset(tmp_path, "gt", {1: person}, voc)
    pred = write_dataset(tmp_path, "pred", {1: panoptic([1, 1, 1, 1], {1: 1})}, SUPER)
    evaluation = evaluate(gt, pred)
    assert evaluation.mapped == (
        "ground truth mapped from voc (21 categories) to coco_super (27) through coco_panoptic"
    )
    assert evaluation.result.all.pq == 1


@pytest.mark.parametrize(
    ("pred", "used_ids", "official", "message"),
    [
        pytest.param(SPACE, None, False, None, id="equal"),
        pytest.param(renamed("person"), None, False, None, id="a part"),
        pytest.param(renamed("person", "cat"), [1], False, None, id="the rest is not used"),
        pytest.param(renamed("person", "cat"), [2], True, None, id="official reads no names"),
        pytest.param(
            renamed("person", "cat"),
            [2],
            False,
            "id 2 is 'cat' in other and 'dog' in toy",
            id="name",
        ),
        pytest.param(
            renamed("person", "dog", "cow"),
            [8],
            True,
            "id 8 is 'cow' in other and 'no category' in toy",
            id="new id",
        ),
    ],
)
def test_find_truth_map_between_spaces_without_a_map(pred, used_ids, official, message):
    if message is None:
        assert find_truth_map(SPACE, pred, used_ids, official=official) is None
    else:
        with pytest.raises(LabelSpaceError, match=message):
            find_truth_map(SPACE, pred, used_ids, official=official)


def test_ground_truth_and_predictions_in_each_other_s_place_are_told():
    """A map leads from the one to the other, and none back."""
    with pytest.raises(LabelSpaceError, match=r"other way only: are the two files swapped\?"):
        find_truth_map(SUPER, load_space("coco_panoptic"))


def test_truth_scorer_scores_predictions_in_memory(tmp_path):
    truth = read_panoptic_json(write_dataset(tmp_path, "gt", {5: TRUTH, 6: TRUTH}))
    scorer = TruthScorer(truth)
    image = scorer.score(5, PRED)
    assert image.file_name == "5.jpg"
    expected = match_segments(TRUTH, PRED)
    np.testing.assert_array_equal(image.stats.iou_sum, expected.iou_sum)
    evaluation = summarize_images(scorer, ImageScores([image]))
    assert len(evaluation.images) == 1
    assert repr(evaluation) == f"Evaluation({evaluation.result!r}, 1 images, 0 findings)"
    assert repr(truth) == f"PanopticDataset({str(truth.path)!r}, gt, 2 images)"
    assert repr(evaluation.result) == repr(summarize(expected, SPACE))
    with pytest.raises(
        CocoFormatError, match=r"prediction is 2 wide, 1 high; .*5\.png is 6 wide, 1"
    ):
        scorer.score(5, panoptic([1, 1], {1: 1}))


def test_per_image_csv_adds_up(tmp_path):
    gt = write_dataset(tmp_path, "gt", {5: TRUTH, 6: panoptic([0], {})})
    pred = write_dataset(tmp_path, "pred", {5: PRED, 6: panoptic([1], {1: 1})})
    evaluation = evaluate(gt, pred)
    write_per_image_csv(tmp_path / "images.csv", evaluation)
    with (tmp_path / "images.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image_id"] for row in rows] == ["5", "6"]
    assert float(rows[0]["pq"]) == pytest.approx((2 / 3 + 1) / 2)
    assert rows[0] | {"pq": "", "iou_sum": ""} == {
        "image_id": "5",
        "file_name": "5.jpg",
        "pq": "",
        "tp": "2",
        "fp": "0",
        "fn": "0",
        "iou_sum": "",
    }
    assert rows[1]["pq"] == ""


def test_branches_are_scored_in_the_space_of_the_truth(tmp_path):
    gt = write_dataset(tmp_path, "gt", {5: TRUTH, 6: TRUTH})
    pred = write_dataset(tmp_path, "pred", {5: PRED, 6: TRUTH})
    person = {"size": [1, 6], "counts": [0, 3, 3]}
    results = [
        {"image_id": image_id, "category_id": 1, "score": 0.5, "segmentation": person}
        for image_id in (5, 6)
    ]
    (tmp_path / "instances.json").write_text(json.dumps(results))
    (tmp_path / "labels").mkdir()
    for image_id in (5, 6):
        cv2.imwrite(str(tmp_path / f"labels/{image_id}.png"), np.uint8([[1, 1, 7, 7, 7, 0]]))
    evaluation = evaluate(
        gt, pred, semantic=tmp_path / "labels", instances=tmp_path / "instances.json"
    )
    assert evaluation.instances.ap == pytest.approx(1)
    # person: 2 right of 3; sky: 1 right, 1 missed, 1 wrong (predicted on void is no mistake).
    assert evaluation.semantic.miou == pytest.approx((2 / 3 + 1 / 3) / 2)
    scores = json.loads(json.dumps(evaluation.to_json()))
    assert scores["semantic"]["miou"] == evaluation.semantic.miou
    assert scores["instances"]["ap_large"] is None


def test_branches_are_scored_against_mapped_truth(tmp_path):
    gt = write_dataset(tmp_path, "gt", {5: coco_image()}, COCO)
    pred = write_dataset(tmp_path, "pred", {5: panoptic(np.zeros((2, 5)), {})}, SUPER)
    (tmp_path / "labels").mkdir()
    animal, plant = SUPER.by_name["animal"].category_id, SUPER.by_name["plant"].category_id
    labels = np.uint8([[plant] * 4 + [animal], [animal] * 5])
    cv2.imwrite(str(tmp_path / "labels/5.png"), labels)
    assert evaluate(gt, pred, semantic=tmp_path / "labels").semantic.miou == 1


def test_label_pngs_of_names_that_lead_out_count_from_the_folder_of_all(tmp_path):
    gt = write_dataset(tmp_path, "gt", {5: TRUTH, 6: TRUTH})
    pred = write_dataset(tmp_path, "pred", {5: PRED, 6: TRUTH})
    content = json.loads(gt.read_text())
    for image, folder in zip(content["images"], "ab", strict=True):
        image["file_name"] = f"../{folder}/x.jpg"
        (tmp_path / "labels" / folder).mkdir(parents=True)
    gt.write_text(json.dumps(content))
    labels = tmp_path / "labels"
    cv2.imwrite(str(labels / "a/x.png"), np.uint8([[1, 1, 1, 0, 7, 7]]))
    cv2.imwrite(str(labels / "b/x.png"), np.uint8([[7, 7, 7, 0, 1, 1]]))
    # person: 3 right of 6 true and 5 predicted; sky: 2 right of 4 true and 5 predicted.
    assert evaluate(gt, pred, semantic=labels).semantic.miou == pytest.approx((3 / 8 + 2 / 7) / 2)
    (labels / "a/x.png").rename(labels / "x.png")
    (labels / "b/x.png").unlink()
    with pytest.raises(CocoFormatError, match=r"x\.png would be of both 'a/x\.jpg' and 'b/x"):
        evaluate(gt, pred, semantic=labels)


def test_stuff_that_names_its_images_is_scored(tmp_path):
    gt = write_dataset(tmp_path, "gt", {5: TRUTH})
    entries = [
        {"category_id": 1, "segmentation": {"size": [1, 6], "counts": [0, 2, 4]}},
        {"category_id": 7, "segmentation": {"size": [1, 6], "counts": [2, 3, 1]}},
    ]
    path = tmp_path / "sem_seg_predictions.json"
    path.write_text(json.dumps([e | {"file_name": "/data/val/5.jpg"} for e in entries]))
    named = evaluate(gt, gt, semantic=path)
    path.write_text(json.dumps([e | {"image_id": 5} for e in entries]))
    assert named.semantic.miou == evaluate(gt, gt, semantic=path).semantic.miou
    assert named.semantic.miou == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert not named.findings


def test_other_names_of_ids_have_a_next_step_for_labels():
    with pytest.raises(LabelSpaceError, match="label space by fuse convert --label-space"):
        find_truth_map(SPACE, renamed("person", "cat"), [2])


def test_many_categories_and_many_failures_are_one_table_and_one_line(tmp_path):
    gt = write_dataset(tmp_path, "gt", {1: TRUTH})
    content = json.loads(gt.read_text(encoding="utf-8"))
    (image,), (annotation,) = content["images"], content["annotations"]
    content["categories"] += [
        {"id": 1000 + n, "name": f"class {n}", "isthing": 1} for n in range(20_000)
    ]
    gt.write_text(json.dumps(content), encoding="utf-8")
    assert evaluate(gt, gt).result.all.n == 2
    for n in range(2, 1002):  # their PNGs are not there
        content["images"].append({**image, "id": n, "file_name": f"{n}.jpg"})
        content["annotations"].append({**annotation, "image_id": n, "file_name": f"{n}.png"})
    gt.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError) as raised:
        evaluate(gt, gt)
    assert len(str(raised.value).splitlines()) == 2
    assert "1000 photos that cannot be scored" in str(raised.value)
