"""Mask R-CNN of torchvision as an instance model.

Its networks return full-frame masks; here transform, backbone, RPN and heads are called one by
one, so that a detection leaves as a box and its 28x28 mask and no N x H x W array is ever made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import detection, list_models
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.transform import resize_boxes

from fuse.errors import ConfigError
from fuse.labels import load_space
from fuse.models import runtime
from fuse.models.classes import resolve_classes
from fuse.models.weights.hashes import hash_files, load_state
from fuse.models.weights.published import (
    check_architecture,
    describe_named_weights,
    read_named_weights,
)
from fuse.models.weights.sources import NeededWeights
from fuse.models.weights.tiny import build_instance_net
from fuse.types import BoxMasks, Instances, NamedImage

TINY = "tiny_instance"
# torchvision's COCO weights answer with COCO's own category ids, 1..90 with holes.
COCO_SLOTS = 91
COCO_SPACE = "coco_things"
# These weights learned with batch norms that added nothing to the variance; torchvision sets
# that when it loads them by name.
V1_FILE = "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"


class TorchvisionMaskRCNN:
    """A Mask R-CNN built by torchvision, or by this package in torchvision's classes.

    Args:
        device: ``cpu``, ``cuda:0``, ...
        weights: shipped weights by name (``tiny_instance``), a name that torchvision knows for
            the architecture (``COCO_V1``, ``DEFAULT``; downloaded to TORCH_HOME), or a file.
        architecture: a builder in ``torchvision.models.detection`` or ``tiny_instance``; not
            needed where the weights file names it.
        label_space: categories of the net; not needed for COCO's and shipped weights.
        class_ids: category_id of each class of the net, background (0) first.
        min_size, max_size: the image's short side becomes min_size pixels unless its long side
            would exceed max_size; None keeps the net's own.
        norm_eps: what batch norms add to the variance; by default 1e-5, and 0 for the file of
            COCO_V1 of maskrcnn_resnet50_fpn. Nets fine-tuned from that need 0, too.
        precision: see `runtime.autocast`.

    Attributes:
        net: the module of torch.

    Raises:
        ModelError: the weights are not there or do not fit.
        ConfigError: an option is missing or wrong.
    """

    thread_safe = True

    def __init__(
        self,
        device: str,
        *,
        weights: str,
        architecture: str | None = None,
        label_space: str | None = None,
        class_ids: Sequence[int] | None = None,
        min_size: int | None = None,
        max_size: int | None = None,
        norm_eps: float | None = None,
        precision: str = "auto",
    ) -> None:
        net, about, path = _build(weights, architecture)
        if norm_eps is not None:
            _set_norm_eps(net, norm_eps)
        self.weights_hash = hash_files([path])
        self.label_space, self.category_ids = resolve_classes(
            f"{path} (background included)",
            net.roi_heads.box_predictor.cls_score.out_features,
            label_space or about.get("label_space"),
            class_ids if class_ids is not None else about.get("category_ids"),
        )
        if min_size is not None:
            net.transform.min_size = (min_size,)
        net.transform.max_size = max_size or net.transform.max_size
        self.net = _speed_up(runtime.place(net, device), device, precision)
        self._device = device

    def predict(self, images: Sequence[NamedImage], *, score_threshold: float) -> list[Instances]:
        """Instances of each image in the net's order, best score first.

        Detections below score_threshold get no mask and are not returned.
        """
        # torchvision keeps what is above its threshold, the floor itself belongs to us.
        above = np.nextafter(np.float32(score_threshold), np.float32(-1))
        self.net.roi_heads.score_thresh = float(above)
        return runtime.predict_by_size(images, self._predict_same_size)

    def _predict_same_size(self, images: list[NamedImage]) -> list[Instances]:
        net, size = self.net, images[0].size
        if min(size) * net.transform.max_size < max(size):
            # The short side would have no pixel left in the input.
            return [_no_instances(size) for _ in images]
        with torch.inference_mode():
            batch, _ = net.transform(
                [runtime.to_tensor(image.pixels, self._device) for image in images]
            )
            features = net.backbone(batch.tensors.contiguous(memory_format=torch.channels_last))
            proposals, _ = net.rpn(batch, features)
            detections, _ = net.roi_heads(features, proposals, batch.image_sizes)
        return [
            self._to_instances(found, image.size, resized)
            for found, image, resized in zip(detections, images, batch.image_sizes, strict=True)
        ]

    def _to_instances(
        self, found: dict[str, Tensor], size: tuple[int, int], resized: tuple[int, int]
    ) -> Instances:
        """One image's detections in pixels of the image; classes without a category are dropped."""
        category_ids = self.category_ids[found["labels"].cpu().numpy()]
        known = category_ids > 0
        boxes = resize_boxes(found["boxes"], list(resized), list(size)).cpu().numpy()
        return Instances(
            boxes=boxes.astype(np.float32)[known],
            scores=found["scores"].cpu().numpy().astype(np.float64)[known],
            category_ids=category_ids[known],
            masks=BoxMasks(found["masks"][:, 0].float().cpu().numpy()[known]),
            size=size,
        )


def _no_instances(size: tuple[int, int]) -> Instances:
    return Instances(
        boxes=np.zeros((0, 4), dtype=np.float32),
        scores=np.zeros(0),
        category_ids=np.zeros(0, dtype=np.int32),
        masks=BoxMasks(np.zeros((0, 28, 28), dtype=np.float32)),
        size=size,
    )


def describe_weights(options: Mapping[str, Any]) -> NeededWeights:
    """Where the weights of these options are looked for."""
    return describe_named_weights(detection, options)


def make_random_state(options: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """A state dict in the layout of torchvision's published weights."""
    if options.get("architecture") not in _list_architectures():
        return None
    class_ids = options.get("class_ids")
    net = getattr(detection, options["architecture"])(
        weights=None, weights_backbone=None, num_classes=len(class_ids) if class_ids else None
    )
    state: dict[str, Tensor] = net.state_dict()
    return state


def _speed_up(net: MaskRCNN, device: str, precision: str) -> MaskRCNN:
    """Run the net's dense layers in the fast number format.

    Anchors, box decoding, NMS and RoIAlign stay in float32: box corners need more than the
    eight bits of bfloat16.
    """
    net.backbone = runtime.FastModule(net.backbone, device, precision)
    net.rpn.head.conv = runtime.FastModule(net.rpn.head.conv, device, precision)
    for name in ("box_head", "mask_head", "mask_predictor"):
        module = getattr(net.roi_heads, name)
        setattr(net.roi_heads, name, runtime.FastModule(module, device, precision))
    return net


def _list_architectures() -> list[str]:
    return [name for name in list_models(detection) if name.startswith("maskrcnn_")]


def _list_known() -> list[str]:
    return [*_list_architectures(), TINY]


def _build(weights: str, architecture: str | None) -> tuple[MaskRCNN, dict[str, Any], Path]:
    """The net with its weights, what is known of its classes, and the weights' file."""
    check_architecture(architecture, _list_known(), weights)
    state, about, path = read_named_weights(detection, architecture, weights)
    net = _create(architecture or about.get("architecture"), state, path)
    load_state(net, state, source=str(path))
    if not about and net.roi_heads.box_predictor.cls_score.out_features == COCO_SLOTS:
        about = _describe_coco()
    if path.name == V1_FILE:
        _set_norm_eps(net, 0.0)
    return net, about, path


def _set_norm_eps(net: MaskRCNN, eps: float) -> None:
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = eps


def _create(architecture: str | None, state: dict[str, Tensor], path: Path) -> MaskRCNN:
    """A net without weights, with as many classes as the state dict has."""
    if architecture == TINY:
        return build_instance_net()
    if architecture is None:
        raise ConfigError(f"{path}: set architecture to one of {', '.join(_list_known())}")
    check_architecture(architecture, _list_known(), path)
    biases = state.get("roi_heads.box_predictor.cls_score.bias", torch.empty(COCO_SLOTS))
    net: MaskRCNN = getattr(detection, architecture)(
        weights=None, weights_backbone=None, num_classes=len(biases)
    )
    return net


def _describe_coco() -> dict[str, Any]:
    """COCO's 91 slots with its holes as 0."""
    known = load_space(COCO_SPACE).by_id
    ids = [index if index in known else 0 for index in range(COCO_SLOTS)]
    return {"label_space": COCO_SPACE, "category_ids": ids}
