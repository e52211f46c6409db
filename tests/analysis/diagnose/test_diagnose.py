"""The attribution: a planted error accounts for what it costs, and the shares add up."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories import TOY_SPACE
from scenes import CAT, DOG, SIZE, make_scene

from fuse import api
from fuse.analysis.diagnose.diagnose import ALONE, RunContext, diagnose_image, sum_up
from fuse.analysis.diagnose.error_types import ERROR_TYPES, SUBTYPES, Vocabulary
from fuse.analysis.diagnose.shapley import draw_orders
from fuse.errors import ConfigError, DataError
from fuse.evaluation.scorer import TruthScorer
from fuse.fusion import FusionConfig, fuse_image
from fuse.inference.prediction import ImagePrediction
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.labels import find_label_map, load_space
from fuse.metrics.pq import sum_stats, summarize
from fuse.runs.saved_predictions import open_saved_predictions
from fuse.types import BoxMasks, Instances, SemanticPrediction

ROOT = Path(__file__).parents[3]
TRUTH = ROOT / "examples" / "annotations.json"
SKY, GRASS, ROAD = 5, 21, 200
EVERYTHING = Vocabulary(frozenset(TOY_SPACE.thing_ids), frozenset(TOY_SPACE.by_id))


def diagnose_scenes(plant, *, vocabulary=EVERYTHING, images=3, **fusion):
    """The diagnosis of perfect predictions in which errors were planted."""
    config = FusionConfig(**({"stuff_area": 20} | fusion))
    plan = draw_orders(SUBTYPES, ALONE, pairs=2, seed=1)
    context = RunContext(TOY_SPACE, config, {}, vocabulary, plan)
    diagnosed = []
    for seed in range(images):
        scene = make_scene(seed)
        planted = plant(scene, np.random.default_rng(seed))
        prediction = ImagePrediction(planted.semantic(), planted.instances())
        name = f"{seed}.jpg"
        diagnosed.append(
            diagnose_image(prediction, scene.truth(), context, image_id=seed, file_name=name)
        )
    counts = sum(counts for counts, _ in diagnosed)
    return sum_up(counts, [image for _, image in diagnosed], context)


def shares_of(diagnosis):
    """Shares by error type and by subtype."""
    costs = [*diagnosis.errors, *(part for cost in diagnosis.errors for part in cost.parts)]
    return {cost.key: cost.share for cost in costs}


def each_mask(change):
    return lambda scene, rng: replace(scene, masks=np.array([change(m) for m in scene.masks]))


def morph(operation, pixels):
    square = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return each_mask(lambda mask: operation(mask.astype(np.uint8), square) > 0)


def wrong_order(scene, rng):
    return replace(scene, scores=scene.scores[::-1])


def wrong_classes(scene, rng):
    return replace(scene, category_ids=np.where(scene.category_ids == CAT, DOG, CAT))


def shifted_masks(scene, rng):
    return replace(scene, masks=np.roll(scene.masks, 9, axis=2))


def missed_instances(scene, rng):
    kept = rng.permutation(len(scene.masks)) < 4
    return replace(
        scene,
        masks=scene.masks[kept],
        category_ids=scene.category_ids[kept],
        scores=scene.scores[kept],
    )


def low_scores(scene, rng):
    return replace(scene, scores=np.where(rng.permutation(len(scene.scores)) < 4, 0.3, 0.8))


def false_instances(scene, rng):
    """Blobs that cover stuff and things, painted before all others or after them."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    blobs = [abs(y - rng.integers(96)) + abs(x - rng.integers(160)) < 14 for _ in range(6)]
    return replace(
        scene,
        masks=np.concatenate([scene.masks, blobs]),
        category_ids=np.concatenate([scene.category_ids, [CAT, DOG] * 3]),
        scores=np.concatenate([scene.scores, rng.choice([0.6, 0.99], 6)]),
    )


def relabel(*changes):
    """Plant other labels: (old, new, share of the columns)."""

    def plant(scene, rng):
        label_map = scene.label_map.copy()
        for old, new, share in changes:
            columns = np.arange(SIZE[1]) < share * SIZE[1]
            label_map[(scene.label_map == old) & columns] = new
        return replace(scene, label_map=label_map)

    return plant


def things_unseen_and_seen_as_stuff(scene, rng):
    """Half of the objects are missed, and the semantic net calls them grass."""
    scene = missed_instances(scene, rng)
    things = np.isin(scene.label_map, [CAT, DOG])
    return replace(scene, label_map=np.where(things, GRASS, scene.label_map))


def near_borders(scene, rng):
    """Both nets are wrong within 2 pixels of the borders and nowhere else."""
    truth = scene.truth().panoptic_map
    ids = truth.astype(np.uint16)
    square = np.ones((5, 5), np.uint8)
    band = cv2.dilate(ids, square) != cv2.erode(ids, square)
    others = {SKY: GRASS, GRASS: ROAD, ROAD: SKY, CAT: CAT, DOG: DOG}
    swapped = np.vectorize(others.get)(scene.label_map).astype(np.int32)
    shrunk = morph(cv2.erode, 2)(scene, rng)
    return replace(shrunk, label_map=np.where(band, swapped, scene.label_map))


def dogs_unknown(scene, rng):
    """No net can say dog, and the semantic net has no word for road."""
    known = scene.category_ids != DOG
    labels = np.where(np.isin(scene.label_map, [DOG, ROAD]), 0, scene.label_map)
    return replace(
        scene,
        label_map=labels,
        masks=scene.masks[known],
        category_ids=scene.category_ids[known],
        scores=scene.scores[known],
    )


def nothing_wrong(scene, rng):
    return scene


PLANTED = {
    "order": (wrong_order, ["order"], {}),
    "classes": (wrong_classes, ["classes"], {}),
    "masks-eroded": (morph(cv2.erode, 3), ["masks"], {}),
    "masks-dilated": (morph(cv2.dilate, 3), ["masks"], {}),
    "masks-shifted": (shifted_masks, ["masks"], {}),
    "missed": (missed_instances, ["missed", "missed/unseen"], {}),
    "low-scores": (low_scores, ["missed", "missed/low-score"], {}),
    "false": (false_instances, ["false", "false/no-context"], {}),
    "stuff-labels": (
        relabel((SKY, GRASS, 1), (ROAD, GRASS, 0.6)),
        ["stuff-labels"],
        {},
    ),
    "stuff-as-things": (relabel((GRASS, CAT, 0.7), (ROAD, DOG, 0.4)), ["stuff-things"], {}),
    "no-label": (relabel((SKY, 0, 0.6), (ROAD, 0, 0.4)), ["void", "void/unlabelled"], {}),
    "too-small": (nothing_wrong, ["void", "void/too-small"], {"stuff_area": 0.25}),
    "label-map": (
        dogs_unknown,
        ["label-map"],
        {"vocabulary": Vocabulary(frozenset([CAT]), frozenset([CAT, SKY, GRASS]))},
    ),
}


@pytest.mark.parametrize(("plant", "guilty", "options"), PLANTED.values(), ids=PLANTED)
def test_a_planted_error_accounts_for_the_loss(plant, guilty, options):
    diagnosis = diagnose_scenes(plant, **options)
    loss = 1 - diagnosis.result.all.pq
    assert loss > 0.03
    shares = shares_of(diagnosis)
    for key in guilty:
        assert shares[key] >= 0.9 * loss, shares
    cost = next(cost for cost in diagnosis.errors if cost.key == guilty[0])
    assert cost.alone >= 0.9 * loss
    assert sum(shares[key] for key in ERROR_TYPES) + diagnosis.rest == pytest.approx(
        loss, abs=1e-12
    )
    assert diagnosis.rest == pytest.approx(0, abs=1e-12)


def test_errors_at_borders_are_told_apart_from_the_others():
    diagnosis = diagnose_scenes(near_borders)
    loss = 1 - diagnosis.result.all.pq
    near, nearer_or_near = diagnosis.borders
    assert near.share >= 0.9 * loss
    assert near.alone >= 0.9 * loss
    assert nearer_or_near.share == pytest.approx(loss)
    shares = shares_of(diagnosis)
    assert shares["masks"] > 0.05 * loss
    assert shares["stuff-labels"] > 0.05 * loss


def test_two_errors_share_what_they_cost_together():
    diagnosis = diagnose_scenes(things_unseen_and_seen_as_stuff)
    loss = 1 - diagnosis.result.all.pq
    shares = shares_of(diagnosis)
    # What an object claims of a missed one in front of it is, as far as one can see, its mask.
    assert 0.95 * loss < shares["missed"] + shares["stuff-things"] <= loss
    assert 0 < shares["stuff-things"] < shares["missed"]


def test_nothing_wrong_is_nothing_missing():
    diagnosis = diagnose_scenes(nothing_wrong)
    assert diagnosis.result.all.pq == 1
    assert set(shares_of(diagnosis).values()) == {0}
    assert diagnosis.disputed == 0
    assert sum(diagnosis.counts.missed) == sum(diagnosis.counts.false) == 0


def test_each_class_and_image_adds_up_to_its_own_gap():
    def plant(scene, rng):
        for one in (wrong_order, shifted_masks, missed_instances, relabel((GRASS, ROAD, 0.5))):
            scene = one(scene, rng)
        return scene

    diagnosis = diagnose_scenes(plant)
    for one in (*diagnosis.classes, *diagnosis.images):
        assert sum(one.shares.values()) + one.rest == pytest.approx(1 - one.pq, abs=1e-12)
    by_name = {c.name: c for c in diagnosis.classes}
    assert by_name["grass"].shares["missed"] == 0
    assert by_name["cat"].shares["missed"] > 0.1


def test_counts_say_how_near_a_miss_was_and_what_it_was_taken_for():
    counts = diagnose_scenes(wrong_classes, images=1).counts
    assert {(t, p): n for t, p, n in counts.confusions} == {(CAT, DOG): 4, (DOG, CAT): 4}
    shifted = diagnose_scenes(shifted_masks, images=1)
    assert sum(shifted.counts.missed) == sum(c.fn for c in shifted.result.per_category.values())
    assert sum(shifted.counts.false) == sum(c.fp for c in shifted.result.per_category.values())
    assert sum(shifted.counts.missed[1:]) > 0
    written = shifted.counts.to_json()
    assert (written["missed_by_iou"], written["false_by_iou"]) == (
        list(shifted.counts.missed),
        list(shifted.counts.false),
    )


def test_a_run_is_diagnosed_as_it_was_scored(kept_run):
    diagnosis = api.diagnose(kept_run, TRUTH, orders=3)
    scored = json.loads((kept_run / "run.json").read_text())
    assert diagnosis.result.to_json()["pq"] == scored["pq"]
    loss = 1 - diagnosis.result.all.pq
    assert sum(cost.share for cost in diagnosis.errors) == pytest.approx(loss, abs=1e-12)
    assert diagnosis.rest == pytest.approx(0, abs=1e-12)
    assert any(cost.error > 0 for cost in diagnosis.errors)  # two pairs of orders, so they vary
    shares = [image.share for image in api.disagree(kept_run).images]
    assert diagnosis.disputed == pytest.approx(sum(shares) / 3)
    figures = json.loads(json.dumps(diagnosis.to_json(), allow_nan=False))
    assert [image["file_name"] for image in figures["photos"]] == [
        "astronaut.jpg",
        "chelsea.jpg",
        "hopper.jpg",
    ]
    kinds = [s["kind"] for image in figures["photos"] for s in image["segments"]]
    assert kinds.count("tp") == sum(c["tp"] for c in figures["per_class"].values())
    assert api.diagnose(kept_run, TRUTH, orders=3, workers=1).to_json() == diagnosis.to_json()


def copy_with_rule(run, copy, rule):
    """A run that says it was fused by another rule."""
    shutil.copytree(run, copy)
    content = json.loads((copy / "run.json").read_text())
    content["settings"]["pipeline"]["fusion"]["rule"] = rule
    (copy / "run.json").write_text(json.dumps(content))
    return copy


@pytest.mark.parametrize("rule", ["adaptive", "upsnet-logits", "mask-argmax"])
def test_the_shares_of_a_rule_that_weighs_logits_adds_up(kept_run, tmp_path, rule):
    run = copy_with_rule(kept_run, tmp_path / "run", rule)
    diagnosis = api.diagnose(run, TRUTH, orders=1)
    kept = open_saved_predictions(run)
    fused = {i: next(kept.fuse_by_rules(i, [kept.fusion])) for i in kept.dataset.images}
    truth = read_panoptic_json(TRUTH)
    scorer = TruthScorer(truth, find_label_map(truth.space, kept.space))
    stats = [
        scorer.score(true_id, fused[own_id]).stats for own_id, true_id in kept.match_truth(truth)
    ]
    pq = summarize(sum_stats(stats), kept.space).all.pq
    assert diagnosis.result.all.pq == pq
    shares = sum(cost.share for cost in diagnosis.errors)
    assert shares + diagnosis.rest == pytest.approx(1 - pq, abs=1e-12)


def test_a_rule_that_takes_stuff_of_the_instance_net_is_refused(kept_run, tmp_path):
    run = copy_with_rule(kept_run, tmp_path / "run", "mask-classification")
    with pytest.raises(ConfigError, match="'mask-classification' has stuff from the instance net"):
        api.diagnose(run, TRUTH, orders=1)


def test_images_left_out_are_counted(kept_run):
    diagnosis = api.diagnose(kept_run, TRUTH, orders=1)
    assert (diagnosis.unknown, diagnosis.lacking) == (0, 5)
    assert not any(cost.error for cost in diagnosis.errors)  # one pair of orders says nothing of it


def test_images_that_the_truth_lacks_are_an_error(kept_run, tmp_path):
    gt = json.loads(TRUTH.read_text()) | {"images": [], "annotations": []}
    (tmp_path / "gt.json").write_text(json.dumps(gt))
    (tmp_path / "gt").mkdir()
    with pytest.raises(DataError, match="none of its images"):
        api.diagnose(kept_run, tmp_path / "gt.json")


def test_classes_by_overlap_are_those_of_the_run():
    """A person over a bicycle is a rider; a run that says so is right, and nothing is lost."""
    space = load_space("cityscapes")
    label_map = find_label_map(load_space("coco_things"), space)
    instances = Instances(
        boxes=np.float32([[30, 2, 50, 30], [25, 15, 60, 32]]),
        scores=np.array([0.9, 0.7]),
        category_ids=np.array([24, 33], np.int32),
        masks=BoxMasks(np.ones((2, 28, 28), np.float32)),
        size=(40, 100),
    )
    fusion = FusionConfig(class_choice="overlap", overlap_threshold=0.9)
    prediction = ImagePrediction(SemanticPrediction(np.full((40, 100), 24, np.int32)), instances)
    truth = fuse_image(prediction.semantic, instances, space, fusion, label_map.choices)
    assert [s.category_id for s in truth.segments_info] == [25, 33]
    known = frozenset([24, 25, 33])
    plan = draw_orders(SUBTYPES, ALONE, pairs=1, seed=1)
    context = RunContext(space, fusion, label_map.choices, Vocabulary(known, known), plan)
    counts, image = diagnose_image(prediction, truth, context, image_id=1, file_name="a.jpg")
    assert sum_up(counts, [image], context).result.all.pq == 1
