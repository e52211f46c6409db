"""The parts of the training of `tiny` that are easy to get wrong, against slow references."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

SCRIPTS = Path(__file__).parents[2] / "scripts"
SIDE = 64
FAR = 2.5  # pixels of a photo: a photo that shrinks much is halved first, by whole pixels


@pytest.fixture(autouse=True, scope="module")
def scripts_are_found():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        yield


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 20.0]))
def test_pixels_labels_and_boxes_move_alike(seed, largest_turn):
    from tiny_training.augment import draw_view

    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(50, 120, 2))
    view = draw_view(rng, height, width, SIDE, (50, 90), largest_turn)
    columns = np.broadcast_to(np.arange(width, dtype=np.uint8), (height, width))
    rows = np.broadcast_to(np.arange(height, dtype=np.uint8)[:, None], (height, width))
    photo = np.stack([columns, rows, columns], 2)

    # Where each pixel of the view comes from, by the inverse of its matrix.
    square = np.vstack([view.matrix, (0, 0, 1)])
    y, x = np.mgrid[:SIDE, :SIDE]
    source = np.linalg.inv(square) @ np.stack([x.ravel(), y.ravel(), np.ones(SIDE**2)])
    source_x, source_y = source[0].reshape(SIDE, SIDE), source[1].reshape(SIDE, SIDE)
    inside = (source_x > 2) & (source_x < width - 3) & (source_y > 2) & (source_y < height - 3)
    seen = view.warp_image(photo)
    assert np.abs(seen[..., 0] - source_x)[inside].max(initial=0) < FAR
    assert np.abs(seen[..., 1] - source_y)[inside].max(initial=0) < FAR
    moved = view.warp_mask(columns + 1)
    assert np.abs(moved - 1.0 - source_x)[inside].max(initial=0) < FAR
    (box,) = view.warp_boxes(np.array([[2.0, 2.0, width - 3.0, height - 3.0]]))
    if not largest_turn and inside.any():
        seen_box = [x[inside].min(), y[inside].min(), x[inside].max(), y[inside].max()]
        assert (np.array([-1, -1, 1, 1]) * (seen_box - box) <= 1).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([1, 4]))
def test_a_pasted_window_brings_its_labels(seed, count, stride):
    from tiny_training.augment import paste_windows

    rng = np.random.default_rng(seed)
    samples = torch.arange(count, dtype=torch.float32)
    images = samples.view(-1, 1, 1, 1).expand(count, 3, SIDE, SIDE)
    targets = samples.view(-1, 1, 1, 1).expand(count, 2, SIDE // stride, SIDE // stride)
    mixed, labels = paste_windows(rng, images, targets, share=0.7)
    assert (mixed[:, 0, ::stride, ::stride] == labels[:, 0]).all()
    assert (mixed[:, 0] == mixed[:, 2]).all()
    for row in range(count):
        pasted = (mixed[row, 0] != row).float().mean().item()
        assert pasted == 0 or 0.2 < pasted < 0.55
        assert set(mixed[row].unique().tolist()) <= {row, (row - 1) % count}
    unmixed, unchanged = paste_windows(rng, images, targets, share=0.0)
    assert torch.equal(unmixed, images)
    assert torch.equal(unchanged, targets)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [3, 5])
def test_the_fast_depthwise_convolution_has_the_gradient_of_the_slow_one(side, stride):
    from tiny_training.loop import speed_up_depthwise

    torch.manual_seed(0)
    slow = nn.Conv2d(8, 8, side, stride, side // 2, groups=8)
    fast = nn.Conv2d(8, 8, side, stride, side // 2, groups=8)
    fast.load_state_dict(slow.state_dict())
    speed_up_depthwise(fast)
    photos = torch.randn(2, 8, 17, 23)
    gradients = []
    for conv in (slow, fast):
        x = photos.clone().requires_grad_()
        y = conv(x)
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        gradients.append((y.detach(), x.grad, conv.weight.grad, conv.bias.grad))
    for expected, ours in zip(*gradients, strict=True):
        torch.testing.assert_close(
            ours, expected, rtol=0.02, atol=0.02 * float(expected.std()) + 0.02
        )


def test_a_set_of_classes_is_as_likely_as_its_members_together():
    from tiny_training.semantic import compare_sets
    from tiny_training.teachers import CLASS_SETS

    torch.manual_seed(0)
    logits = torch.randn(1, 16, 2, 3)
    probs = logits.softmax(1)
    for index, members in enumerate(CLASS_SETS):
        sets = torch.zeros(1, len(CLASS_SETS), 2, 3)
        sets[0, index] = 0.7
        expected = -probs[0, list(members)].sum(0).log().mean()
        torch.testing.assert_close(compare_sets(logits, sets), expected)
    single = torch.zeros(1, len(CLASS_SETS), 2, 3)
    single[:, :16] = torch.rand(1, 16, 2, 3)
    single /= single.sum(1, keepdim=True)
    expected = functional.cross_entropy(logits, single[:, :16])
    torch.testing.assert_close(compare_sets(logits, single), expected)


def test_what_the_teacher_cannot_name_is_held_against_no_class():
    from tiny_training.semantic import UNKNOWN_TO_TEACHER, compare_sets
    from tiny_training.teachers import CLASS_SETS

    torch.manual_seed(0)
    logits = torch.randn(1, 16, 2, 3, requires_grad=True)
    sets = torch.zeros(1, len(CLASS_SETS), 2, 3)
    sets[:, 5] = 0.7
    steps = {}
    for weight in (1.0, 0.1, 1e-9):
        (gradient,) = torch.autograd.grad(compare_sets(logits, sets, weight), logits)
        steps[weight] = gradient[:, list(UNKNOWN_TO_TEACHER)]
    assert (steps[1.0] > steps[0.1]).all()
    assert (steps[0.1] > 0).all()
    assert steps[1e-9].abs().max() < 1e-8


def test_what_the_teacher_means_depends_on_the_scene(tmp_path):
    from tiny_training.teachers import CLASS_SETS, INDOORS, OUTDOORS, Beliefs

    names = list(INDOORS)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/labels.json").write_text(json.dumps({"ade20k32": names}))
    beliefs = Beliefs(tmp_path)
    floor, ground = 5, 8  # class_index
    tables = {}
    for sky in (0.0, 0.15, 0.3, 0.6):
        means = np.zeros(len(names))
        means[[names.index("sky"), names.index("floor")]] = sky, 1 - sky
        tables[sky] = beliefs.tabulate(means)
        assert tables[sky].shape == (len(names), len(CLASS_SETS))
        assert (tables[sky].sum(1) <= 1 + 1e-6).all()
    row = names.index("floor")
    assert tables[0.0][row, floor] == pytest.approx(INDOORS["floor"][floor])
    assert tables[0.3][row, ground] == pytest.approx(OUTDOORS["floor"][ground])
    assert (tables[0.3] == tables[0.6]).all()
    np.testing.assert_allclose(tables[0.15], (tables[0.0] + tables[0.3]) / 2, rtol=1e-6)


def test_what_the_teacher_leaves_open_the_nets_decide():
    from tiny_training.semantic import UNKNOWN_TO_TEACHER
    from tiny_training.soft_labels import TEACHER_SHARE, UNKNOWN_RAISE, blend
    from tiny_training.teachers import CLASS_SETS

    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(16), 5).T
    sets = rng.dirichlet(np.ones(len(CLASS_SETS)), 5).T * [1.0, 1.0, 0.6, 0.3, 0.0]
    mixed = blend(probs, sets)
    for pixel in range(5):
        nets = [
            p * np.exp(UNKNOWN_RAISE * (index in UNKNOWN_TO_TEACHER))
            for index, p in enumerate(probs[:, pixel])
        ]
        nets = [p / sum(nets) for p in nets]
        expected = np.array(nets) * (1 - TEACHER_SHARE * sets[:, pixel].sum())
        for members, said in zip(CLASS_SETS, sets[:, pixel], strict=True):
            for index in members:
                share = nets[index] / sum(nets[member] for member in members)
                expected[index] += TEACHER_SHARE * said * share
        np.testing.assert_allclose(mixed[:, pixel], expected, rtol=1e-6)


@pytest.mark.slow
def test_exported_means_lie_between_new_and_old_weights(tmp_path):
    import train_tiny
    from click.testing import CliRunner
    from safetensors.torch import load_file

    torch.manual_seed(0)
    old, new = train_tiny.BUILDERS["semantic"](), train_tiny.BUILDERS["semantic"]()
    name = "tiny_semantic.safetensors"
    (tmp_path / "old").mkdir()
    train_tiny.write_weights(tmp_path / "old" / name, old.state_dict(), "semantic")
    # Training has a head that does not ship.
    checkpoint = {**new.state_dict(), "imitation.weight": torch.zeros(3)}
    torch.save({"averaged": checkpoint}, tmp_path / "semantic.pt")

    def export(*options):
        arguments = ["--work", tmp_path, "--to", tmp_path, "--only", "semantic", *options]
        result = CliRunner().invoke(train_tiny.export, [str(part) for part in arguments])
        assert result.exit_code == 0, result.output
        return load_file(tmp_path / name)

    alone = export()
    mean = export("--mean-with", tmp_path / "old", "--share", 0.75)
    assert alone.keys() == mean.keys() == old.state_dict().keys()
    for key, value in new.state_dict().items():
        before = old.state_dict()[key].half().float()
        assert torch.equal(alone[key], value.half())
        torch.testing.assert_close(
            mean[key].float(), (3 * value + before) / 4, atol=1e-3, rtol=1e-3
        )
