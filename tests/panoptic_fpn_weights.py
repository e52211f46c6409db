"""A Panoptic FPN with random weights that yet sees things, and images for it."""

import numpy as np
import torch
from reference import panoptic_fpn as slow

from fuse.models.panoptic_fpn.images import prepare_images
from fuse.types import NamedImage

# The widths are the published ones, so the images are small.
SIZES = {"min_size": 64, "max_size": 96}
MEAN = np.array([103.53, 116.28, 123.675], dtype=np.float32)
SCORES, SHIFT = "roi_heads.box_predictor.cls_score", 3.0


def make_image(height, width, seed):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return NamedImage(np.ascontiguousarray(blocks.repeat(8, 0).repeat(8, 1)[:height, :width]))


def make_input(image):
    """The input for one image and its size in it."""
    means = torch.from_numpy(MEAN)[:, None, None]
    resized = (64, 80) if image.size == (128, 160) else (80, 64)
    return prepare_images([image], resized, means, means / means), resized


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
    state["backbone.bottom_up.stem.conv1.norm.running_var"] *= 1e4  # images go up to 255
    for level in (2, 3, 4, 5):
        state[f"backbone.fpn_output{level}.weight"] /= 100
    state["proposal_generator.rpn_head.anchor_deltas.weight"] /= 5
    state["roi_heads.mask_head.predictor.weight"] *= 5
    return state


def centre_answers(state, image):
    """Shift and scale the scores of classes, so that one class does not win everywhere."""
    images, _ = make_input(image)
    features = slow.extract_features(state, images)
    stuff = slow.predict_stuff(state, features)[0].flatten(1)
    state["sem_seg_head.predictor.bias"] -= stuff.mean(dim=1)
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(60, 4, generator=generator) * 30 + torch.tensor([0.0, 0, 30, 30])
    levels = [level[0] for level in features]
    x = torch.stack([slow.pool_region(levels, box, 7) for box in boxes.numpy()]).flatten(1)
    for name in ("roi_heads.box_head.fc1", "roi_heads.box_head.fc2"):
        x = torch.relu(x @ state[f"{name}.weight"].T + state[f"{name}.bias"])
    logits = x @ state[f"{SCORES}.weight"].T
    scale = SHIFT / logits.std(dim=0)
    state[f"{SCORES}.weight"] *= scale[:, None]
    state[f"{SCORES}.bias"] = -logits.mean(dim=0) * scale


def make_images():
    """Two shapes, one of them twice."""
    return [make_image(128, 160, 1), make_image(160, 128, 2), make_image(128, 160, 3)]


def make_state(images):
    """Tensors by detectron2's names, the same on every machine but for float noise."""
    tensors = random_tensors(50)
    with torch.inference_mode():
        centre_answers(tensors, images[0])
    return tensors
