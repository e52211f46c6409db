"""Anchors, proposals, detections and pooling against plain loops."""

import math

import numpy as np
import pytest
import torch
from reference import panoptic_fpn as slow

from fuse.models.panoptic_fpn.boxes import (
    DELTA_WEIGHTS,
    assign_levels,
    decode_boxes,
    make_anchors,
    pool_regions,
    rescale_boxes,
    select_detections,
    select_proposals,
)

CPU = torch.device("cpu")


def random_boxes(rng, count, size, smallest=1):
    """Float32 (count, 4) inside (height, width)."""
    limits = np.array([size[1], size[0]])
    first, second = rng.random((2, count, 2)) * (limits - smallest)
    corners = np.minimum(first, second), np.maximum(first, second) + smallest
    return torch.from_numpy(np.concatenate(corners, axis=1).astype(np.float32))


@pytest.mark.parametrize(("level", "grid"), [(0, (3, 2)), (2, (1, 4)), (4, (2, 2))])
def test_anchors_are_those_of_the_loop(level, grid):
    anchors = make_anchors(grid, level, CPU)
    assert anchors.dtype == torch.float32
    np.testing.assert_allclose(anchors, slow.list_anchors(grid, level), rtol=1e-6)


def test_anchors_worked_out_by_hand():
    """Stride 8, 64 pixels: an area of 4096 each, the cell to the right 8 pixels on."""
    half = 32 * math.sqrt(2)
    first = [
        [-half, -half / 2, half, half / 2],
        [-32, -32, 32, 32],
        [-half / 2, -half, half / 2, half],
    ]
    second = np.add(first, [8, 0, 8, 0])
    np.testing.assert_allclose(make_anchors((1, 2), 1, CPU), [*first, *second], rtol=1e-6)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), DELTA_WEIGHTS])
def test_boxes_are_decoded_as_in_the_loop(weights):
    rng = np.random.default_rng(0)
    boxes = random_boxes(rng, 20, (300, 400))
    deltas = torch.from_numpy(rng.normal(0, 3, (20, 2, 4)).astype(np.float32)) * weights[0] / 2
    expected = [
        [slow.decode(delta, box, weights) for delta in row]
        for row, box in zip(deltas, boxes, strict=True)
    ]
    np.testing.assert_allclose(decode_boxes(deltas, boxes, weights), expected, rtol=1e-4, atol=1e-2)


def test_growth_is_limited():
    box = decode_boxes(torch.tensor([[[0.0, 0, 99, 99]]]), torch.tensor([[0.0, 0, 16, 16]]))
    np.testing.assert_allclose(box[0, 0], [-492, -492, 508, 508], rtol=1e-5)


def random_answers(rng):
    grids = [(12, 14), (6, 7), (3, 4)]
    logits = [torch.from_numpy(rng.permutation(h * w * 3).astype(np.float32)) for h, w in grids]
    deltas = [
        torch.from_numpy(rng.normal(0, 0.5, (len(level), 4)).astype(np.float32)) for level in logits
    ]
    anchors = [make_anchors(grid, level, CPU) for level, grid in enumerate(grids)]
    return logits, deltas, anchors


def as_arrays(levels):
    return [[level.numpy() for level in part] for part in levels]


def test_proposals_are_those_of_the_loop():
    answers = random_answers(np.random.default_rng(1))
    size = (41, 53)  # some anchors lie outside and end without an area
    expected = slow.select_proposals(*as_arrays(answers), size)
    found = select_proposals(*answers, size)
    assert 50 < len(found) < sum(len(level) for level in answers[0]) / 2
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_each_level_and_all_together_give_a_limited_number():
    answers = random_answers(np.random.default_rng(2))
    expected = slow.select_proposals(*as_arrays(answers), (48, 56), limit=40)
    found = select_proposals(*answers, (48, 56), 40)
    assert len(found) == 40
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_answers_that_are_no_numbers_are_dropped():
    logits, deltas, anchors = random_answers(np.random.default_rng(3))
    best = int(logits[0].argmax())
    plain = select_proposals(logits, deltas, anchors, (48, 56))
    deltas[1][:] = math.nan
    logits[2][:] = math.inf
    deltas[0][best] = math.nan
    found = select_proposals(logits, deltas, anchors, (48, 56))
    assert 0 < len(found) < len(plain)
    assert found.isfinite().all()


def random_scores(rng, count=300, classes=5):
    probs = torch.from_numpy(rng.dirichlet([0.3] * (classes + 1), count).astype(np.float32))
    boxes = random_boxes(rng, count * classes, (90, 120), smallest=30) - 5
    return probs, boxes.reshape(count, classes, 4)


def test_detections_are_those_of_the_loop():
    probs, boxes = random_scores(np.random.default_rng(4))
    expected = slow.select_detections(probs.numpy(), boxes.numpy(), (80, 110))
    found = select_detections(probs, boxes, (80, 110), score_threshold=0.0)
    assert len(found[0]) == 100  # of more
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("floor", [0.2, 0.5, 0.9, 1.0])
def test_a_score_floor_only_cuts_the_end_off(floor):
    probs, boxes = random_scores(np.random.default_rng(5))
    every = select_detections(probs, boxes, (80, 110), score_threshold=0.0)
    above = select_detections(probs, boxes, (80, 110), score_threshold=floor)
    count = int((every[1] >= floor).sum())
    for ours, theirs in zip(above, every, strict=True):
        assert torch.equal(ours, theirs[:count])


def test_the_floor_itself_is_kept():
    probs = torch.tensor([[0.75, 0.25]])
    found = select_detections(
        probs, torch.tensor([[[0.0, 0, 9, 9]]]), (40, 40), score_threshold=0.75
    )
    assert found[1].tolist() == [0.75]


def test_scores_at_the_threshold_are_left_out():
    probs = torch.tensor([[0.05, 0.95], [0.0501, 0.9499]])
    boxes = torch.tensor([[[0.0, 0, 9, 9]], [[20.0, 0, 29, 9]]])
    found, scores, _ = select_detections(probs, boxes, (40, 40), score_threshold=0.0)
    assert found.tolist() == [[20, 0, 29, 9]]
    assert scores.tolist() == pytest.approx([0.0501])


def test_levels_change_at_half_and_double_the_canonical_side():
    sides = torch.tensor([1, 55.9, 56.1, 111.9, 112.1, 223.9, 224.1, 447.9, 448.1, 5000])
    boxes = torch.stack((sides * 0, sides * 0, sides * 2, sides / 2), dim=1)
    assert assign_levels(boxes).tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]


def sample(grid, y, x):
    """One value of a grid (h, w), bilinear between the centres of its cells; 0 outside."""
    height, width = grid.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = min(int(y), height - 1), min(int(x), width - 1)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    upper = grid[top, left] * (1 - dx) + grid[top, right] * dx
    lower = grid[bottom, left] * (1 - dx) + grid[bottom, right] * dx
    return upper * (1 - dy) + lower * dy


def align(grid, box, stride, cells):
    """RoIAlign with the half-pixel shift: the mean of about one sample per cell of the grid."""
    x1, y1, x2, y2 = (float(side) / stride - 0.5 for side in box)
    height, width = (y2 - y1) / cells, (x2 - x1) / cells
    down, right = math.ceil(height), math.ceil(width)
    return [
        [
            np.mean(
                [
                    sample(
                        grid,
                        y1 + (row + (i + 0.5) / down) * height,
                        x1 + (column + (j + 0.5) / right) * width,
                    )
                    for i in range(down)
                    for j in range(right)
                ]
            )
            for column in range(cells)
        ]
        for row in range(cells)
    ]


def test_regions_are_pooled_from_their_level_half_a_pixel_off():
    rng = np.random.default_rng(6)
    features = [
        torch.from_numpy(rng.random((2, 160 >> level, 160 >> level)).astype(np.float32))
        for level in range(5)
    ]
    boxes = torch.tensor(
        [[10.3, 20.7, 40.1, 33.2], [0, 0, 150.5, 140], [5, 9, 300.25, 310], [0, 0, 640, 640]]
    )
    assert assign_levels(boxes).tolist() == [0, 1, 2, 3]
    pooled = pool_regions(features, boxes, cells=3)
    assert pooled.shape == (4, 2, 3, 3)
    for level, box in enumerate(boxes):
        for channel in range(2):
            expected = align(features[level][channel].numpy(), box, 4 << level, 3)
            np.testing.assert_allclose(pooled[level, channel], expected, atol=1e-5)


def test_no_boxes_pool_to_nothing():
    features = [torch.ones(2, 8 >> level, 8 >> level) for level in range(4)]
    assert pool_regions(features, torch.zeros(0, 4), cells=7).shape == (0, 2, 7, 7)


def test_boxes_are_carried_to_the_image_and_clipped_there():
    boxes = torch.tensor([[10.0, 20, 30, 40], [-4, 0, 99, 200]])
    found = rescale_boxes(boxes, (200, 100), (100, 25))
    assert found.tolist() == [[2.5, 10, 7.5, 20], [0, 0, 24.75, 100]]
