"""Nets with masks upsampled as their own code does (exact), and what the shorter way costs."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from transformers import Mask2FormerImageProcessor
from transformers_nets import (
    make_eomt,
    make_image,
    make_mask2former,
    make_split_eomt,
    make_upernet,
    save,
)

from fuse.errors import ConfigError
from fuse.fusion import METHODS
from fuse.labels import load_space
from fuse.models.adapters.transformers_input import InputView
from fuse.models.adapters.transformers_instances import TransformersInstances
from fuse.models.adapters.transformers_queries import label_pixels, sum_queries
from fuse.models.adapters.transformers_semantic import TransformersSemantic
from fuse.ops.argmax import upsample_argmax
from fuse.types import SemanticPrediction

IDS = [1, 13, 2, 14, 3]
SPACE = {"label_space": "coco_super", "class_ids": IDS, "precision": "float32"}


@pytest.mark.parametrize(
    "size", [(140, 300), (300, 140), (128, 128), (80, 600), (97, 211), (211, 97)], ids=str
)
def test_pieces_are_joined_to_the_pixel_as_transformers_joins_them(tmp_path, size):
    torch.manual_seed(3)
    net, processor = make_split_eomt()
    weights = save(tmp_path, net.eval(), processor)
    model = TransformersSemantic("cpu", weights=weights, exact=True, **SPACE)
    image = make_image(*size)
    (semantic,) = model.predict([image])
    inputs = processor(images=image.pixels, return_tensors="pt")
    with torch.inference_mode():
        answer = net(inputs["pixel_values"])
    answer.patch_offsets = inputs["patch_offsets"]
    (by_hand,) = processor.post_process_semantic_segmentation(
        answer, target_sizes=[size], size={"shortest_edge": 128, "longest_edge": None}
    )
    assert len(by_hand.unique()) > 1
    np.testing.assert_array_equal(semantic.label_map, model.category_ids[by_hand.numpy()])


@pytest.mark.parametrize("size", [(300, 400), (333, 222)], ids=str)
def test_padding_is_cut_off_before_scores_are_upsampled(tmp_path, size):
    """transformers' own method squeezes the padding into the image; its `unpad_image` does not."""
    torch.manual_seed(3)
    net, processor = make_eomt(side=256)
    weights = save(tmp_path, net.eval(), processor)
    model = TransformersSemantic("cpu", weights=weights, exact=True, **SPACE)
    image = make_image(*size)
    (semantic,) = model.predict([image])
    with torch.inference_mode():
        answer = net(processor(images=image.pixels, return_tensors="pt")["pixel_values"])
    masks = F.interpolate(answer.masks_queries_logits, (256, 256), mode="bilinear").sigmoid()
    classes = answer.class_queries_logits.softmax(-1)[..., :-1]
    scores = torch.einsum("bqc,bqhw->bchw", classes, masks)
    (by_hand,) = processor.unpad_image(scores, [size], dict(processor.size))
    by_hand = by_hand.argmax(0).numpy()
    assert len(np.unique(by_hand)) > 1
    agreement = semantic.label_map == model.category_ids[by_hand]
    assert agreement.mean() > 0.9999  # sums in another order


def test_mask2former_as_published_is_as_transformers_has_it(tmp_path):
    """Its own method takes every input for 384x384, which those of the published files are."""
    torch.manual_seed(0)
    net = make_mask2former()
    net.class_predictor.weight.data.normal_(std=3)  # so that classes differ
    processor = Mask2FormerImageProcessor(size={"height": 384, "width": 384}, size_divisor=32)
    weights = save(tmp_path, net, processor)
    model = TransformersSemantic("cpu", weights=weights, exact=True, **SPACE)
    image = make_image(120, 160)
    (semantic,) = model.predict([image])
    with torch.inference_mode():
        answer = net(processor(images=image.pixels, return_tensors="pt")["pixel_values"])
    (by_hand,) = processor.post_process_semantic_segmentation(answer, target_sizes=[image.size])
    assert len(by_hand.unique()) > 1
    agreement = semantic.label_map == model.category_ids[by_hand.numpy()]
    assert agreement.mean() > 0.9999  # sums in another order


def draw_sure_masks(side, cells):
    """Mask logits (3, cells, cells) of a net that is sure: a disc, a half of the rest, the other.

    Returns:
        These, and the true class_index (side, side).
    """

    def draw(count):
        places = (torch.arange(count) + 0.5) / count
        y, x = places[:, None], places[None]
        inside = 0.3 - ((y - 0.45) ** 2 + (x - 0.55) ** 2).sqrt()
        left = 0.4 - x - 0.3 * y
        return torch.stack([inside, torch.minimum(left, -inside), torch.minimum(-left, -inside)])

    steepness = float(side)  # a logit of 4 at four pixels, a cell, from the border
    return (steepness * draw(cells)).clamp(-5, 5), draw(side).argmax(0).numpy()


@pytest.mark.parametrize("seed", range(3))
def test_sure_masks_lose_next_to_nothing_by_the_shorter_way(seed):
    """Logarithms on the net's grid, upsampled once, are as near to the truth as the long way."""
    masks, truth = draw_sure_masks(side=256, cells=64)
    generator = torch.Generator().manual_seed(seed)
    classes = 6 * torch.eye(3, 4) + 0.3 * torch.randn((3, 4), generator=generator)
    masks = masks + 0.2 * torch.randn(masks.shape, generator=generator)
    view = InputView(resized=(256, 256), padded=(256, 256))
    exact = label_pixels(classes[None], masks[None], [view], (256, 256)).numpy()
    scores = sum_queries(classes, masks).numpy()
    short = upsample_argmax(scores, (256, 256), np.arange(3, dtype=np.int32))
    assert (exact == truth).mean() > 0.993
    assert (exact == short).mean() > 0.998
    assert abs((exact == truth).mean() - (short == truth).mean()) < 0.001


@pytest.mark.parametrize("size", [(300, 400), (333, 222), (256, 256)], ids=str)
def test_panoptic_maps_are_those_of_transformers_all_but_a_few_pixels(tmp_path, size):
    torch.manual_seed(3)
    net, processor = make_eomt(side=256)
    weights = save(tmp_path, net.eval(), processor)
    options = {"weights": weights, "segments": "all", **SPACE}
    image = make_image(*size)
    with torch.inference_mode():
        answer = net(processor(images=image.pixels, return_tensors="pt")["pixel_values"])
    for exact, wanted in ((True, 0.9995), (False, 0.995)):
        model = TransformersInstances("cpu", exact=exact, **options)
        found = 0
        for threshold, overlap in ((0.3, 0.3), (0.5, 0.1)):
            (instances,) = model.predict([image], score_threshold=threshold)
            fused = METHODS["mask-classification"].fuse(
                SemanticPrediction(np.zeros(size, dtype=np.int32)),
                instances,
                load_space("coco_super"),
                score_threshold=threshold,
                overlap_threshold=1 - overlap,
                stuff_area=0,
            )
            (theirs,) = processor.post_process_panoptic_segmentation(
                answer,
                target_sizes=[size],
                threshold=threshold,
                overlap_mask_area_threshold=overlap,
                stuff_classes=[1, 3],
            )
            ours = {info.segment_id: info.category_id for info in fused.segments_info}
            their = {info["id"]: IDS[info["label_id"]] for info in theirs["segments_info"]}
            assert sorted(ours.values()) == sorted(their.values())
            found += len(ours)
            our_map = np.vectorize(lambda i, ours=ours: ours.get(i, 0))(fused.panoptic_map)
            segmentation = theirs["segmentation"].numpy()
            their_map = np.vectorize(lambda i, their=their: their.get(i, 0))(segmentation)
            assert (our_map == their_map).mean() > wanted
        assert found > 2


@pytest.mark.parametrize("exact", [False, True])
def test_an_image_in_which_no_mask_is_sure_has_no_segments(tmp_path, exact):
    net, processor = make_eomt()
    net.class_predictor.weight.data /= 200  # sure of nothing
    weights = save(tmp_path, net, processor)
    model = TransformersInstances("cpu", weights=weights, segments="all", exact=exact, **SPACE)
    (instances,) = model.predict([make_image(64, 96)], score_threshold=0.8)
    assert len(instances) == 0
    assert instances.size == (64, 96)


def test_exact_is_refused_where_it_says_nothing(tmp_path):
    weights = save(tmp_path / "upernet", *make_upernet())
    with pytest.raises(ConfigError, match="exact is for nets that answer with masks"):
        TransformersSemantic("cpu", weights=weights, exact=True, **SPACE)
    weights = save(tmp_path / "eomt", *make_eomt())
    with pytest.raises(ConfigError, match='exact is for segments = "all"; leave it out'):
        TransformersInstances("cpu", weights=weights, exact=True, **SPACE)
