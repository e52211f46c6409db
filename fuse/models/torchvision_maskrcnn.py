"""Mask R-CNN of torchvision as an instance model.

Its networks return full-frame masks; here transform, backbone, RPN and heads are called one by
one, so that a detection leaves as a box and its 28x28 mask and no N x H x W array is ever made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.models import detection, get_model_weights
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.transform import resize_boxes

from fuse.errors import ConfigError, ModelNotFoundError
from fuse.labels import load_space
from fuse.models import runtime
from fuse.models.tiny import build_instance_net
from fuse.models.weights import find_weights, hash_file, hash_parameters, load_state, read_weights
from fuse.types import BoxMasks, Instances, Int32Array, LabelSpace, Photo

# torchvision's COCO weights answer with COCO's own category ids, 1..90 with holes.
COCO_CLASS_IDS = tuple(range(91))
COCO_SPACE = "coco_panoptic"


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
        min_size, max_size: the photo's short side becomes min_size pixels unless its long side
            would exceed max_size; None keeps the net's own.
        precision: see `runtime.autocast`.

    Raises:
        ModelError: the weights do not fit.
        ConfigError: an option is missing or unknown.
    """

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
        precision: str = "auto",
    ) -> None:
        if architecture is not None and weights in _list_published_weights(architecture):
            net, about = _build_published(architecture, weights), _describe_coco()
            self.weights_hash = hash_parameters(net)
        else:
            path = find_weights(weights)
            net, about = _build_from_file(path, architecture)
            self.weights_hash = hash_file(path)
        space_name = label_space or about.get("label_space")
        ids = class_ids if class_ids is not None else about.get("category_ids")
        if space_name is None or ids is None:
            raise ConfigError(
                f"weights {weights!r} do not say what their classes are; "
                "set label_space and class_ids"
            )
        self.label_space: LabelSpace = load_space(space_name)
        self.class_ids: Int32Array = np.array(ids, dtype=np.int32)
        _check_class_count(net, self.class_ids, weights)
        if min_size is not None:
            net.transform.min_size = (min_size,)
        net.transform.max_size = max_size or net.transform.max_size
        self._net = _speed_up(runtime.place(net, device), device, precision)
        self._device = device

    def predict(self, photos: Sequence[Photo], *, score_floor: float) -> list[Instances]:
        """Instances of each photo in the net's order, best score first.

        Detections below score_floor get no mask and are not returned.
        """
        # torchvision keeps what is above its threshold, the floor itself belongs to us.
        above = np.nextafter(np.float32(score_floor), np.float32(-1))
        self._net.roi_heads.score_thresh = float(above)
        return runtime.predict_by_size(photos, self._predict_same_size)

    def _predict_same_size(self, photos: list[Photo]) -> list[Instances]:
        net = self._net
        with torch.inference_mode():
            batch, _ = net.transform(
                [runtime.to_tensor(photo.image, self._device) for photo in photos]
            )
            features = net.backbone(batch.tensors.contiguous(memory_format=torch.channels_last))
            proposals, _ = net.rpn(batch, features)
            detections, _ = net.roi_heads(features, proposals, batch.image_sizes)
        return [
            self._to_instances(found, photo.size, resized)
            for found, photo, resized in zip(detections, photos, batch.image_sizes, strict=True)
        ]

    def _to_instances(
        self, found: dict[str, Tensor], size: tuple[int, int], resized: tuple[int, int]
    ) -> Instances:
        """One photo's detections in pixels of the photo; classes without a category are dropped."""
        category_ids = self.class_ids[found["labels"].cpu().numpy()]
        known = category_ids > 0
        boxes = resize_boxes(found["boxes"], list(resized), list(size)).cpu().numpy()
        return Instances(
            boxes=boxes.astype(np.float32)[known],
            scores=found["scores"].cpu().numpy().astype(np.float64)[known],
            category_ids=category_ids[known],
            masks=BoxMasks(found["masks"][:, 0].float().cpu().numpy()[known]),
            size=size,
        )


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


def _list_published_weights(architecture: str) -> tuple[str, ...]:
    """Names that torchvision has weights under for an architecture."""
    if not architecture.startswith("maskrcnn_") or not hasattr(detection, architecture):
        return ()
    return ("DEFAULT", *get_model_weights(architecture).__members__)


def _build_published(architecture: str, weights: str) -> MaskRCNN:
    """A net with weights that torchvision downloads, or finds in TORCH_HOME."""
    entry = getattr(get_model_weights(architecture), weights)
    try:
        return getattr(detection, architecture)(weights=entry, weights_backbone=None)
    except OSError as err:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise ModelNotFoundError(
            f"{architecture} {weights}: {entry.url} could not be downloaded ({err}); "
            f"put that file into {folder}, or set TORCH_HOME"
        ) from err


def _build_from_file(path: Path, architecture: str | None) -> tuple[MaskRCNN, dict[str, Any]]:
    """A net with the weights of a file, and what is known of its classes."""
    state, about = read_weights(path)
    architecture = architecture or about.get("architecture")
    if architecture == "tiny_instance":
        net = build_instance_net()
    elif architecture is not None and _list_published_weights(architecture):
        classes = state.get("roi_heads.box_predictor.cls_score.bias", torch.empty(91))
        net = getattr(detection, architecture)(
            weights=None, weights_backbone=None, num_classes=len(classes)
        )
    else:
        known = [name for name in dir(detection) if name.startswith("maskrcnn_")]
        raise ConfigError(
            f"{path}: architecture {architecture!r} is no Mask R-CNN that is known here; "
            f"set architecture to one of {', '.join([*known, 'tiny_instance'])}"
        )
    load_state(net, state, source=str(path))
    if not about and _count_classes(net) == len(COCO_CLASS_IDS):
        about = _describe_coco()
    return net, about


def _describe_coco() -> dict[str, Any]:
    return {"label_space": COCO_SPACE, "category_ids": _known_coco_ids()}


def _known_coco_ids() -> list[int]:
    """COCO's 91 slots with its holes as 0."""
    thing_ids = load_space(COCO_SPACE).thing_ids
    return [index if index in thing_ids else 0 for index in COCO_CLASS_IDS]


def _count_classes(net: MaskRCNN) -> int:
    return int(net.roi_heads.box_predictor.cls_score.out_features)


def _check_class_count(net: MaskRCNN, class_ids: Int32Array, weights: str) -> None:
    """Raise ConfigError unless there is one category_id per class of the net."""
    if len(class_ids) != _count_classes(net):
        raise ConfigError(
            f"weights {weights!r} have {_count_classes(net)} classes with the background, "
            f"class_ids {len(class_ids)}"
        )
