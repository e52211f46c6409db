"""Nets of transformers on other runtimes answer as torch does, or are refused by name."""

import numpy as np
import pytest
import torch
from transformers import (
    Mask2FormerImageProcessor,
    SegformerImageProcessor,
)
from transformers_nets import (
    make_eomt,
    make_image,
    make_mask2former,
    make_rf_detr,
    make_segformer,
    make_upernet,
    save,
)

from fuse.errors import FuseWarning, ModelError
from fuse.models.adapters import transformers_net
from fuse.models.adapters.transformers_instances import TransformersInstances
from fuse.models.adapters.transformers_semantic import TransformersSemantic
from fuse.models.dense import DensePlan

PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime"}
EXACT = {"precision": "float32", "label_space": "coco_super", "class_ids": [1, 13, 2, 14, 3]}
IMAGES = [make_image(), make_image(70, 50), make_image(40, 90)]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def cache_home(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def find_file(tmp_path, make):
    torch.manual_seed(0)
    return save(tmp_path / "net", *make())


@pytest.mark.parametrize("runtime", sorted(PACKAGES))
@pytest.mark.parametrize(
    "make", [make_segformer, make_upernet, make_eomt], ids=lambda f: f.__name__
)
def test_a_semantic_net_answers_as_with_torch(make, runtime, tmp_path):
    pytest.importorskip(PACKAGES[runtime])
    weights = find_file(tmp_path, make)
    model = TransformersSemantic("cpu", weights=weights, runtime=runtime, **EXACT)
    by_torch = TransformersSemantic("cpu", weights=weights, runtime="torch", **EXACT)
    assert model.dense.describe()["runtime"] == runtime
    for found, wanted in zip(model.predict(IMAGES), by_torch.predict(IMAGES), strict=True):
        assert (found.size, found.scale, found.offset) == (wanted.size, wanted.scale, wanted.offset)
        largest = np.abs(wanted.logits).max()
        np.testing.assert_allclose(found.logits, wanted.logits, atol=2e-3 * largest)


def test_masks_and_the_branch_beside_come_from_the_same_converted_net(tmp_path):
    pytest.importorskip("onnxruntime")
    weights = find_file(tmp_path, make_eomt)
    semantic = TransformersSemantic("cpu", weights=weights, runtime="onnx", **EXACT)
    instances = TransformersInstances("cpu", weights=weights, runtime="onnx", **EXACT)
    assert semantic._net._converted is instances._net._converted
    image = IMAGES[0]
    semantic.predict([image])
    (found,) = instances.predict([image], score_threshold=0)
    alone = TransformersInstances("cpu", weights=weights, runtime="torch", **EXACT)
    (wanted,) = alone.predict([image], score_threshold=0)
    assert len(wanted) > 0
    np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-3)


def test_a_net_that_has_the_size_of_its_input_in_it_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    processor = Mask2FormerImageProcessor(
        size={"shortest_edge": 64, "longest_edge": 128}, size_divisor=32
    )
    weights = find_file(tmp_path, lambda: (make_mask2former(), processor))
    with pytest.raises(ModelError, match=r"onnx .* cannot take .*; take runtime torch"):
        TransformersSemantic("cpu", weights=weights, runtime="onnx", **EXACT)


def test_an_operator_that_a_runtime_lacks_is_named(tmp_path):
    pytest.importorskip("onnxruntime")
    weights = find_file(tmp_path, make_rf_detr)
    with pytest.raises(ModelError, match=r"it has no .*bicubic.*; take runtime torch"):
        TransformersInstances("cpu", weights=weights, label_space="coco_things", runtime="onnx")


def test_by_itself_torch_stands_in(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    weights = find_file(tmp_path, make_rf_detr)
    plan = DensePlan("cpu", "onnx", "float32", is_asked=False)
    monkeypatch.setattr(transformers_net, "plan_dense", lambda *_settings: plan)
    with pytest.warns(FuseWarning, match="torch runs the net"):
        model = TransformersInstances("cpu", weights=weights, label_space="coco_things")
    assert model.dense.runtime == "torch"
    assert len(model.predict(IMAGES[:1], score_threshold=0)) == 1


def test_segformer_stretched_to_one_size(tmp_path):
    """Whose preprocessing gives all images one size, in which the net is converted and held."""
    pytest.importorskip("onnxruntime")
    stretching = SegformerImageProcessor(size={"height": 64, "width": 96})
    weights = find_file(tmp_path, lambda: (make_segformer()[0], stretching))
    model = TransformersSemantic("cpu", weights=weights, runtime="onnx", **EXACT)
    assert [answer.size for answer in model.predict(IMAGES)] == [image.size for image in IMAGES]
