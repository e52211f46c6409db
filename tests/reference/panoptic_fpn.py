"""Panoptic FPN the slow way: plain functions over the tensors by detectron2's names.

The names and shapes in `list_tensors` are those of detectron2 0.6 built from its configs.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torchvision import ops

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}  # bottlenecks of res2 to res5
NORM = ("weight", "bias", "running_mean", "running_var")


def list_tensors(depth):
    """Shape by name of all tensors of a published checkpoint but pixel_mean and pixel_std."""
    shapes = {}

    def add(name, *shape, norm=(), bias=False):
        shapes[f"{name}.weight"] = shape
        shapes.update({f"{name}.norm.{part}": shape[:1] for part in norm})
        if bias:
            shapes[f"{name}.bias"] = shape[:1]

    add("backbone.bottom_up.stem.conv1", 64, 3, 7, 7, norm=NORM)
    for stage, blocks in enumerate(BLOCKS[depth]):
        wide, narrow = 256 << stage, 64 << stage
        for block in range(blocks):
            name = f"backbone.bottom_up.res{stage + 2}.{block}"
            inputs = wide if block else max(wide // 2, 64) if stage else 64
            if block == 0:
                add(f"{name}.shortcut", wide, inputs, 1, 1, norm=NORM)
            add(f"{name}.conv1", narrow, inputs, 1, 1, norm=NORM)
            add(f"{name}.conv2", narrow, narrow, 3, 3, norm=NORM)
            add(f"{name}.conv3", wide, narrow, 1, 1, norm=NORM)
        add(f"backbone.fpn_lateral{stage + 2}", 256, wide, 1, 1, bias=True)
        add(f"backbone.fpn_output{stage + 2}", 256, 256, 3, 3, bias=True)
        for place in range(max(stage, 1)):
            inputs = 128 if place else 256
            name = f"sem_seg_head.p{stage + 2}.{2 * place}"
            add(name, 128, inputs, 3, 3, norm=("weight", "bias"))
    add("sem_seg_head.predictor", 54, 128, 1, 1, bias=True)
    add("proposal_generator.rpn_head.conv", 256, 256, 3, 3, bias=True)
    add("proposal_generator.rpn_head.objectness_logits", 3, 256, 1, 1, bias=True)
    add("proposal_generator.rpn_head.anchor_deltas", 12, 256, 1, 1, bias=True)
    add("roi_heads.box_head.fc1", 1024, 256 * 7 * 7, bias=True)
    add("roi_heads.box_head.fc2", 1024, 1024, bias=True)
    add("roi_heads.box_predictor.cls_score", 81, 1024, bias=True)
    add("roi_heads.box_predictor.bbox_pred", 320, 1024, bias=True)
    for number in (1, 2, 3, 4):
        add(f"roi_heads.mask_head.mask_fcn{number}", 256, 256, 3, 3, bias=True)
    add("roi_heads.mask_head.deconv", 256, 256, 2, 2, bias=True)
    add("roi_heads.mask_head.predictor", 80, 256, 1, 1, bias=True)
    return shapes


def convolve(state, name, x, stride=1):
    weight = state[f"{name}.weight"]
    x = F.conv2d(x, weight, state.get(f"{name}.bias"), stride, weight.shape[-1] // 2)
    if f"{name}.norm.running_var" in state:
        weight, bias, mean, variance = (
            state[f"{name}.norm.{part}"][:, None, None] for part in NORM
        )
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias
    if f"{name}.norm.weight" in state:
        return F.group_norm(x, 32, state[f"{name}.norm.weight"], state[f"{name}.norm.bias"])
    return x


def extract_features(state, images):
    """Levels p2 to p6 of images (N, 3, H, W)."""
    x = convolve(state, "backbone.bottom_up.stem.conv1", images, 2).relu()
    x = F.max_pool2d(x, 3, 2, padding=1)
    bottom_up = []
    for stage in (2, 3, 4, 5):
        block = 0
        while f"backbone.bottom_up.res{stage}.{block}.conv1.weight" in state:
            name = f"backbone.bottom_up.res{stage}.{block}"
            stride = 2 if stage > 2 and block == 0 else 1
            y = convolve(state, f"{name}.conv1", x, stride).relu()
            y = convolve(state, f"{name}.conv2", y).relu()
            y = convolve(state, f"{name}.conv3", y)
            x = (y + (x if block else convolve(state, f"{name}.shortcut", x, stride))).relu()
            block += 1
        bottom_up.append(x)
    levels, above = [], None
    for stage in (5, 4, 3, 2):
        lateral = convolve(state, f"backbone.fpn_lateral{stage}", bottom_up[stage - 2])
        if above is not None:
            lateral = lateral + above.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        above = lateral
        levels.insert(0, convolve(state, f"backbone.fpn_output{stage}", lateral))
    return [*levels, levels[-1][:, :, ::2, ::2]]


def predict_stuff(state, features):
    """Logits (N, 54, h, w) at stride 4."""
    total = 0
    for stage in (2, 3, 4, 5):
        x = features[stage - 2]
        for place in range(max(stage - 2, 1)):
            x = convolve(state, f"sem_seg_head.p{stage}.{2 * place}", x).relu()
            if stage > 2:
                x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        total = total + x
    return convolve(state, "sem_seg_head.predictor", total)


def label_pixels(logits, resized, size):
    """Class index (H, W) of logits (C, h, w), by two full-size interpolations."""
    height, width = resized
    at_input = F.interpolate(logits[None], scale_factor=4, mode="bilinear", align_corners=False)
    at_input = at_input[..., :height, :width]
    at_image = F.interpolate(at_input, size=size, mode="bilinear", align_corners=False)
    return at_image[0].argmax(dim=0).numpy()


def list_anchors(grid, level):
    """(A, 4), one by one."""
    stride, side = 4 << level, 32 << level
    anchors = []
    for row in range(grid[0]):
        for column in range(grid[1]):
            for ratio in (0.5, 1.0, 2.0):
                width, height = side / math.sqrt(ratio), side * math.sqrt(ratio)
                x, y = column * stride, row * stride
                anchors.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    return np.array(anchors)


def decode(delta, box, weights=(1, 1, 1, 1)):
    """One box moved and scaled by one delta, in float64."""
    dx, dy, dw, dh = (float(value) / weight for value, weight in zip(delta, weights, strict=True))
    x1, y1, x2, y2 = map(float, box)
    width, height = x2 - x1, y2 - y1
    x, y = x1 + width / 2 + dx * width, y1 + height / 2 + dy * height
    width *= math.exp(min(dw, math.log(1000 / 16)))
    height *= math.exp(min(dh, math.log(1000 / 16)))
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def clip(boxes, size):
    height, width = size
    return np.clip(boxes, 0, [width, height, width, height])


def suppress(boxes, scores, groups, overlap):
    """Places of the boxes that stay, best first; boxes of different groups never suppress."""
    kept = []
    for place in np.argsort(-scores, kind="stable"):
        if all(
            groups[other] != groups[place] or iou(boxes[other], boxes[place]) <= overlap
            for other in kept
        ):
            kept.append(place)
    return kept


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return both / (sum(areas) - both)


def select_proposals(logits, deltas, anchors, size, limit=1000):
    """Boxes (P, 4), best first; the arguments are lists of one NumPy array per level."""
    boxes, scores, levels = [], [], []
    for level in range(len(logits)):
        for place in np.argsort(-logits[level], kind="stable")[:limit]:
            box = clip(np.array(decode(deltas[level][place], anchors[level][place])), size)
            if box[0] < box[2] and box[1] < box[3]:
                boxes.append(box)
                scores.append(logits[level][place])
                levels.append(level)
    kept = suppress(boxes, np.array(scores), levels, 0.7)[:limit]
    return np.array([boxes[place] for place in kept])


def select_detections(probs, boxes, size):
    """Boxes, scores and class indices, best first, of probs (P, K + 1) and boxes (P, K, 4)."""
    found = [
        (clip(boxes[p, k], size), probs[p, k], k)
        for p in range(len(probs))
        for k in range(probs.shape[1] - 1)
        if probs[p, k] > 0.05
    ]
    boxes, scores, classes = zip(*found, strict=True)
    kept = suppress(boxes, np.array(scores), classes, 0.5)[:100]
    return [np.array([column[place] for place in kept]) for column in (boxes, scores, classes)]


def pool_region(features, box, cells):
    """Features (C, cells, cells) inside one box, as torchvision's RoIAlign has them."""
    side = math.sqrt((box[2] - box[0]) * (box[3] - box[1]))
    level = min(max(math.floor(4 + math.log2(side / 224 + 1e-8)), 2), 5) - 2
    align = ops.RoIAlign(cells, spatial_scale=0.25 / 2**level, sampling_ratio=-1, aligned=True)
    return align(features[level][None], [torch.as_tensor(box, dtype=torch.float32)[None]])[0]


def find_things(state, features, resized, size):
    """Boxes in the image, scores, class indices and masks bool (D, H, W) of one image."""
    head = "proposal_generator.rpn_head"
    logits, deltas, anchors = [], [], []
    for level, grid in enumerate(features):
        x = convolve(state, f"{head}.conv", grid).relu()
        scores = convolve(state, f"{head}.objectness_logits", x)[0]
        moves = convolve(state, f"{head}.anchor_deltas", x)[0].unflatten(0, (3, 4))
        logits.append(scores.permute(1, 2, 0).flatten().numpy())
        deltas.append(moves.permute(2, 3, 0, 1).reshape(-1, 4).numpy())
        anchors.append(list_anchors(grid.shape[2:], level))
    proposals = select_proposals(logits, deltas, anchors, resized)
    levels = [grid[0] for grid in features]
    x = torch.stack([pool_region(levels, box, 7) for box in proposals]).flatten(1)
    head = "roi_heads.box_head"
    for name in ("fc1", "fc2"):
        x = F.linear(x, state[f"{head}.{name}.weight"], state[f"{head}.{name}.bias"]).relu()
    head = "roi_heads.box_predictor"
    scores, moves = (
        F.linear(x, state[f"{head}.{name}.weight"], state[f"{head}.{name}.bias"])
        for name in ("cls_score", "bbox_pred")
    )
    boxes = np.array(
        [
            [decode(delta, box, (10, 10, 5, 5)) for delta in row.reshape(-1, 4)]
            for row, box in zip(moves.numpy(), proposals, strict=True)
        ]
    )
    boxes, scores, classes = select_detections(scores.softmax(dim=1).numpy(), boxes, resized)
    probs = segment(state, levels, boxes, classes)
    boxes = clip(boxes * np.tile([size[1] / resized[1], size[0] / resized[0]], 2), size)
    return boxes, scores, classes, [paste(*one, size) for one in zip(probs, boxes, strict=True)]


def segment(state, levels, boxes, classes):
    """Soft masks (D, 28, 28)."""
    x = torch.stack([pool_region(levels, box, 14) for box in boxes])
    for number in (1, 2, 3, 4):
        x = convolve(state, f"roi_heads.mask_head.mask_fcn{number}", x).relu()
    name = "roi_heads.mask_head.deconv"
    x = F.conv_transpose2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride=2).relu()
    x = convolve(state, "roi_heads.mask_head.predictor", x).sigmoid()
    return x[np.arange(len(x)), classes].numpy()


def paste(probs, box, size):
    """One mask over the image, bool (H, W), sampled at every pixel of the image."""
    y, x = (torch.arange(length) + 0.5 for length in size)
    x1, y1, x2, y2 = map(float, box)
    grid = torch.stack(
        torch.meshgrid((x - x1) / (x2 - x1) * 2 - 1, (y - y1) / (y2 - y1) * 2 - 1, indexing="xy"),
        dim=-1,
    )
    soft = torch.as_tensor(probs, dtype=torch.float32)[None, None]
    return (F.grid_sample(soft, grid[None], align_corners=False)[0, 0] >= 0.5).numpy()
