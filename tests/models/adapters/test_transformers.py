"""Nets of transformers against the library called by hand, on tiny random checkpoints."""

import json
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file, save_file
from transformers import (
    DPTImageProcessor,
    Mask2FormerImageProcessor,
    SegformerImageProcessor,
)
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerForUniversalSegmentationOutput,
)
from transformers_nets import (
    make_eomt,
    make_image,
    make_mask2former,
    make_maskformer,
    make_segformer,
    make_upernet,
    save,
)

from fuse.errors import ConfigError, FuseWarning, ModelError, ModelNotFoundError
from fuse.labels import load_space
from fuse.models.adapters.semantic_net import crop_padding
from fuse.models.adapters.transformers_instances import TransformersInstances
from fuse.models.adapters.transformers_semantic import TransformersSemantic, sum_queries
from fuse.models.weights.sources import describe_named
from fuse.ops.argmax import upsample_argmax

IDS = [1, 13, 2, 14, 3]  # things of coco_super are 1..12
SPACE = {"label_space": "coco_super", "class_ids": IDS}


@pytest.fixture(scope="module")
def segformer(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("segformer")
    net, _ = make_segformer()
    net.decode_head.classifier.weight.data *= 20  # so that classes differ
    net.save_pretrained(folder)
    SegformerImageProcessor(size={"height": 64, "width": 96}).save_pretrained(folder)
    return folder, net


@pytest.fixture(scope="module")
def mask2former(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("mask2former")
    net = make_mask2former()
    net.class_predictor.weight.data *= 20
    net.save_pretrained(folder)
    processor = Mask2FormerImageProcessor(
        size={"shortest_edge": 64, "longest_edge": 128}, size_divisor=32
    )
    processor.save_pretrained(folder)
    return folder, net, processor


def label(semantic, ids):
    return upsample_argmax(
        semantic.logits, semantic.size, ids, scale=semantic.scale, offset=semantic.offset
    )


def test_a_semantic_net_answers_as_transformers_does(segformer):
    folder, net = segformer
    model = TransformersSemantic("cpu", weights=str(folder), precision="float32", **SPACE)
    image = make_image()
    (semantic,) = model.predict([image])
    processor = SegformerImageProcessor.from_pretrained(folder)
    with torch.inference_mode():
        answer = net(**processor(images=image.pixels, return_tensors="pt"))
    np.testing.assert_allclose(semantic.logits, answer.logits[0], rtol=2e-3, atol=2e-2)
    (by_hand,) = processor.post_process_semantic_segmentation(answer, target_sizes=[image.size])
    by_hand = model.category_ids[by_hand.numpy()]
    assert len(np.unique(by_hand)) > 1
    assert (label(semantic, model.category_ids) == by_hand).mean() > 0.99


def test_the_names_of_a_checkpoint_are_believed(segformer, tmp_path):
    folder, _ = segformer
    space = load_space("coco_super")
    names = [space.by_id[i].name if i else "nothing" for i in SPACE["class_ids"]]
    shutil.copytree(folder, tmp_path / "net")
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    config["id2label"] = dict(enumerate(names[::-1]))
    config["label2id"] = {name: row for row, name in enumerate(names[::-1])}
    (tmp_path / "net" / "config.json").write_text(json.dumps(config))
    with pytest.warns(FuseWarning, match="in another order, so they are taken by name"):
        model = TransformersSemantic("cpu", weights=str(tmp_path / "net"), **SPACE)
    assert model.category_ids.tolist() == SPACE["class_ids"][::-1]


@pytest.mark.parametrize(
    ("make", "inside"),
    [(make_upernet, (64, 96)), (make_maskformer, (64, 96)), (make_eomt, (43, 64))],
    ids=["upernet", "maskformer", "eomt"],
)
def test_scores_are_those_of_the_library(tmp_path, make, inside):
    """By hand: the net's answer to what its processor makes, where the image lies in that."""
    torch.manual_seed(0)
    net, processor = make()
    weights = save(tmp_path, net.eval(), processor)
    model = TransformersSemantic("cpu", weights=weights, precision="float32", **SPACE)
    image = make_image(64, 96)
    (semantic,) = model.predict([image])
    pixels = processor(images=image.pixels, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        answer = net(pixels)
    if hasattr(answer, "logits"):
        by_hand, found = answer.logits[0], semantic.logits
    else:
        classes = answer.class_queries_logits.softmax(-1)[0, :, :-1]
        masks = answer.masks_queries_logits.sigmoid()[0]
        by_hand, found = torch.einsum("qc,qhw->chw", classes, masks), np.exp(semantic.logits)
    rows, columns = semantic.logits.shape[1:]
    np.testing.assert_allclose(found, by_hand[:, :rows, :columns], rtol=2e-2, atol=1e-3)
    assert by_hand.std() > 0.01
    # The image's edge lies where the image ends on the grid, not where the padding does.
    for axis in (0, 1):
        cells = inside[axis] * by_hand.shape[1 + axis] / pixels.shape[2 + axis]
        edge = semantic.scale[axis] * (image.size[axis] - 0.5) + semantic.offset[axis] + 0.5
        assert edge == pytest.approx(cells)


@pytest.mark.parametrize("size", [(1, 500), (500, 1)], ids=str)
def test_a_image_too_thin_for_the_preprocessing_is_named(mask2former, size):
    model = TransformersSemantic("cpu", weights=str(mask2former[0]), **SPACE)
    with pytest.raises(
        ModelError, match=r"its preprocessing takes no image (?:of )?\d+ wide, \d+ high"
    ):
        model.predict([make_image(*size)])


def test_preprocessing_that_cannot_be_undone_is_refused(segformer, tmp_path):
    weights = save(tmp_path / "sides", segformer[1], DPTImageProcessor(do_pad=True))
    with pytest.raises(ModelError, match="pads images on all sides"):
        TransformersSemantic("cpu", weights=weights, **SPACE)


def test_queries_are_summed(mask2former):
    folder, net, processor = mask2former
    model = TransformersSemantic("cpu", weights=str(folder), precision="float32", **SPACE)
    image = make_image(64, 96)
    (semantic,) = model.predict([image])
    with torch.inference_mode():
        answer = net(**processor(images=image.pixels, return_tensors="pt"))
        classes = answer.class_queries_logits.softmax(-1)[..., :-1]
        scores = torch.einsum("bqc,bqhw->bchw", classes, answer.masks_queries_logits.sigmoid())
    np.testing.assert_allclose(np.exp(semantic.logits), scores[0], rtol=2e-2, atol=1e-3)


def test_queries_become_the_label_map_that_transformers_makes():
    torch.manual_seed(0)
    coarse = 4 * torch.randn(1, 10, 6, 9)
    answer = Mask2FormerForUniversalSegmentationOutput(
        class_queries_logits=3 * torch.randn(1, 10, 6),
        masks_queries_logits=F.interpolate(coarse, (16, 24), mode="bilinear"),
    )
    logits = sum_queries(answer.class_queries_logits[0], answer.masks_queries_logits[0])
    semantic = crop_padding(
        logits.half().numpy(), (64, 96), (64, 96), (64, 96), align_corners=False
    )
    ids = np.arange(5, dtype=np.int32)
    (by_hand,) = Mask2FormerImageProcessor().post_process_semantic_segmentation(
        answer, target_sizes=[(64, 96)]
    )
    assert len(by_hand.unique()) > 2
    # transformers takes a detour over 384 x 384 and upsamples scores, not their logarithms.
    assert (label(semantic, ids) == by_hand.numpy()).mean() > 0.95


def test_the_softmax_of_summed_queries_is_each_class_share():
    class_logits = torch.tensor([[4.0, 0.0, 0.0], [0.0, 3.0, 1.0]])
    mask_logits = torch.tensor([[[2.0, -9.0]], [[-1.0, 9.0]]])
    shares = sum_queries(class_logits, mask_logits).softmax(0)
    for x in range(2):
        scores = [0.0, 0.0]
        for query in range(2):
            classes = class_logits[query].exp() / class_logits[query].exp().sum()
            inside = 1 / (1 + np.exp(-mask_logits[query, 0, x].item()))
            scores = [score + classes[c].item() * inside for c, score in enumerate(scores)]
        assert shares[:, 0, x].tolist() == pytest.approx(
            [s / sum(scores) for s in scores], abs=1e-4
        )


@pytest.mark.slow
def test_instances_are_the_things_among_the_queries(mask2former):
    folder, net, processor = mask2former
    model = TransformersInstances("cpu", weights=str(folder), precision="float32", **SPACE)
    image = make_image(64, 96)
    (instances,) = model.predict([image], score_threshold=0.05)
    with torch.inference_mode():
        answer = net(**processor(images=image.pixels, return_tensors="pt"))
    classes = answer.class_queries_logits[0].softmax(-1)[:, :-1].numpy()
    masks = answer.masks_queries_logits[0].numpy()
    expected = []
    for query, index in np.ndindex(classes.shape):
        inside = masks[query] > 0
        if IDS[index] <= 12 and inside.any():
            sure = (1 / (1 + np.exp(-masks[query][inside]))).mean()
            expected.append((classes[query, index] * sure, IDS[index]))
    expected = sorted((pair for pair in expected if pair[0] >= 0.05), reverse=True)
    found = sorted(zip(instances.scores, instances.category_ids, strict=True), reverse=True)
    assert len(expected) > 3
    np.testing.assert_allclose([s for s, _ in found], [s for s, _ in expected], rtol=1e-4)
    assert [i for _, i in found] == [i for _, i in expected]
    assert (instances.boxes[:, 2:] > instances.boxes[:, :2]).all()
    assert (instances.boxes[:, 2] <= 96).all()
    (none,) = model.predict([image], score_threshold=1.0)
    assert len(none) == 0


@pytest.mark.slow
def test_published_mask2former_files_lack_a_norm_that_nothing_reads(mask2former, tmp_path):
    folder, _, _ = mask2former
    state = load_file(folder / "model.safetensors")
    unread = [key for key in state if ".encoder.swin.layernorm." in key]
    assert len(unread) == 2
    shutil.copytree(folder, tmp_path / "published")
    kept = {key: state[key] for key in state if key not in unread}
    save_file(kept, tmp_path / "published" / "model.safetensors", metadata={"format": "pt"})
    image = make_image(64, 96)
    answers = [
        TransformersSemantic("cpu", weights=str(path), precision="float32", **SPACE)
        .predict([image])[0]
        .logits
        for path in (folder, tmp_path / "published")
    ]
    np.testing.assert_array_equal(*answers)


def test_each_image_of_a_batch_is_answered_alone(mask2former):
    folder, _, _ = mask2former
    model = TransformersSemantic("cpu", weights=str(folder), precision="float32", **SPACE)
    images = [make_image(64, 96, 1), make_image(40, 30, 2)]
    answers = model.predict(images)
    assert [answer.size for answer in answers] == [(64, 96), (40, 30)]
    assert answers[1].logits.tolist() == model.predict(images[1:])[0].logits.tolist()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"class_ids": None}, ConfigError, "has 5 classes, but label space 'coco_super' has 27"),
        ({"label_space": None}, ConfigError, "set label_space"),
        ({"precision": "int4"}, ConfigError, "precision 'int4'"),
        ({"weights": "owner/net"}, ModelNotFoundError, "owner/net is neither .* HF_HOME"),
    ],
)
def test_what_does_not_fit_is_named(segformer, monkeypatch, tmp_path, options, error, message):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(error, match=message):
        TransformersSemantic("cpu", **{"weights": str(segformer[0]), **SPACE, **options})


def test_weights_of_another_net_are_not_filled_up_with_random_ones(segformer, tmp_path):
    folder, _ = segformer
    for name in ("model.safetensors", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"depths": [1, 1, 2, 1]}))
    with pytest.raises(ModelError, match=r"weights of another net; 'segformer\..*' is missing"):
        TransformersSemantic("cpu", weights=str(tmp_path), **SPACE)


def test_folders_of_other_kinds_are_named(segformer, tmp_path):
    folder, _ = segformer
    assert describe_named("transformers", {"weights": str(folder)}).is_present
    with pytest.raises(ModelError, match="a semantic net, which finds no instances"):
        TransformersInstances("cpu", weights=str(folder), **SPACE)
    with pytest.raises(ModelError, match=r"config\.json: cannot be read \(No such file"):
        TransformersSemantic("cpu", weights=str(tmp_path), **SPACE)
    (tmp_path / "config.json").write_text('{"model_type": "oneformer"}')
    with pytest.raises(ModelError, match=r"holds no preprocessor_config\.json, which says"):
        TransformersSemantic("cpu", weights=str(tmp_path), **SPACE)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(
        ModelError, match="a bert net of transformers is neither a semantic net nor one of mask"
    ):
        TransformersSemantic("cpu", weights=str(tmp_path), **SPACE)


def copy_with(folder, target, change):
    """A copy of a checkpoint with its tensors changed."""
    shutil.copytree(folder, target)
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, target / "model.safetensors", metadata={"format": "pt"})
    return str(target)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.update({"other.weight": state.pop("decode_head.classifier.bias")}),
            r"'decode_head\.classifier\.bias' is missing, 'other\.weight' is unknown \(2 keys",
        ),
        (
            lambda state: state.update({"decode_head.classifier.bias": torch.zeros(7)}),
            r"'decode_head\.classifier\.bias' has shape \(7,\), not \(5,\) \(1 keys",
        ),
    ],
    ids=["keys", "shape"],
)
def test_weights_of_another_net_name_the_first_keys(segformer, tmp_path, change, message):
    weights = copy_with(segformer[0], tmp_path / "net", change)
    with pytest.raises(ModelError, match=f"net: weights of another net; {message}"):
        TransformersSemantic("cpu", weights=weights, **SPACE)


def test_a_pickle_with_code_is_refused_and_not_run(segformer, tmp_path):
    class RunsCode:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    folder = shutil.copytree(segformer[0], tmp_path / "net")
    (folder / "model.safetensors").unlink()
    torch.save(RunsCode(), folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin: refused.*safetensors"):
        TransformersSemantic("cpu", weights=str(folder), **SPACE)
    assert not (tmp_path / "ran").exists()
