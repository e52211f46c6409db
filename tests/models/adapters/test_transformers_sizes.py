"""What size images go into nets of transformers with, and where their cells lie in the image."""

import numpy as np
import pytest
import torch
from transformers import (
    Mask2FormerImageProcessor,
    MobileNetV2Config,
    MobileNetV2ForSemanticSegmentation,
    MobileNetV2ImageProcessor,
)
from transformers_nets import (
    make_eomt,
    make_image,
    make_mask2former,
    make_oneformer,
    make_upernet,
    save,
)

from fuse.errors import ConfigError, FuseWarning
from fuse.models.adapters.transformers_input import choose_size
from fuse.models.adapters.transformers_instances import TransformersInstances
from fuse.models.adapters.transformers_semantic import TransformersSemantic
from fuse.ops.argmax import upsample_argmax

SPACE = {"label_space": "coco_super", "class_ids": [1, 13, 2, 14, 3], "precision": "float32"}
PUBLISHED = {"size": {"height": 384, "width": 384}, "size_divisor": 32}  # Mask2Former's files


@pytest.fixture(scope="module")
def mask2former(tmp_path_factory):
    """A small Mask2Former with the preprocessing that the published ones have."""
    torch.manual_seed(0)
    net = make_mask2former()
    folder = tmp_path_factory.mktemp("mask2former")
    return save(folder, net, Mask2FormerImageProcessor(**PUBLISHED)), net


@pytest.mark.slow
def test_a_preset_may_give_the_size_that_the_paper_evaluated_with(mask2former):
    folder, net = mask2former
    image = make_image(120, 160)
    with pytest.warns(FuseWarning) as told:
        model = TransformersSemantic("cpu", weights=folder, min_size=96, max_size=160, **SPACE)
    (note,) = (str(warning.message) for warning in told)
    assert "the preset says, a short side of 96 pixels, a long one of 160 at most, not" in note
    assert note.endswith("its own preprocessing, 384 x 384 pixels")
    (semantic,) = model.predict([image])
    # 96 x 128 in strides of 4; not the square of its own preprocessing
    assert semantic.logits.shape == (5, 24, 32)
    by_hand = Mask2FormerImageProcessor(size={"shortest_edge": 96, "longest_edge": 160})
    inputs = by_hand(images=image.pixels, return_tensors="pt")
    assert inputs["pixel_values"].shape[2:] == (96, 128)
    with torch.inference_mode():
        answer = net(inputs["pixel_values"])
        classes = answer.class_queries_logits.softmax(-1)[0, :, :-1]
        scores = torch.einsum("qc,qhw->chw", classes, answer.masks_queries_logits.sigmoid()[0])
    np.testing.assert_allclose(np.exp(semantic.logits), scores, rtol=2e-2, atol=1e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::fuse.errors.FuseWarning")
def test_a_large_image_has_a_large_grid(mask2former):
    folder, _ = mask2former
    model = TransformersSemantic("cpu", weights=folder, min_size=800, max_size=1333, **SPACE)
    (semantic,) = model.predict([make_image(1200, 2400)])
    # The long side is the limit: 1333, stretched to a multiple of 32.
    assert semantic.logits.shape == (5, 672 // 4, 1344 // 4)
    assert semantic.scale == pytest.approx((168 / 1200, 336 / 2400))


@pytest.mark.slow
def test_without_a_size_the_files_own_counts_and_nothing_is_said(mask2former):
    folder, _ = mask2former
    model = TransformersSemantic("cpu", weights=folder, **SPACE)
    (semantic,) = model.predict([make_image(120, 160)])
    assert semantic.logits.shape == (5, 96, 96)
    same = TransformersSemantic("cpu", weights=folder, size=[384, 384], **SPACE)
    assert same.predict([make_image(120, 160)])[0].logits.tolist() == semantic.logits.tolist()


@pytest.mark.filterwarnings("ignore::fuse.errors.FuseWarning")
@pytest.mark.parametrize("make", [make_upernet, make_oneformer], ids=["upernet", "oneformer"])
def test_other_nets_take_sizes_too(tmp_path, make):
    torch.manual_seed(0)
    weights = save(tmp_path, *make())
    size = {"min_size": 64, "max_size": 96}
    model = TransformersSemantic("cpu", weights=weights, **size, **SPACE)
    (semantic,) = model.predict([make_image(100, 300)])
    stretched = TransformersSemantic("cpu", weights=weights, size=[32, 96], **SPACE)
    (same,) = stretched.predict([make_image(100, 300)])
    np.testing.assert_array_equal(semantic.logits, same.logits)


def test_eomt_takes_its_own_size_only(tmp_path):
    weights = save(tmp_path, *make_eomt())
    for kind in (TransformersSemantic, TransformersInstances):
        with pytest.raises(ConfigError, match="only, for which its places are made; leave min_siz"):
            kind("cpu", weights=weights, min_size=800, max_size=1333, **SPACE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((None, 1333, None), "max_size needs min_size"),
        ((0, None, None), "at least 1 pixel"),
        ((None, None, [0, 3]), "at least 1 pixel"),
        ((None, None, [3]), r"must be \[height, width\]"),
    ],
)
def test_sizes_that_cannot_be_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        choose_size(*options)


@pytest.mark.slow
def test_a_perfect_mobilenet_is_read_where_its_cells_lie(tmp_path):
    """A net that answers what it sees under each cell: its label map must lie on the image."""
    torch.manual_seed(0)
    config = MobileNetV2Config(
        num_labels=5, output_stride=8, tf_padding=True, depth_multiplier=0.25
    )
    processor = MobileNetV2ImageProcessor(size={"shortest_edge": 300}, do_center_crop=True)
    weights = save(tmp_path, MobileNetV2ForSemanticSegmentation(config), processor)
    image = make_image(300, 420)
    sides = find_cells(config, (300, 420))
    truth = image.pixels[:, :, 0] > 127  # patches of 16 pixels
    cells = truth[np.ix_(*sides)]
    model = TransformersSemantic("cpu", weights=weights, **SPACE)
    (semantic,) = model.predict([image])
    assert semantic.logits.shape[1:] == cells.shape  # the whole image, though the file says crop
    perfect = np.where(np.stack([cells, ~cells]), np.float16(9), np.float16(0))
    ids = np.array([1, 0], dtype=np.int32)
    labels = upsample_argmax(perfect, image.size, ids, scale=semantic.scale, offset=semantic.offset)
    edge_to_edge = (cells.shape[0] / 300, cells.shape[1] / 420)
    shifted = upsample_argmax(
        perfect,
        image.size,
        ids,
        scale=edge_to_edge,
        offset=(0.5 * edge_to_edge[0] - 0.5, 0.5 * edge_to_edge[1] - 0.5),
    )
    right = (labels == truth).mean()
    assert right > 0.85
    assert right > (shifted == truth).mean() + 0.02


def find_cells(config, size):
    """The image's rows and columns under the cells of a MobileNetV2, by what moves its answer.

    All weights are one and no layer clips, so a cell sums a patch around its centre, and the
    centre of gravity of what moves it is where it lies. Measured on a larger strip, whose side
    halves as evenly or oddly, so that the patch is whole.
    """
    with torch.no_grad():
        net = MobileNetV2ForSemanticSegmentation(config).double().eval().mobilenet_v2
        for module in net.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.fill_(1.0)
            elif isinstance(module, torch.nn.ReLU6):
                module.forward = lambda values: values
    sides = []
    for side in size:
        strip = torch.zeros(1, 3, side + 800, 32, dtype=torch.float64, requires_grad=True)
        grid = net(strip).last_hidden_state[0, 0]
        middle = len(grid) // 2
        (moves,) = torch.autograd.grad(grid[middle].sum(), strip)
        weights = moves[0].sum((0, 2))
        centre = float((weights * torch.arange(len(weights))).sum() / weights.sum())
        assert abs(centre - round(centre)) < 0.05
        places = np.arange(-(-side // 8)) * 8 + round(centre) - 8 * middle
        sides.append(places.clip(0, side - 1))
    return sides
