"""PQ in a loop: every form of maps, the sums of processes, and the figures of other scorers."""

import json
import pickle
import socket
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from factories import TOY_SPACE, panoptic_truth
from torchmetrics.detection import PanopticQuality as TorchQuality

import fuse
from fuse import PanopticQuality, PanopticResult
from fuse.errors import LabelSpaceError
from fuse.metrics.matching import match_segments
from fuse.metrics.pq import sum_stats, summarize
from fuse.types import PanopticPrediction, SegmentInfo
from fuse.types.label_space import ID_OF_ZERO


def shake(rng, truth):
    """The truth, some of its segments moved and some given another class."""
    panoptic_map = np.roll(truth.panoptic_map, rng.integers(0, 6), axis=1)
    ids = list(TOY_SPACE.by_id)
    segments = tuple(
        SegmentInfo(
            s.segment_id,
            s.category_id if rng.random() < 0.8 else int(rng.choice(ids)),
            s.area,
            s.bbox,
        )
        for s in truth.segments_info
    )
    return PanopticPrediction(panoptic_map, segments)


def make_pairs(count, *, crowds=True, seed=0):
    rng = np.random.default_rng(seed)
    truths = [panoptic_truth(rng, (40, 60), block=12, crowds=crowds) for _ in range(count)]
    return [(shake(rng, truth), truth) for truth in truths]


def score(pairs, **kwargs):
    metric = PanopticQuality(space=TOY_SPACE, **kwargs)
    for pred, truth in pairs:
        metric.update(pred, truth)
    return metric


def plain(result):
    return result.to_json()


@pytest.mark.parametrize("official", [False, True])
def test_it_is_the_sum_over_images_to_the_last_digit(official):
    pairs = make_pairs(20)
    result = score(pairs, official=official).compute()
    stats = sum_stats(match_segments(truth, pred, official=official) for pred, truth in pairs)
    assert plain(result) == plain(summarize(stats, TOY_SPACE))
    assert 0 < result.all.pq < 1


def test_it_is_what_evaluate_says_of_the_files(tmp_path):
    pairs = make_pairs(12)
    for column, name in enumerate(("pred", "truth")):
        (tmp_path / name).mkdir()
        records, annotations = [], []
        for image_id, pair in enumerate(pairs, start=1):
            fuse.write_id_map(tmp_path / name / f"{image_id}.png", pair[column].panoptic_map)
            records.append(fuse.ImageRecord(image_id, f"{image_id}.jpg", 40, 60))
            segments = pair[column].segments_info
            annotations.append(fuse.annotation_to_json(image_id, f"{image_id}.png", segments))
        fuse.write_panoptic_json(tmp_path / f"{name}.json", records, annotations, TOY_SPACE)
    evaluation = fuse.evaluate(tmp_path / "truth.json", tmp_path / "pred.json")
    metric = PanopticQuality(space=evaluation.space)
    datasets = [fuse.read_panoptic_json(tmp_path / f"{name}.json") for name in ("pred", "truth")]
    for image_id in datasets[1].annotations:
        metric.update(*(dataset.load(image_id) for dataset in datasets))
    assert plain(metric.compute()) == plain(evaluation.result)


@pytest.mark.parametrize("form", ["to_torch", "to_transformers", "to_detectron2"])
def test_every_form_counts_alike(form):
    # One segment per class of stuff, as arrays of categories and instances have it.
    pairs = make_pairs(6, crowds=False, seed=2)
    results = [[merge(PanopticResult.from_prediction(m, TOY_SPACE)) for m in p] for p in pairs]
    expected = plain(score(results).compute())
    converted = [[getattr(result, form)() for result in pair] for pair in results]
    assert plain(score(converted).compute()) == expected
    preds, targets = zip(*converted, strict=True)
    metric = PanopticQuality(space=TOY_SPACE)
    metric.update(list(preds), list(targets))
    assert plain(metric.compute()) == expected
    assert metric.images == 6


def merge(result):
    return PanopticResult.from_torch(result.to_torch(), TOY_SPACE)


def test_a_batch_of_tensors():
    results = [merge(PanopticResult.from_prediction(t, TOY_SPACE)) for _, t in make_pairs(4)]
    batch = torch.stack([result.to_torch() for result in results])
    metric = PanopticQuality(space=TOY_SPACE)
    metric.update(batch, batch)
    assert metric.images == 4
    assert metric.compute().all.pq == 1


def make_tensors(seed, *, void_truth):
    """(B, H, W, 2) of things 0, 3 and stuffs 6, 7; 255 is void."""
    rng = np.random.default_rng(seed)

    def blocks(values):
        return np.kron(rng.choice(values, (5, 4, 6)), np.ones((1, 9, 9), dtype=np.int64))

    truth = np.stack((blocks([0, 3, 6, 7, *[255] * void_truth]), blocks([0, 1, 2])), axis=-1)
    pred = np.where(rng.random((5, 4, 6, 1)).repeat(9, 1).repeat(9, 2) < 0.7, truth, truth[::-1])
    pred[pred == 255] = 6
    shifted = np.roll(pred, 2, axis=1)
    return torch.from_numpy(shifted), torch.from_numpy(truth)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("void_truth", [False, True])
def test_torchmetrics_gives_the_same_where_no_prediction_is_void(seed, void_truth):
    pred, truth = make_tensors(seed, void_truth=void_truth)
    metric = PanopticQuality(things={0, 3}, stuffs={6, 7})
    metric.update(pred, truth)
    theirs = TorchQuality({0, 3}, {6, 7}, return_per_class=True)(pred, truth)
    ours = [metric.compute().per_category[i].score.pq for i in (ID_OF_ZERO, 3, 6, 7)]
    np.testing.assert_allclose(ours, theirs.ravel().numpy(), atol=1e-6)


def test_torchmetrics_differs_where_the_prediction_is_void():
    """Void in a prediction counts to the union here, as in COCO's scorer, and not there."""
    truth = torch.tensor([[[[1, 1], [1, 1], [1, 1], [6, 0]]]])
    pred = torch.tensor([[[[1, 1], [1, 1], [0, 0], [6, 0]]]])
    metric = PanopticQuality(things={1}, stuffs={6})
    metric.update(pred, truth)
    assert metric.compute().per_category[1].score.pq == pytest.approx(2 / 3)
    theirs = TorchQuality({1}, {6}, return_per_class=True, allow_unknown_preds_category=True)
    assert theirs(pred, truth)[0, 0] == pytest.approx(1)


def test_labels_of_a_net_are_joined_by_name():
    segmentation = torch.tensor([[1, 1, 2]])
    output = {
        "segmentation": segmentation,
        "segments_info": [{"id": 1, "label_id": 0, "score": 0.9}, {"id": 2, "label_id": 1}],
    }
    truth = PanopticPrediction(
        np.array([[8, 8, 9]], dtype=np.int32),
        (SegmentInfo(8, 8, 2, (0, 0, 2, 1)), SegmentInfo(9, 5, 1, (2, 0, 1, 1))),
    )
    metric = PanopticQuality(space=TOY_SPACE, names={0: "dog", 1: "sky"})
    metric.update(output, truth)
    assert metric.compute().all.pq == 1
    with pytest.raises(LabelSpaceError, match=r"what is class 0\? Give names"):
        PanopticQuality(space=TOY_SPACE).update(output, truth)
    numbers = PanopticQuality(things={0}, stuffs={1})
    numbers.update(output, output)
    assert numbers.compute().all.pq == 1


def test_nothing_gives_nan_and_reset_forgets():
    metric = score(make_pairs(3))
    first = plain(metric.compute())
    metric.reset()
    assert np.isnan(metric.compute().all.pq)
    assert metric.images == 0
    for pred, truth in make_pairs(3):
        metric.update(pred, truth)
    assert plain(metric.compute()) == first


def test_parts_add_up_and_leave_their_summands_alone():
    pairs = make_pairs(9)
    whole, parts = score(pairs), [score(pairs[:4]), score(pairs[4:])]
    total = parts[0] + parts[1]
    before = plain(parts[0].compute())
    merged = score(pairs[:4])
    merged.merge_state(parts[1])
    for one in (total, merged, sum(parts)):
        assert_same_but_rounding(one.compute(), whole.compute())
        assert one.images == 9
    assert plain(parts[0].compute()) == before


def assert_same_but_rounding(one, other):
    for category_id, category in other.per_category.items():
        found = one.per_category[category_id]
        assert (found.tp, found.fp, found.fn) == (category.tp, category.fp, category.fn)
        assert found.iou_sum == pytest.approx(category.iou_sum, rel=1e-12)


def test_it_can_be_pickled():
    metric = score(make_pairs(3))
    copy = pickle.loads(pickle.dumps(metric))  # noqa: S301 - our own
    assert plain(copy.compute()) == plain(metric.compute())
    copy.update(*make_pairs(1)[0])
    assert copy.images == 4
    assert metric.images == 3


def test_a_batch_with_an_error_counts_nothing():
    good = make_pairs(1)[0]
    strange = PanopticPrediction(good[1].panoptic_map[:, :5].copy())
    metric = PanopticQuality(space=TOY_SPACE)
    with pytest.raises(ValueError, match="differ in size"):
        metric.update([good[0], strange], [good[1], good[1]])
    assert metric.images == 0
    assert np.isnan(metric.compute().all.pq)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "give either space, or things and stuffs"),
        ({"space": TOY_SPACE, "things": {1}}, ValueError, "give either space"),
        ({"things": {1, 2}, "stuffs": {2}}, ValueError, r"ids \[2\] are both things and stuffs"),
    ],
)
def test_what_it_cannot_be_made_of(arguments, error, message):
    with pytest.raises(error, match=message):
        PanopticQuality(**arguments)


def test_what_it_cannot_count():
    metric = PanopticQuality(things={1}, stuffs={6})
    pairs = torch.tensor([[[1, 0], [9, 0]]])
    good = pairs[:, :1]
    metric.update(good, good)
    with pytest.raises(ValueError, match="category 9 is neither of things nor of stuffs"):
        metric.update(pairs, pairs)
    with pytest.raises(ValueError, match="2 predictions for 1 targets"):
        metric.update([good, good], [good])
    with pytest.raises(ValueError, match=r"whole numbers \(H, W, 2\), got .*float32"):
        metric.update(good.float(), good)
    with pytest.raises(TypeError, match="a panoptic map is expected, got NoneType"):
        metric.update(None, good)
    other = PanopticResult(panoptic_map=np.zeros((1, 2), np.int32), space=TOY_SPACE)
    with pytest.raises(LabelSpaceError, match="a result of toy, not of things and stuffs"):
        metric.update(other, good)
    unlisted = PanopticPrediction(np.ones((1, 2), np.int32), (SegmentInfo(1, 77, 2, (0, 0, 2, 1)),))
    with pytest.raises(LabelSpaceError, match="category_id 77 is not in things and stuffs"):
        metric.update(unlisted, unlisted)
    with pytest.raises(ValueError, match="do not add up"):
        metric.merge_state(PanopticQuality(space=TOY_SPACE))
    assert metric.images == 1


def test_repr_is_short():
    assert repr(score(make_pairs(2))) == "PanopticQuality(toy, 2 images)"
    assert len(repr(score(make_pairs(2)).compute())) < 200


RANK = textwrap.dedent(
    """
    import json, sys
    sys.path.insert(0, sys.argv[4])
    import torch.distributed as dist
    from test_quality import TOY_SPACE, make_pairs, score
    rank, world = int(sys.argv[1]), int(sys.argv[2])
    dist.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{sys.argv[3]}", rank=rank, world_size=world
    )
    metric = score(make_pairs(7)[rank::world])
    print(json.dumps([metric.compute().to_json(), metric.compute().to_json(), metric.images]))
    dist.destroy_process_group()
    """
)


@pytest.mark.slow
def test_two_processes_add_up():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = [p for p in sys.path if p]
    code = f"import sys; sys.path[:0] = {folders!r}\n" + RANK
    here = __file__.rsplit("test_quality", 1)[0]
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(rank), "2", str(port), here], stdout=subprocess.PIPE
        )
        for rank in range(2)
    ]
    answers = [json.loads(rank.communicate(timeout=300)[0].splitlines()[-1]) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0]
    assert answers[0][:2] == answers[1][:2]  # on all ranks, and each time
    assert answers[0][0] == answers[0][1]
    assert [answer[2] for answer in answers] == [4, 3]
    whole = score(make_pairs(7)).compute().to_json()
    for group, scores in whole["pq"].items():
        assert answers[0][0]["pq"][group] == pytest.approx(scores, rel=1e-12)
    for category_id, category in whole["per_class"].items():
        found = answers[0][0]["per_class"][category_id]
        assert [found[key] for key in ("tp", "fp", "fn")] == [
            category[key] for key in ("tp", "fp", "fn")
        ]
