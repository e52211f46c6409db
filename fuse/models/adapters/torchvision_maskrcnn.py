"""Mask R-CNN of torchvision as an instance model.

Its networks return full-frame masks; here transform, backbone, RPN and heads are called one by
one, so that a detection leaves as a box and its 28x28 mask and no N x H x W array is ever made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor, nn
from torchvision.models import detection, list_models
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes

from fuse.errors import ConfigError, ModelError, suggest
from fuse.labels import load_space, resolve_classes
from fuse.models.dense import DensePart, plan_dense, speed_up
from fuse.models.proposals import RegionProposer
from fuse.models.roi_align import RegionPooler
from fuse.models.runtime import normalize_, place, predict_by_size, to_tensor
from fuse.models.weights.fetching import find_weights
from fuse.models.weights.loading import (
    NetHeader,
    count_classes,
    hash_files,
    load_state,
    read_weights,
)
from fuse.models.weights.tiny import build_instance_net
from fuse.types import BoxMasks, Instances, NamedImage

ARCHITECTURES: list[str] = [name for name in list_models(detection) if name.startswith("maskrcnn_")]
TINY = "tiny_instance"
KNOWN = [*ARCHITECTURES, TINY]
# torchvision's COCO weights answer with COCO's own category ids, 1..90 with holes.
COCO_SLOTS = 91
BACKGROUND = "background"  # the first class of each, which lists of names may leave out
ROOTS = ("backbone", "rpn", "roi_heads")
COCO_SPACE = "coco_things"
# These weights learned with batch norms that added nothing to the variance; torchvision sets
# that when it loads them by name.
V1_FILE = "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"


class TorchvisionMaskRCNN:
    """A Mask R-CNN built by torchvision, or by this package in torchvision's classes.

    Options:
        weights: shipped weights by name (``tiny_instance``), a name that torchvision knows for
            the architecture (``COCO_V1``, ``DEFAULT``), or a file.
        architecture: a builder in ``torchvision.models.detection`` or ``tiny_instance``; not
            needed where the weights file names it.
        label_space: not needed for COCO's and shipped weights.
        class_ids: category_id of each class of the net, background (0) first.
        min_size, max_size: by default the net's own.
        norm_eps: what batch norms add to the variance; by default 1e-5, and 0 for the file of
            COCO_V1 of maskrcnn_resnet50_fpn. Nets fine-tuned from that need 0, too.

    Others, and errors: see `fuse.models.adapters`.

    Attributes:
        net: the module of torch.
        dense: what runs its dense parts.
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
        runtime: str = "auto",
    ) -> None:
        net, about, path = _build(weights, architecture)
        if path.name == V1_FILE and norm_eps is None:
            norm_eps = 0.0
        if norm_eps is not None:
            _set_norm_eps(net, norm_eps)
        self.weights_hash = hash_files([path])
        classes, names = net.roi_heads.box_predictor.cls_score.out_features, about.class_names
        if names is not None and len(names) == classes - 1:
            names = (BACKGROUND, *names)
        self.label_space, self.category_ids = resolve_classes(
            f"{path} (background included)",
            classes,
            label_space or about.label_space,
            class_ids if class_ids is not None else about.category_ids,
            names,
        )
        if min_size is not None:
            net.transform.min_size = (min_size,)
        net.transform.max_size = max_size or net.transform.max_size
        net.transform.normalize = partial(_normalize, net.transform)
        plan = plan_dense("mask-rcnn", device, precision, runtime)
        self.net = place(net, device)
        self.dense = speed_up(_list_parts(self.net), plan)
        self.net.rpn = RegionProposer(self.net.rpn)
        for name in ("box_roi_pool", "mask_roi_pool"):
            setattr(self.net.roi_heads, name, RegionPooler(getattr(self.net.roi_heads, name)))
        self._device = device

    def predict(self, images: Sequence[NamedImage], *, score_threshold: float) -> list[Instances]:
        """Instances of each image in the net's order, best score first.

        Detections below score_threshold get no mask and are not returned.
        """
        # torchvision keeps what is above its threshold, the floor itself belongs to us.
        above = np.nextafter(np.float32(score_threshold), np.float32(-1))
        self.net.roi_heads.score_thresh = float(above)
        return predict_by_size(images, self._predict_same_size)

    def _predict_same_size(self, images: list[NamedImage]) -> list[Instances]:
        net, size = self.net, images[0].size
        if min(size) * net.transform.max_size < max(size):
            # The short side would have no pixel left in the input.
            return [Instances.empty(size) for _ in images]
        with torch.inference_mode():
            batch, _ = net.transform([to_tensor(image.pixels, self._device) for image in images])
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


def _normalize(transform: GeneralizedRCNNTransform, image: Tensor) -> Tensor:
    """As torchvision does, but in place: it has three float32 copies of an image at a time."""
    return normalize_(image, transform.image_mean, transform.image_std)


def make_random_state(options: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """A state dict in the layout of torchvision's published weights; None of other nets."""
    architecture, class_ids = str(options.get("architecture")), options.get("class_ids")
    if architecture not in ARCHITECTURES:
        return None
    state: dict[str, Tensor] = _create(architecture, len(class_ids or ()) or None).state_dict()
    return state


def _list_parts(net: MaskRCNN) -> list[DensePart]:
    """What runs in a fast number format, or on another runtime.

    Anchors, box decoding, NMS and RoIAlign stay in float32: box corners need more than the
    eight bits of bfloat16.
    """
    heads = ("box_head", "mask_head", "mask_predictor")
    return [
        DensePart(net, "backbone", ((1, 3, 320, 448), (1, 3, 448, 320))),
        DensePart(net.rpn.head, "conv"),
        *(DensePart(net.roi_heads, name) for name in heads),
    ]


def _build(weights: str, architecture: str | None) -> tuple[MaskRCNN, NetHeader, Path]:
    """The net with its weights, what is known of its classes, and the weights' file."""
    if architecture is not None:
        _check_architecture(architecture, weights)
    path = find_weights("torchvision", {"architecture": architecture, "weights": weights})
    state, about = read_weights(path, ROOTS)
    architecture = architecture or about.architecture
    if architecture is None:
        raise ConfigError(f"{path}: set architecture to one of {', '.join(KNOWN)}")
    _check_architecture(architecture, path)
    classes = count_classes(state, "roi_heads.box_predictor.cls_score.")
    net = build_instance_net() if architecture == TINY else _create(architecture, classes)
    try:
        load_state(net, state, source=str(path))
    except ModelError as err:
        if fitting := _find_architecture(state, classes):
            raise ModelError(f"{err}; they are those of architecture = {fitting!r}") from err
        raise
    if (about.label_space, about.category_ids) == (None, None) and classes == COCO_SLOTS:
        known_ids = load_space(COCO_SPACE).by_id
        ids = [index if index in known_ids else 0 for index in range(COCO_SLOTS)]
        about = replace(about, label_space=COCO_SPACE, category_ids=ids)
    return net, about, path


def _check_architecture(architecture: str, weights: str | Path) -> None:
    if architecture not in KNOWN:
        raise ConfigError(
            f"{weights}: architecture {architecture!r} is not known; {suggest(architecture, KNOWN)}"
        )


def _find_architecture(state: Mapping[str, Tensor], classes: int | None) -> str | None:
    """The architecture of torchvision that has just these keys, None where none has."""
    for architecture in ARCHITECTURES:
        with torch.device("meta"):
            keys = _create(architecture, classes).state_dict().keys()
        if all(key.endswith("num_batches_tracked") for key in keys ^ state.keys()):
            return architecture
    return None


def _create(architecture: str, classes: int | None) -> MaskRCNN:
    """A net of random weights; classes None is as many as the published weights have."""
    net: MaskRCNN = getattr(detection, architecture)(
        weights=None, weights_backbone=None, num_classes=classes
    )
    return net


def _set_norm_eps(net: MaskRCNN, eps: float) -> None:
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = eps
