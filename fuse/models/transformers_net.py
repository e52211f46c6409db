"""A segmentation net of transformers with its own preprocessing, for both branches."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING,
    MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING,
    AutoConfig,
    AutoImageProcessor,
    AutoModelForSemanticSegmentation,
    AutoModelForUniversalSegmentation,
)
from transformers.utils import logging

from fuse.errors import ModelError
from fuse.models import runtime
from fuse.models.weights import (
    NeededWeights,
    describe_hub_folder,
    find_hub_folder,
    find_state_files,
    hash_files,
)
from fuse.types import Photo


class TransformersNet:
    """A net of transformers: one score per class and cell, or per query a class and a mask.

    Args:
        weights: a name on the Hugging Face hub, or a local folder that ``save_pretrained`` made.
        device: ``cpu``, ``cuda:0``, ...
        precision: see `runtime.autocast`.

    Attributes:
        weights: as given, for messages.
        classes: how many the net knows, without "no object".
        has_queries: whether it answers per query (Mask2Former and its kin).
        weights_hash: SHA-256 of the weights.

    Raises:
        ModelError: the folder is not there, is of another kind of net, or lacks weights.
        ConfigError: the precision is unknown.
    """

    def __init__(self, weights: str, device: str, precision: str) -> None:
        folder = find_hub_folder(weights)
        config = _read_config(folder)
        self.weights = weights
        self.classes = int(config.num_labels)
        self.has_queries = type(config) in MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING
        if not self.has_queries and type(config) not in MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING:
            raise ModelError(
                f"{weights}: a {config.model_type} net of transformers segments nothing"
            )
        self.weights_hash = hash_files(find_state_files(folder))
        self._processor = _from_folder(AutoImageProcessor, folder)
        # Some cut the middle out of a photo, which suits a classifier of whole photos.
        self._processor.do_center_crop = False
        self._net = runtime.place(_load(folder, self.has_queries), device)
        self._device = device
        self._autocast = runtime.autocast(device, precision)

    def __call__(self, photo: Photo) -> tuple[Any, tuple[int, int], tuple[int, int]]:
        """Run the net on one photo, inside torch.inference_mode.

        Returns:
            The net's answer, the size of the photo inside the input, and that of the input.
        """
        inputs = self._processor(
            images=photo.image, return_tensors="pt", input_data_format="channels_last"
        )
        pixels: Tensor = inputs["pixel_values"]
        padded = (int(pixels.shape[2]), int(pixels.shape[3]))
        mask = inputs.get("pixel_mask")
        resized = padded
        if mask is not None:  # 1 on the photo, 0 on the padding at its right and bottom
            resized = (int(mask[0, :, 0].sum()), int(mask[0, 0].sum()))
        with torch.inference_mode(), self._autocast:
            return self._net(pixels.to(self._device)), resized, padded


def describe_transformers_weights(options: Mapping[str, Any]) -> NeededWeights:
    """Where the weights of these options are looked for."""
    return describe_hub_folder(str(options["weights"]))


def _read_config(folder: Path) -> Any:  # noqa: ANN401 - one class per architecture
    return _from_folder(AutoConfig, folder)


def _from_folder(kind: Any, folder: Path, **options: Any) -> Any:  # noqa: ANN401 - classes without types
    """What transformers makes of a folder; code that lies in it, or that it names, is not run.

    Raises:
        ModelError: the folder is damaged, or asks for code of its own.
    """
    try:
        return kind.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **options
        )
    except Exception as err:  # readers of damaged files raise almost anything
        reason = str(err).strip().partition("\n")[0]
        raise ModelError(f"{folder}: no folder of transformers ({reason})") from err


def _load(folder: Path, has_queries: bool) -> torch.nn.Module:
    """The net; weights that it lacks are an error, where transformers would invent them."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    kind = AutoModelForUniversalSegmentation if has_queries else AutoModelForSemanticSegmentation
    net, loading = _from_folder(kind, folder, output_loading_info=True, dtype=torch.float32)
    misfits = sorted(map(str, (*loading["missing_keys"], *loading["mismatched_keys"])))
    if misfits:
        raise ModelError(
            f"{folder}: weights of another net; {misfits[0]!r} is missing or of another shape "
            f"({len(misfits)} keys do not fit)"
        )
    module: torch.nn.Module = net
    return module
