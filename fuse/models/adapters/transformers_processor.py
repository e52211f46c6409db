"""The preprocessing that lies in a folder of transformers, and what its file leaves unsaid."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AutoImageProcessor, DPTImageProcessor

from fuse.errors import FuseWarning, ModelError
from fuse.models.adapters.transformers_files import FIXED_SIZE_NETS, read_folder, read_object
from fuse.models.adapters.transformers_input import describe_input

FLAT, NESTED = "preprocessor_config.json", "processor_config.json"
NESTED_KEY = "image_processor"


def read_processor(folder: Path, config: Any) -> Any:  # noqa: ANN401 - one class per architecture
    """The preprocessing of a folder, made to leave the image whole.

    What its file does not say is the default of transformers, and told in a `FuseWarning`.

    Args:
        folder: of the checkpoint.
        config: its configuration.

    Raises:
        ModelError: it cannot be read, pads where it does not say, or makes images of a size that
            the net does not take.
    """
    described = _read_described(folder)
    # OneFormer's would fetch names of classes from another repository, which only training reads.
    options = {"class_info_file": None} if config.model_type == "oneformer" else {}
    processor = read_folder(AutoImageProcessor, folder, **options)
    # Some cut the middle out of an image, which suits a classifier of whole images.
    processor.do_center_crop = False
    if isinstance(processor, DPTImageProcessor) and processor.do_pad:
        raise ModelError(f"{folder}: pads images on all sides (do_pad), which is not undone here")
    if getattr(processor, "do_resize", True) and not processor.size:
        raise ModelError(f"{folder}: its preprocessing says no size")
    _tell_defaults(folder, described, processor)
    if config.model_type in FIXED_SIZE_NETS:
        _check_fixed_size(folder, config, processor)
    return processor


def _read_described(folder: Path) -> dict[str, Any]:
    """What the file says that transformers makes the preprocessing of.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    nested = read_object(folder / NESTED) if (folder / NESTED).is_file() else {}
    if isinstance(found := nested.get(NESTED_KEY), dict):
        return found
    if not (folder / FLAT).is_file():
        raise ModelError(
            f"{folder}: holds no {FLAT}, which says what images the net wants; take that of the "
            "checkpoint that it comes from"
        )
    return read_object(folder / FLAT)


def _tell_defaults(folder: Path, described: Mapping[str, Any], processor: Any) -> None:  # noqa: ANN401
    """Say what counts where the file does not say it."""
    decisive = {
        "size": getattr(processor, "do_resize", True),
        "image_mean": processor.do_normalize,
        "image_std": processor.do_normalize,
    }
    unsaid = [key for key, matters in decisive.items() if matters and key not in described]
    if unsaid:
        counts = [
            describe_input(processor.size)
            if key == "size"
            else f"{key} {list(getattr(processor, key))}"
            for key in unsaid
        ]
        warnings.warn(
            FuseWarning(
                f"{folder}: its preprocessing does not say {', '.join(unsaid)}; what transformers "
                f"takes by default counts: {', '.join(counts)}"
            ),
            stacklevel=3,
        )


def _check_fixed_size(folder: Path, config: Any, processor: Any) -> None:  # noqa: ANN401
    """Raise ModelError where a net of one input size would get another."""
    size, side = dict(processor.size), config.image_size
    is_square = size.get("longest_edge") == side and processor.do_pad
    if size.get("shortest_edge") != side or not (processor.do_split_image or is_square):
        raise ModelError(
            f"{folder}: its preprocessing makes images {describe_input(size)} (do_pad "
            f"{processor.do_pad}, do_split_image {processor.do_split_image}), but its net takes "
            f"{side} x {side} pixels only"
        )
