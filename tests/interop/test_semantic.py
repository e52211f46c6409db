"""Label maps of other libraries' answers, held to torch's own upsampling."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from factories import TOY_SPACE

from fuse import SemanticPrediction
from fuse.errors import LabelSpaceError
from fuse.types import SemanticLogits

NAMES = ["sky", "cat", "grass", "road"]
IDS = np.array([5, 3, 21, 200])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("batched", [False, True])
def test_logits_are_upsampled_as_by_torch(dtype, batched):
    torch.manual_seed(0)
    logits = (4 * torch.randn(4, 6, 8)).half().to(dtype).requires_grad_()
    found = SemanticPrediction.from_logits(
        logits[None] if batched else logits, (50, 70), TOY_SPACE, NAMES
    )
    exact = logits.detach().float()[None]
    whole = F.interpolate(exact, (50, 70), mode="bilinear", align_corners=False)
    top = whole[0].topk(2, dim=0).values
    clear = ((top[0] - top[1]) > 1e-4).numpy()  # ties may fall either way
    assert clear.mean() > 0.99
    assert np.array_equal(found.label_map[clear], IDS[whole[0].argmax(0).numpy()][clear])
    assert found.logits.category_ids.tolist() == IDS.tolist()


def test_classes_of_one_name_are_added_and_none_is_void():
    probabilities = np.array([0.3, 0.3, 0.4])[:, None, None]
    logits = np.log(probabilities).astype(np.float32) + 5
    size = (2, 3)
    joined = SemanticPrediction.from_logits(logits, size, TOY_SPACE, ["sky", "sky", "cat"])
    assert (joined.label_map == 5).all()
    apart = SemanticPrediction.from_logits(logits, size, TOY_SPACE, ["sky", "grass", None])
    assert (apart.label_map == 0).all()


def test_label_maps_of_ids_and_of_class_numbers():
    ids = np.array([[3, 0], [200, 5]])
    assert SemanticPrediction.from_label_map(ids, TOY_SPACE).label_map.tolist() == ids.tolist()
    numbers = torch.tensor([[1, 0], [3, 255]], dtype=torch.uint8)
    names = {0: "sky", 1: "cat", 3: "road", 255: None}
    for read in (SemanticPrediction.from_label_map, SemanticPrediction.from_transformers):
        found = read(numbers, TOY_SPACE, names)
        assert found.label_map.tolist() == [[3, 5], [200, 0]]
        assert found.label_map.dtype == np.int32


@pytest.mark.parametrize("net_size", [(4, 6), (8, 8), (6, 6)])
def test_results_of_ultralytics(net_size):
    """At the image's size, and letterboxed: 4 x 6 scaled into the middle of a square."""
    truth = np.array([[0] * 3 + [1] * 3] * 2 + [[2] * 6] * 2)
    rows = net_size[1] * 4 // 6
    classes = np.full(net_size, 3)
    top = (net_size[0] - rows) // 2
    classes[top : top + rows] = truth[np.arange(rows) * 4 // rows][
        :, np.arange(net_size[1]) * 6 // net_size[1]
    ]
    result = SimpleNamespace(
        semantic_mask=SimpleNamespace(data=torch.from_numpy(classes)),
        names=dict(enumerate(NAMES)),
        orig_shape=(4, 6),
    )
    found = SemanticPrediction.from_ultralytics(result, TOY_SPACE)
    assert np.array_equal(found.label_map, IDS[truth])


@pytest.mark.parametrize(
    ("logits", "names", "error", "message"),
    [
        (np.zeros((2, 4, 4)), NAMES, ValueError, "2 classes of logits need as many names, got 4"),
        (np.zeros((4, 4)), NAMES, ValueError, r"floats \(C, h, w\), got float64 of shape \(4, 4\)"),
        (np.zeros((4, 2, 2), int), NAMES, ValueError, "logits must be floats"),
        (np.full((4, 2, 2), 0.25), NAMES, ValueError, "these are probabilities"),
        (np.full((4, 2, 2), 1e6), NAMES, ValueError, "logits must be finite and fit float16"),
        (np.zeros((1, 2, 2)), ["skye"], LabelSpaceError, "nearest are 'sky'"),
        (np.zeros((4, 2, 2)), "toy", TypeError, "names must be a list, or a dict .* got 'toy'"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_logits_that_are_wrong_are_told(logits, names, error, message):
    with pytest.raises(error, match=message):
        SemanticPrediction.from_logits(logits, (8, 8), TOY_SPACE, names)


@pytest.mark.parametrize(
    ("label_map", "names", "error", "message"),
    [
        ([[1]], None, LabelSpaceError, "has 1, which is no category_id of toy; of class numbers"),
        ([[4]], NAMES, LabelSpaceError, "names has no class 4, but 4 others"),
        ([1], NAMES, ValueError, r"a label map must be \(H, W\), got shape \(1,\)"),
        ([[0.5]], NAMES, ValueError, "must hold whole ids, got float64 with fractions"),
    ],
)
def test_label_maps_that_are_wrong_are_told(label_map, names, error, message):
    with pytest.raises(error, match=message):
        SemanticPrediction.from_label_map(np.array(label_map), TOY_SPACE, names)


def test_what_is_made_is_what_the_rules_take():
    logits = np.random.default_rng(0).normal(size=(4, 3, 3))
    found = SemanticPrediction.from_logits(logits, (9, 9), TOY_SPACE, NAMES)
    assert isinstance(found.logits.logits, SemanticLogits)
