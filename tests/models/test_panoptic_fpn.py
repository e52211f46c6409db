"""Panoptic FPN as two models, against the same tensors run by plain functions."""

import gc
import pickle
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from reference import panoptic_fpn as slow
from torch.nn.modules.module import register_module_forward_hook
from torchvision.models.detection.backbone_utils import BackboneWithFPN

from fuse.config import list_pipelines, read_pipeline
from fuse.errors import ModelError, ModelNotFoundError
from fuse.labels import load_space
from fuse.models.panoptic_fpn.adapters import PanopticFpnInstances, PanopticFpnSemantic
from fuse.models.panoptic_fpn.checkpoint import PUBLISHED, read_checkpoint
from fuse.models.panoptic_fpn.images import prepare_images
from fuse.models.panoptic_fpn.shared_net import build_net
from fuse.models.registry import create_semantic_model, find_needed_weights
from fuse.pipeline import Pipeline
from fuse.types import Photo, SemanticLogits, SemanticPrediction

SPACE = load_space("coco_panoptic")
# The widths are the published ones, so the photos are small.
SIZES = {"min_size": 64, "max_size": 96}
OPTIONS = {"precision": "float32", **SIZES}
MEAN = np.array([103.53, 116.28, 123.675], dtype=np.float32)
SCORES, SHIFT = "roi_heads.box_predictor.cls_score", 3.0


def make_photo(height, width, seed):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return Photo(np.ascontiguousarray(blocks.repeat(8, 0).repeat(8, 1)[:height, :width]))


def make_images(photo):
    """The input for one photo and its size in it."""
    means = torch.from_numpy(MEAN)[:, None, None]
    resized = (64, 80) if photo.size == (128, 160) else (80, 64)
    return prepare_images([photo], resized, means, means / means), resized


def random_tensors(depth):
    """Random tensors in the published layout whose answers vary from place to place."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in slow.list_tensors(depth).items():
        fan_in = int(np.prod(shape[1:])) or 1
        tensor = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
        if name.endswith(("norm.weight", "running_var")):
            tensor = torch.rand(shape, generator=generator) / 2 + (0.2 if "conv3" in name else 0.7)
        elif len(shape) == 1:
            tensor = tensor / 20
        state[name] = tensor
    state["backbone.bottom_up.stem.conv1.norm.running_var"] *= 1e4  # photos go up to 255
    for level in (2, 3, 4, 5):
        state[f"backbone.fpn_output{level}.weight"] /= 100
    state["proposal_generator.rpn_head.anchor_deltas.weight"] /= 5
    state["roi_heads.mask_head.predictor.weight"] *= 5
    return state


def centre_answers(state, photo):
    """Shift and scale the scores of classes, so that one class does not win everywhere."""
    images, _ = make_images(photo)
    features = slow.extract_features(state, images)
    stuff = slow.predict_stuff(state, features)[0].flatten(1)
    state["sem_seg_head.predictor.bias"] -= stuff.mean(dim=1)
    boxes = torch.rand(60, 4) * 30 + torch.tensor([0.0, 0, 30, 30])
    levels = [level[0] for level in features]
    x = torch.stack([slow.pool_region(levels, box, 7) for box in boxes.numpy()]).flatten(1)
    for name in ("roi_heads.box_head.fc1", "roi_heads.box_head.fc2"):
        x = torch.relu(x @ state[f"{name}.weight"].T + state[f"{name}.bias"])
    logits = x @ state[f"{SCORES}.weight"].T
    scale = SHIFT / logits.std(dim=0)
    state[f"{SCORES}.weight"] *= scale[:, None]
    state[f"{SCORES}.bias"] = -logits.mean(dim=0) * scale


@pytest.fixture(scope="module")
def photos():
    return [make_photo(128, 160, 1), make_photo(160, 128, 2), make_photo(128, 160, 3)]


@pytest.fixture(scope="module")
def state(photos):
    tensors = random_tensors(50)
    with torch.inference_mode():
        centre_answers(tensors, photos[0])
    return tensors


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


@torch.inference_mode()
def test_labels_are_those_of_the_plain_functions(state, semantic, photos):
    images, resized = make_images(photos[1])
    logits = slow.predict_stuff(state, slow.extract_features(state, images))
    expected = slow.label_pixels(logits[0], resized, photos[1].size)
    (found,) = semantic.predict([photos[1]])
    assert isinstance(found, SemanticPrediction)
    assert len(np.unique(expected)) > 10
    category_ids = np.array([0, *SPACE.stuff_ids])  # class 0 is any thing
    assert (found.label_map == category_ids[expected]).mean() > 0.999


@pytest.fixture(scope="module")
def every_instance(instance, photos):
    (every,) = instance.predict(photos[:1], score_floor=0.0)
    return every


@torch.inference_mode()
def test_instances_are_those_of_the_plain_functions(state, every_instance, photos):
    """Float noise may turn a tie: nearly all must have their twin."""
    images, resized = make_images(photos[0])
    features = slow.extract_features(state, images)
    boxes, scores, classes, masks = slow.find_things(state, features, resized, photos[0].size)
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


def test_a_score_floor_cuts_and_changes_nothing_else(instance, every_instance, photos):
    every, count = every_instance, len(every_instance) // 5
    floor = float(every.scores[count - 1 : count + 1].mean())
    (above,) = instance.predict(photos[:1], score_floor=floor)
    np.testing.assert_allclose(above.scores, every.scores[:count], rtol=1e-5)
    np.testing.assert_allclose(above.boxes, every.boxes[:count], atol=1e-3)
    (none,) = instance.predict(photos[:1], score_floor=1.0)
    assert len(none) == 0
    assert none.size == photos[0].size


@torch.inference_mode()
def test_logits_leave_at_stride_4_without_the_padding(state, weights, photos):
    model = PanopticFpnSemantic("cpu", weights=weights, **OPTIONS)
    (found,) = model.predict(photos[:1])
    images, _ = make_images(photos[0])
    expected = slow.predict_stuff(state, slow.extract_features(state, images))[0]
    assert isinstance(found, SemanticLogits)
    assert found.logits.shape == (54, 16, 20 + 1)  # of 24; one cell beyond for the border
    assert found.scale == (0.125, 0.125)
    np.testing.assert_allclose(found.logits, expected[:, :, :21], rtol=2e-3, atol=2e-3)


def test_bfloat16_answers_nearly_the_same(weights, photos):
    float32, bfloat16 = (
        PanopticFpnSemantic("cpu", weights=weights, precision=precision, **SIZES)
        .predict(photos[:1])[0]
        .logits.astype(np.float32)
        for precision in ("float32", "bfloat16")
    )
    noise = (bfloat16 - float32).std() / float32.std()
    assert 1e-4 < noise < 0.05


def test_both_branches_run_one_backbone_once_per_photo(semantic, instance, every_instance, photos):
    floor = float(every_instance.scores[5])  # few masks, to save time
    with count_backbone_runs() as runs:
        labels = semantic.predict(photos)
        instances = instance.predict(photos, score_floor=floor)
    assert runs == [2, 1]  # two photos of one size, one of another
    with count_backbone_runs() as runs:
        alone = [instance.predict([photo], score_floor=floor)[0] for photo in photos]
        alone_labels = [semantic.predict([photo])[0] for photo in reversed(photos)]
    assert len(runs) == 5  # the last photo's features were at hand
    assert len(instances[0]) >= 5
    for together, one in zip(instances, alone, strict=True):
        assert together.category_ids.tolist() == one.category_ids.tolist()
        np.testing.assert_allclose(together.boxes, one.boxes, atol=1e-2)
    for together, one in zip(labels, reversed(alone_labels), strict=True):
        assert (together.label_map == one.label_map).mean() > 0.999


def test_a_branch_alone_or_of_another_size_keeps_nothing(weights, photos):
    gc.collect()
    small = PanopticFpnSemantic("cpu", weights=weights, precision="float32", min_size=32)
    with count_backbone_runs() as runs:
        small.predict(photos[:1])
        small.predict(photos[:1])
    assert len(runs) == 2


def test_the_preset_runs_one_net(weights, semantic, photos):
    overrides = [
        f"{section}.{option}"
        for section in ("semantic", "instance")
        for option in (f"weights='{weights}'", "precision='float32'", "min_size=64", "max_size=96")
    ]
    config = read_pipeline("panoptic-fpn", [*overrides, "fusion.stuff_area=100"])
    pipeline = Pipeline(config, "cpu")
    with count_backbone_runs() as runs:
        panoptic = pipeline(photos[0].image)
    assert len(runs) == 1
    assert pipeline.weights["semantic"] == pipeline.weights["instance"] == semantic.weights_hash
    isthing = {SPACE.by_id[segment.category_id].isthing for segment in panoptic.segments_info}
    assert isthing == {True, False}


@pytest.mark.parametrize("name", ["panoptic-fpn", "coco-stuffhead"])
def test_presets_name_published_weights(name):
    assert name in list_pipelines()
    config = read_pipeline(name)
    for kind, model in (("semantic", config.semantic), ("instance", config.instance)):
        needed = find_needed_weights(kind, model.model, model.options)
        if model.model == "panoptic-fpn":
            assert needed.source in {row.source for row in PUBLISHED}
        else:
            assert needed.source.startswith("https://download.pytorch.org/")


def test_missing_weights_name_file_and_source(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("fuse.io.download.urlopen", raise_no_network)
    with pytest.raises(ModelNotFoundError, match=r"model_final_dbfeb4\.pkl.*hub/checkpoints"):
        create_semantic_model("panoptic-fpn", "cpu", {"weights": "panoptic_fpn_R_50_1x"})


def raise_no_network(*_, **__):
    raise OSError("no network")


def test_weights_of_another_net_are_named(state, weights, tmp_path):
    torch.save({}, tmp_path / "in_a_folder.pth")
    with pytest.raises(ModelError, match="is a folder; name the weights file in it"):
        PanopticFpnSemantic("cpu", weights=str(tmp_path))
    with pytest.raises(ModelError, match=r"net\.pth.*res4.*starts with 'layer1\.weight'"):
        build_net({"layer1.weight": torch.ones(1)}, tmp_path / "net.pth")
    fewer = read_checkpoint(tmp_path.parent / weights)
    fewer["semantic_head.predictor.weight"] = torch.ones(20, 128, 1, 1)
    with pytest.raises(ModelError, match=r"80 things, 53 stuff.*\(20, 128, 1, 1\), not \(54,"):
        build_net(fewer, tmp_path / "net.pth")
