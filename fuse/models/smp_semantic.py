"""Nets of segmentation-models-pytorch as a semantic model.

Such a net ends in an upsampling by 2 to 8; here that step is taken off, so that logits leave at
the net's own stride and are upsampled once, straight to the photo's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from torch import nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from fuse.errors import ConfigError, ModelNotFoundError
from fuse.labels import load_space
from fuse.models import runtime
from fuse.models.tiny import build_semantic_net
from fuse.models.weights import find_weights, hash_file, hash_parameters, load_state, read_weights
from fuse.types import Int32Array, LabelSpace, Photo, SemanticLogits

HUB_PREFIX = "smp-hub/"  # the library's own checkpoints on the Hugging Face hub
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class SmpSemantic:
    """A net of segmentation-models-pytorch.

    Args:
        device: ``cpu``, ``cuda:0``, ...
        weights: shipped weights by name (``tiny_semantic``), a Hugging Face hub name or local
            folder that ``smp.from_pretrained`` takes (``smp-hub/...``), or a file.
        architecture: a name ``smp.create_model`` knows, or ``tiny_semantic``; not needed where
            the weights name it.
        encoder: encoder name for ``smp.create_model``.
        label_space: categories of the net; not needed for shipped weights.
        class_ids: category_id of each row of the logits, 0 = none; default is all of
            label_space in class_index order.
        mean, std: per channel on RGB in 0..1; default ImageNet's.
        min_size, max_size: the photo's short side becomes min_size pixels unless its long side
            would exceed max_size.
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
        encoder: str | None = None,
        label_space: str | None = None,
        class_ids: Sequence[int] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        min_size: int | None = None,
        max_size: int | None = None,
        precision: str = "auto",
    ) -> None:
        net, about, self.weights_hash = _build(weights, architecture, encoder)
        space_name = label_space or about.get("label_space")
        if space_name is None:
            raise ConfigError(f"weights {weights!r} do not name their classes; set label_space")
        self.label_space: LabelSpace = load_space(space_name)
        ids = class_ids if class_ids is not None else about.get("category_ids")
        if ids is None:
            ids = [category.category_id for category in self.label_space.categories]
        self.class_ids: Int32Array = np.array(ids, dtype=np.int32)
        self._align_corners = _take_off_upsampling(net)
        self._transform = GeneralizedRCNNTransform(
            min_size=min_size or about.get("min_size", 512),
            max_size=max_size or about.get("max_size", 2048),
            image_mean=list(mean or about.get("mean", IMAGENET_MEAN)),
            image_std=list(std or about.get("std", IMAGENET_STD)),
            size_divisible=32,  # the deepest stride of every encoder
        ).eval()
        self._net = runtime.place(net, device)
        self._device = device
        self._precision = precision
        self._weights = weights

    def predict(self, photos: Sequence[Photo]) -> list[SemanticLogits]:
        """Logits of each photo at the net's own stride, the padding cut off."""
        return runtime.predict_by_size(photos, self._predict_same_size)

    def _predict_same_size(self, photos: list[Photo]) -> list[SemanticLogits]:
        with torch.inference_mode(), runtime.autocast(self._device, self._precision):
            batch, _ = self._transform(
                [runtime.to_tensor(photo.image, self._device) for photo in photos]
            )
            inputs = batch.tensors.contiguous(memory_format=torch.channels_last)
            logits = self._net(inputs).to(torch.float16).contiguous().cpu().numpy()
        if logits.shape[1] != len(self.class_ids):
            raise ConfigError(
                f"weights {self._weights!r} have {logits.shape[1]} classes, "
                f"class_ids {len(self.class_ids)}"
            )
        return [
            crop_padding(one, photo.size, resized, inputs.shape[2:], self._align_corners)
            for one, photo, resized in zip(logits, photos, batch.image_sizes, strict=True)
        ]


def crop_padding(
    logits: np.ndarray[Any, np.dtype[np.float16]],
    size: tuple[int, int],
    resized: tuple[int, int],
    padded: Sequence[int],
    align_corners: bool,
) -> SemanticLogits:
    """Logits of a photo that was resized and padded at the right and bottom.

    Args:
        logits: float16 (C, h, w) over the padded input.
        size: of the photo.
        resized: of the photo inside the input.
        padded: of the input.
        align_corners: whether the net learned with the centres of the corner cells on the
            centres of the corner pixels (True), or with edges on edges.
    """
    cells, scale, offset = [], [], []
    for axis in (0, 1):
        grid = logits.shape[1 + axis]
        ratio = resized[axis] / size[axis]  # input pixels per photo pixel
        if align_corners:
            step = (grid - 1) / max(padded[axis] - 1, 1)  # cells per input pixel
            scale.append(ratio * step)
            offset.append((0.5 * ratio - 0.5) * step)
        else:
            scale.append(ratio * grid / padded[axis])
            offset.append(0.5 * scale[axis] - 0.5)
        last = scale[axis] * (size[axis] - 1) + offset[axis]
        cells.append(min(grid, int(last) + 2))
    return SemanticLogits(
        logits=np.ascontiguousarray(logits[:, : cells[0], : cells[1]]),
        size=(size[0], size[1]),
        scale=(scale[0], scale[1]),
        offset=(offset[0], offset[1]),
    )


def _build(
    weights: str, architecture: str | None, encoder: str | None
) -> tuple[nn.Module, dict[str, Any], str]:
    """(net, what is known of it, hash of its weights)."""
    if weights.startswith(HUB_PREFIX) or Path(weights).is_dir():
        net = _load_pretrained(weights)
        return net, {}, hash_parameters(net)
    path = find_weights(weights)
    state, about = read_weights(path)
    architecture = architecture or about.get("architecture")
    if architecture == "tiny_semantic":
        net = build_semantic_net()
    else:
        if architecture is None or encoder is None:
            raise ConfigError(f"{path}: set architecture and encoder, as smp.create_model has them")
        classes = state.get("segmentation_head.0.bias", torch.empty(1))
        try:
            net = smp.create_model(
                architecture, encoder_name=encoder, encoder_weights=None, classes=len(classes)
            )
        except (KeyError, RuntimeError) as err:
            raise ConfigError(f"segmentation-models-pytorch: {err}") from err
    load_state(net, state, source=str(path))
    return net, about, hash_file(path)


def _load_pretrained(weights: str) -> nn.Module:
    """A net from the hub or from a folder that ``save_pretrained`` made."""
    try:
        net: nn.Module = smp.from_pretrained(weights)
    except OSError as err:
        raise ModelNotFoundError(
            f"{weights} could not be loaded ({err}); download it where there is a network "
            "and give the folder, or set HF_HOME to a cache that holds it"
        ) from err
    return net


def _take_off_upsampling(net: nn.Module) -> bool:
    """Remove the upsampling at the net's end; return whether it aligned corners."""
    head = getattr(net, "segmentation_head", None)
    if not isinstance(head, nn.Sequential) or not isinstance(head[1], nn.Upsample):
        return False
    align_corners = bool(head[1].align_corners)
    head[1] = nn.Identity()
    return align_corners
