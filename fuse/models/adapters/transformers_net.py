"""A segmentation net of transformers with its own preprocessing, for both branches."""

from __future__ import annotations

import pickle  # nosec B403
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING,
    AutoConfig,
    AutoImageProcessor,
    AutoModelForSemanticSegmentation,
    AutoModelForUniversalSegmentation,
    DPTImageProcessor,
)
from transformers.utils import logging

from fuse.errors import ModelError, first_line
from fuse.labels import resolve_classes
from fuse.models import runtime
from fuse.models.weights.fetching import find_weights
from fuse.models.weights.loading import (
    check_pickles,
    describe_misfits,
    find_state_files,
    hash_files,
    refuse_pickle,
)
from fuse.models.weights.sources import list_state_files
from fuse.types import NamedImage

# The last norm of a Swin backbone: a segmenting net reads the levels before it, and the published
# checkpoints of Mask2Former lack it.
UNREAD = ".encoder.swin.layernorm."

# Nets that answer an image alone with class_queries_logits and masks_queries_logits. Others of
# transformers' universal nets want a written task (OneFormer) or a video, or answer otherwise.
QUERY_KINDS = ("maskformer", "mask2former", "eomt", "eomt_dinov3")


class TransformersNet:
    """A net of transformers: one score per class and cell, or per query a class and a mask.

    The arguments are the options of the adapters, and the errors, see `fuse.models.adapters`.

    Attributes:
        net: the module of torch.
        weights: as given, for messages.
        has_queries: whether it answers per query, see QUERY_KINDS.
        label_space, category_ids: what its classes are, "no object" left out.
        weights_hash: SHA-256 of the weights.
    """

    def __init__(
        self,
        device: str,
        weights: str,
        revision: str | None,
        label_space: str | None,
        class_ids: Sequence[int] | None,
        precision: str,
    ) -> None:
        folder = find_weights("transformers", {"weights": weights, "revision": revision})
        config = _from_folder(AutoConfig, folder)  # a class of its own per architecture
        self.weights = weights
        self.has_queries = config.model_type in QUERY_KINDS
        if not self.has_queries and type(config) not in MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING:
            raise ModelError(
                f"{weights}: a {config.model_type} net of transformers is neither a semantic net "
                f"nor one of {', '.join(QUERY_KINDS)}"
            )
        self.weights_hash = hash_files(find_state_files(folder))
        self._processor = _read_processor(folder)
        self.net = runtime.place(_load(folder, self.has_queries), device)
        self._device = device
        self._autocast = runtime.autocast(device, precision)
        self.label_space, self.category_ids = resolve_classes(
            weights, int(config.num_labels), label_space, class_ids
        )

    def __call__(self, image: NamedImage) -> tuple[Any, tuple[int, int], tuple[int, int]]:
        """Run the net on one image, inside torch.inference_mode.

        Returns:
            The net's answer, the size of the image inside the input, and that of the input.
        """
        inputs = self._prepare(image)
        pixels: Tensor = inputs["pixel_values"]
        padded = (int(pixels.shape[2]), int(pixels.shape[3]))
        mask = inputs.get("pixel_mask")
        resized = padded
        if mask is not None:  # 1 on the image, 0 on the padding at its right and bottom
            resized = (int(mask[0, :, 0].sum()), int(mask[0, 0].sum()))
        elif getattr(self._processor, "do_pad", False):  # EoMT's pads there too, without a mask
            resized = tuple(self._prepare(image, do_pad=False)["pixel_values"].shape[2:])
        with torch.inference_mode(), self._autocast:
            return self.net(pixels.to(self._device)), resized, padded

    def _prepare(self, image: NamedImage, **options: bool) -> Any:  # noqa: ANN401 - tensors by name
        """The image as the net wants it.

        Raises:
            ModelError: it is so thin that no pixel of its short side would be left.
        """
        try:
            return self._processor(
                images=image.pixels,
                return_tensors="pt",
                input_data_format="channels_last",
                **options,
            )
        except (ValueError, RuntimeError) as err:  # processors check no size themselves
            raise ModelError(
                f"{self.weights}: its preprocessing takes no image of {image.size} ({err})"
            ) from err


def _read_processor(folder: Path) -> Any:  # noqa: ANN401 - one class per architecture
    """The preprocessing of a folder, made to leave the image whole.

    Raises:
        ModelError: it cannot be read, cuts images into pieces, or pads where it does not say.
    """
    processor = _from_folder(AutoImageProcessor, folder)
    # Some cut the middle out of an image, which suits a classifier of whole images.
    processor.do_center_crop = False
    if getattr(processor, "do_split_image", False):
        raise ModelError(
            f"{folder}: its preprocessing cuts an image into pieces (do_split_image), whose "
            "answers are not joined here; take a checkpoint for whole images"
        )
    if isinstance(processor, DPTImageProcessor) and processor.do_pad:
        raise ModelError(f"{folder}: pads images on all sides (do_pad), which is not undone here")
    return processor


def _from_folder(kind: Any, folder: Path, **options: Any) -> Any:  # noqa: ANN401 - classes without types
    """What transformers makes of a folder; code that lies in it, or that it names, is not run.

    Raises:
        ModelError: the folder is damaged, or asks for code of its own.
    """
    for file in list_state_files(folder):
        if file.suffix != ".safetensors":
            check_pickles(file)
    try:
        return kind.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **options
        )
    except pickle.UnpicklingError as err:
        raise refuse_pickle(find_state_files(folder)[0]) from err
    except Exception as err:  # readers of damaged files raise almost anything
        reason = first_line(err)
        raise ModelError(f"{folder}: transformers cannot read it ({reason})") from err


def _load(folder: Path, has_queries: bool) -> torch.nn.Module:
    """The net; weights that it lacks are an error, where transformers would invent them.

    Weights that the net has no use for are none: published checkpoints hold some.
    """
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    kind = AutoModelForUniversalSegmentation if has_queries else AutoModelForSemanticSegmentation
    net, loading = _from_folder(
        kind,
        folder,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        dtype=torch.float32,
    )
    missing = sorted(key for key in loading["missing_keys"] if UNREAD not in key)
    unknown = sorted(loading["unexpected_keys"])
    reshaped = sorted(loading["mismatched_keys"], key=str)
    if missing or reshaped:
        raise ModelError(describe_misfits(str(folder), missing, unknown, reshaped))
    module: torch.nn.Module = net
    return module
