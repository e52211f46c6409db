"""Panoptic FPN as two models, against the same tensors run by plain functions."""

import gc
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch
from panoptic_fpn_weights import MEAN, SIZES, make_images, make_input, make_state
from pycocotools import mask as coco_mask
from reference import panoptic_fpn as slow
from torch.nn.modules.module import register_module_forward_hook
from torchvision.models.detection.backbone_utils import BackboneWithFPN

from fuse.errors import ModelError, ModelNotFoundError
from fuse.inference.pipeline import Pipeline
from fuse.inference.presets import list_pipelines, read_pipeline
from fuse.labels import load_space
from fuse.models.panoptic_fpn.adapters import PanopticFpnInstances, PanopticFpnSemantic
from fuse.models.panoptic_fpn.checkpoint import read_checkpoint
from fuse.models.panoptic_fpn.shared_net import build_net
from fuse.models.registry import create_semantic_model, find_needed_weights
from fuse.models.weights.loading import NetHeader
from fuse.models.weights.sources import list_published
from fuse.types import SemanticLogits, SemanticPrediction

SPACE = load_space("coco_panoptic")
DETECTRON2 = Path(__file__).parents[2] / "reference/detectron2_answers.npz"
OPTIONS = {"precision": "float32", **SIZES}


@pytest.fixture(scope="module")
def images():
    return make_images()


@pytest.fixture(scope="module")
def state(images):
    return make_state(images)


@pytest.fixture(scope="module")
def weights(state, tmp_path_factory):
    """A checkpoint as detectron2 writes it; an older one holds mean, std and anchors too."""
    path = tmp_path_factory.mktemp("weights") / "model_final.pkl"
    arrays = {key: tensor.numpy() for key, tensor in state.items()}
    arrays["pixel_mean"], arrays["pixel_std"] = MEAN[:, None, None], np.ones((3, 1, 1), "f4")
    arrays["proposal_generator.anchor_generator.cell_anchors.0"] = np.ones((3, 4), "f4")
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))
    return str(path)


@pytest.fixture(scope="module")
def semantic(weights):
    return PanopticFpnSemantic("cpu", weights=weights, exact=True, **OPTIONS)


@pytest.fixture(scope="module")
def instance(weights):
    return PanopticFpnInstances("cpu", weights=weights, **OPTIONS)


@contextmanager
def count_backbone_runs():
    runs = []

    def note(module, inputs, _):
        if isinstance(module, BackboneWithFPN):
            runs.append(len(inputs[0]))

    handle = register_module_forward_hook(note)
    try:
        yield runs
    finally:
        handle.remove()


@pytest.mark.slow
@torch.inference_mode()
def test_labels_are_those_of_the_plain_functions(state, semantic, images):
    batch, resized = make_input(images[1])
    logits = slow.predict_stuff(state, slow.extract_features(state, batch))
    expected = slow.label_pixels(logits[0], resized, images[1].size)
    (found,) = semantic.predict([images[1]])
    assert isinstance(found, SemanticPrediction)
    assert len(np.unique(expected)) > 10
    category_ids = np.array([0, *SPACE.stuff_ids])  # class 0 is any thing
    assert (found.label_map == category_ids[expected]).mean() > 0.999


@pytest.fixture(scope="module")
def every_instance(instance, images):
    (every,) = instance.predict(images[:1], score_threshold=0.0)
    return every


@pytest.mark.slow
@torch.inference_mode()
def test_instances_are_those_of_the_plain_functions(state, every_instance, images):
    """Float noise may turn a tie: nearly all must have their twin."""
    batch, resized = make_input(images[0])
    features = slow.extract_features(state, batch)
    boxes, scores, classes, masks = slow.find_things(state, features, resized, images[0].size)
    found = every_instance
    assert len(found) == len(boxes) > 30
    assert len(set(classes)) > 5
    assert sorted(found.scores, reverse=True) == found.scores.tolist()
    pasted = coco_mask.decode(list(found.masks.rles)).transpose(2, 0, 1).astype(bool)
    twins, pixels, wrong = 0, 0, 0
    for box, score, class_index, mask in zip(boxes, scores, classes, masks, strict=True):
        twin = np.abs(found.boxes - box).max(axis=1).argmin()
        twins += (
            np.abs(found.boxes[twin] - box).max() < 0.05
            and abs(found.scores[twin] - score) < 1e-3
            and found.category_ids[twin] == SPACE.thing_ids[class_index]
        )
        pixels += mask.sum()
        wrong += (pasted[twin] != mask).sum()
    assert twins >= 0.95 * len(boxes)
    assert wrong < 0.03 * pixels


@pytest.mark.slow
def test_a_score_floor_cuts_and_changes_nothing_else(instance, every_instance, images):
    every, count = every_instance, len(every_instance) // 5
    floor = float(every.scores[count - 1 : count + 1].mean())
    (above,) = instance.predict(images[:1], score_threshold=floor)
    np.testing.assert_allclose(above.scores, every.scores[:count], rtol=1e-5)
    np.testing.assert_allclose(above.boxes, every.boxes[:count], atol=1e-3)
    (none,) = instance.predict(images[:1], score_threshold=1.0)
    assert len(none) == 0
    assert none.size == images[0].size


@pytest.mark.slow
@torch.inference_mode()
def test_logits_leave_at_stride_4_without_the_padding(state, weights, images):
    model = PanopticFpnSemantic("cpu", weights=weights, **OPTIONS)
    (found,) = model.predict(images[:1])
    batch, _ = make_input(images[0])
    expected = slow.predict_stuff(state, slow.extract_features(state, batch))[0]
    assert isinstance(found, SemanticLogits)
    assert found.logits.shape == (54, 16, 20 + 1)  # of 24; one cell beyond for the border
    assert found.scale == (0.125, 0.125)
    np.testing.assert_allclose(found.logits, expected[:, :, :21], rtol=2e-3, atol=2e-3)


@pytest.mark.slow
def test_bfloat16_answers_nearly_the_same(weights, images):
    float32, bfloat16 = (
        PanopticFpnSemantic("cpu", weights=weights, precision=precision, **SIZES)
        .predict(images[:1])[0]
        .logits.astype(np.float32)
        for precision in ("float32", "bfloat16")
    )
    noise = (bfloat16 - float32).std() / float32.std()
    assert 1e-4 < noise < 0.05


@pytest.mark.slow
def test_both_branches_run_one_backbone_once_per_image(semantic, instance, every_instance, images):
    floor = float(every_instance.scores[5])  # few masks, to save time
    with count_backbone_runs() as runs:
        labels = semantic.predict(images)
        instances = instance.predict(images, score_threshold=floor)
    assert runs == [2, 1]  # two images of one size, one of another
    with count_backbone_runs() as runs:
        alone = [instance.predict([image], score_threshold=floor)[0] for image in images]
        alone_labels = [semantic.predict([image])[0] for image in reversed(images)]
    assert len(runs) == 5  # the last image's features were at hand
    assert len(instances[0]) >= 5
    for together, one in zip(instances, alone, strict=True):
        assert together.category_ids.tolist() == one.category_ids.tolist()
        np.testing.assert_allclose(together.boxes, one.boxes, atol=1e-2)
    for together, one in zip(labels, reversed(alone_labels), strict=True):
        assert (together.label_map == one.label_map).mean() > 0.999


@pytest.mark.slow
def test_threads_keep_their_features_to_themselves(semantic, instance, every_instance, images):
    floor = float(every_instance.scores[0])
    alone = [semantic.predict([image])[0].label_map for image in images]
    everyone_asked_once = Barrier(len(images))

    def ask(image):
        (labels,) = semantic.predict([image])
        everyone_asked_once.wait(60)
        instance.predict([image], score_threshold=floor)
        return labels.label_map

    with count_backbone_runs() as runs, ThreadPoolExecutor(len(images)) as pool:
        together = list(pool.map(ask, images))
    assert len(runs) == len(images)  # each thread's second branch had the features of its first
    for labels, expected in zip(together, alone, strict=True):
        assert (labels == expected).mean() > 0.999


@pytest.mark.slow
def test_a_branch_alone_or_of_another_size_keeps_nothing(weights, images):
    gc.collect()
    small = PanopticFpnSemantic("cpu", weights=weights, precision="float32", min_size=32)
    with count_backbone_runs() as runs:
        small.predict(images[:1])
        small.predict(images[:1])
    assert len(runs) == 2


def load_preset(weights):
    overrides = [
        f"{section}.{option}"
        for section in ("semantic", "instance")
        for option in (f"weights='{weights}'", "precision='float32'", "min_size=64", "max_size=96")
    ]
    return Pipeline(read_pipeline("panoptic-fpn", [*overrides, "fusion.stuff_area=100"]), "cpu")


@pytest.mark.slow
def test_the_preset_runs_one_net(weights, semantic, images):
    pipeline = load_preset(weights)
    with count_backbone_runs() as runs:
        panoptic = pipeline(images[0].pixels)
    assert len(runs) == 1
    assert pipeline.weights["semantic"] == pipeline.weights["instance"] == semantic.weights_hash
    isthing = {SPACE.by_id[segment.category_id].isthing for segment in panoptic.segments_info}
    assert isthing == {True, False}


@pytest.fixture(scope="module")
def detectron2(state):
    """What detectron2's own code said to the same weights and images."""
    with np.load(DETECTRON2) as answers:
        found = dict(answers)
    total = sum(float(tensor.double().abs().sum()) for tensor in state.values())
    assert total == pytest.approx(float(found["weights"]), rel=1e-6), (
        "torch draws other random weights now: run scripts/ask_detectron2.py again"
    )
    return found


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 1])
def test_labels_are_detectron2s(detectron2, semantic, images, place):
    (found,) = semantic.predict([images[place]])
    expected = np.array([0, *SPACE.stuff_ids])[detectron2[f"labels{place}"]]
    assert len(np.unique(expected)) > 10
    assert (found.label_map == expected).mean() > 0.9999


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 1])
def test_instances_are_detectron2s(detectron2, instance, images, place):
    """Float noise may turn a tie of another machine: nearly all must have their twin."""
    (found,) = instance.predict([images[place]], score_threshold=0.05)
    boxes, scores = detectron2[f"boxes{place}"], detectron2[f"scores{place}"]
    masks = np.unpackbits(detectron2[f"masks{place}"], axis=-1).astype(bool)
    category_ids = np.array(SPACE.thing_ids)[detectron2[f"classes{place}"]]
    assert len(found) == len(boxes) > 30
    pasted = coco_mask.decode(list(found.masks.rles)).transpose(2, 0, 1).astype(bool)
    twins, wrong = 0, 0
    for box, score, category_id, mask in zip(boxes, scores, category_ids, masks, strict=True):
        far = np.abs(found.boxes - box).max(axis=1) + (found.category_ids != category_id) * 1e6
        twin = far.argmin()
        twins += far[twin] < 0.01 and abs(found.scores[twin] - score) < 1e-4
        wrong += (pasted[twin] != mask).sum()
    assert twins >= len(boxes) - 2
    assert wrong < 0.001 * masks.sum()


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 1])
def test_the_panoptic_map_is_detectron2s(detectron2, weights, images, place):
    found = load_preset(weights)(images[place].pixels)
    segment_ids, things, classes = detectron2[f"segments{place}"]
    ids = {
        int(number): (SPACE.thing_ids[row] if isthing else SPACE.stuff_ids[row - 1])
        for number, isthing, row in zip(segment_ids, things, classes, strict=True)
    }
    assert sum(things) > 5
    assert sum(things) < len(things)
    ours = {segment.segment_id: segment.category_id for segment in found.segments_info}
    assert sorted(ours.values()) == sorted(ids.values())
    name = np.vectorize({0: 0, **ours}.get), np.vectorize({0: 0, **ids}.get)
    panoptic = detectron2[f"panoptic{place}"]
    assert (name[0](found.panoptic_map) == name[1](panoptic)).mean() > 0.999
    pairs = np.unique(np.stack([found.panoptic_map, panoptic]).reshape(2, -1), axis=1)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1]))


@pytest.mark.parametrize("name", ["panoptic-fpn", "coco-stuffhead"])
def test_presets_name_published_weights(name):
    assert name in list_pipelines()
    config = read_pipeline(name)
    for kind, model in (("semantic", config.semantic), ("instance", config.instance)):
        needed = find_needed_weights(kind, model.model, model.options)
        if model.model == "panoptic-fpn":
            assert needed.source in {row.source for row in list_published("panoptic-fpn").values()}
        else:
            assert needed.source.startswith("https://download.pytorch.org/")


def test_missing_weights_name_file_and_source(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("fuse.models.weights.download.urlopen", raise_no_network)
    with pytest.raises(ModelNotFoundError, match=r"model_final_dbfeb4\.pkl.*hub/checkpoints"):
        create_semantic_model("panoptic-fpn", "cpu", {"weights": "panoptic_fpn_R_50_1x"})


def raise_no_network(*_, **__):
    raise OSError("no network")


@pytest.mark.slow
def test_weights_of_another_net_are_named(state, weights, tmp_path):
    torch.save({}, tmp_path / "in_a_folder.pth")
    with pytest.raises(ModelError, match="is a folder; name the weights file in it"):
        PanopticFpnSemantic("cpu", weights=str(tmp_path))
    with pytest.raises(ModelError, match=r"net\.pth.*res4.*starts with 'layer1\.weight'"):
        build_net({"layer1.weight": torch.ones(1)}, NetHeader(), tmp_path / "net.pth")
    fewer = read_checkpoint(tmp_path.parent / weights)
    fewer["semantic_head.predictor.weight"] = torch.ones(20, 128, 1, 1)
    with pytest.raises(ModelError, match=r"80 things, 53 stuff.*\(20, 128, 1, 1\), not \(54,"):
        build_net(fewer, NetHeader(), tmp_path / "net.pth")
