"""What lies in a folder of transformers: configuration, preprocessing, net; no code is run."""

from __future__ import annotations

import pickle  # nosec B403
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from transformers import (
    MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING,
    AutoConfig,
    AutoModelForSemanticSegmentation,
    AutoModelForUniversalSegmentation,
    AutoTokenizer,
)
from transformers.conversion_mapping import (
    get_checkpoint_conversion_mapping,
    register_checkpoint_conversion_mapping,
)
from transformers.core_model_loading import Chunk, WeightConverter, WeightRenaming
from transformers.utils import logging

from fuse.errors import CocoFormatError, ModelError, first_line
from fuse.io.json_toml import parse_object
from fuse.models.weights.loading import (
    check_file,
    check_pickles,
    describe_misfits,
    find_state_files,
    refuse_pickle,
)
from fuse.models.weights.side_files import CONFIG
from fuse.models.weights.sources import list_state_files

# The last norm of a Swin backbone: a segmenting net reads the levels before it, and the published
# checkpoints of Mask2Former and OneFormer lack it.
UNREAD = (".encoder.swin.layernorm.", "pixel_level_module.encoder.layernorm.")

# What a net answers with: a score per class and cell; per query a class and a mask; or per query
# classes that do not exclude each other, a box and a mask.
NetKind = Literal["semantic", "queries", "detections"]
QUERY_NETS = ("maskformer", "mask2former", "eomt", "eomt_dinov3", "oneformer")
DETECTION_NETS = ("rf_detr",)
FIXED_SIZE_NETS = ("eomt", "eomt_dinov3")  # have a place for each patch of one input size


def read_config(folder: Path) -> Any:  # noqa: ANN401 - a class of its own per architecture
    """The configuration of a folder.

    Raises:
        ModelError: it is damaged, or the net needs a compiled package.
    """
    _check_config(folder)
    config = read_folder(AutoConfig, folder)
    backbone = getattr(getattr(config, "backbone_config", None), "model_type", None)
    if backbone == "dinat":
        raise ModelError(
            f"{folder}: its backbone is DiNAT, which needs natten, a package compiled for one "
            "version of torch and CUDA, and is not supported; take a checkpoint with Swin, as "
            "shi-labs/oneformer_coco_swin_large"
        )
    return config


def _check_config(folder: Path) -> None:
    """Raise ModelError for a configuration that transformers would stumble over without a word."""
    described = read_object(folder / CONFIG)
    if not described.get("model_type"):
        raise ModelError(f"{folder / CONFIG}: says no model_type, so it is none of transformers")
    if not isinstance(described.get("id2label", {}), dict):
        raise ModelError(f"{folder / CONFIG}: its id2label is no table of names by number")


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file of a folder.

    Raises:
        ModelError: it is not there, or no JSON object.
    """
    try:
        return parse_object(path.read_bytes(), str(path))
    except OSError as err:
        raise ModelError(f"{path}: cannot be read ({err.strerror})") from err
    except CocoFormatError as err:
        raise ModelError(str(err)) from err


def find_kind(config: Any, weights: str) -> NetKind:  # noqa: ANN401 - as above
    """What a net of that configuration answers with.

    Raises:
        ModelError: it is no net that segments images.
    """
    if config.model_type in QUERY_NETS:
        return "queries"
    if config.model_type in DETECTION_NETS:
        named = (getattr(config, "architectures", None) or [""])[0]
        if "ObjectDetection" in named:
            raise ModelError(f"{weights}: finds boxes without masks; take a checkpoint with -seg-")
        return "detections"
    if type(config) in MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING:
        return "semantic"
    raise ModelError(
        f"{weights}: a {config.model_type} net of transformers is neither a semantic net "
        f"nor one of {', '.join((*QUERY_NETS, *DETECTION_NETS))}"
    )


def read_task(folder: Path, task: str, length: int) -> torch.Tensor:
    """OneFormer's task as tokens (1, length) of the folder's tokenizer, 0 where nothing stands."""
    tokenizer = read_folder(AutoTokenizer, folder)
    tokens = tokenizer(
        [f"the task is {task}"],
        padding="max_length",
        max_length=length,
        truncation=True,
        return_tensors="pt",
    )
    task_tokens: torch.Tensor = tokens["input_ids"] * tokens["attention_mask"]
    return task_tokens


def load_net(folder: Path, kind: NetKind) -> torch.nn.Module:
    """The net; weights that it lacks are an error, where transformers would invent them.

    Weights that the net has no use for are none: published checkpoints hold some.

    Raises:
        ModelError: they are of another net, or a pickle that would run code.
    """
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    net, loading = _load(folder, kind)
    if any(".mlp.weights_in." in key for key in loading["unexpected_keys"]):
        _know_giant_keys()
        net, loading = _load(folder, kind)
    missing = sorted(
        key for key in loading["missing_keys"] if not any(part in key for part in UNREAD)
    )
    unknown = sorted(loading["unexpected_keys"])
    reshaped = sorted(loading["mismatched_keys"], key=str)
    if missing or reshaped:
        raise ModelError(describe_misfits(str(folder), missing, unknown, reshaped))
    module: torch.nn.Module = net
    return module


def _load(folder: Path, kind: NetKind) -> Any:  # noqa: ANN401 - a net, and what did not fit
    return read_folder(
        _find_class(kind),
        folder,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        dtype=torch.float32,
    )


def _know_giant_keys() -> None:
    """Tell transformers how EoMT's giant nets call their MLPs in the files of 2025.

    Its release 5 made three matrices of their two, the first of which it halves where it reads
    DINOv2's, from which EoMT was made, but not where it reads EoMT's (seen in 5.24).
    """
    if get_checkpoint_conversion_mapping("eomt") is not None:  # type: ignore[no-untyped-call]
        return
    halves = [
        WeightConverter(
            f"mlp.weights_in.{part}",
            [f"mlp.gate_proj.{part}", f"mlp.up_proj.{part}"],
            operations=[Chunk(dim=0)],
        )
        for part in ("weight", "bias")
    ]
    rest = WeightRenaming("mlp.weights_out", "mlp.down_proj")
    register_checkpoint_conversion_mapping("eomt", [*halves, rest])


def _find_class(kind: NetKind) -> Any:  # noqa: ANN401 - classes without types
    if kind == "detections":
        from transformers import RfDetrForInstanceSegmentation

        return RfDetrForInstanceSegmentation
    return (
        AutoModelForUniversalSegmentation if kind == "queries" else AutoModelForSemanticSegmentation
    )


def read_folder(kind: Any, folder: Path, **options: Any) -> Any:  # noqa: ANN401 - classes without types
    """What transformers makes of a folder; code that lies in it, or that it names, is not run.

    Raises:
        ModelError: the folder is damaged, or asks for code of its own.
    """
    for file in list_state_files(folder):
        _check_weights(file)
    try:
        return kind.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **options
        )
    except pickle.UnpicklingError as err:
        raise refuse_pickle(find_state_files(folder)[0]) from err
    except Exception as err:  # readers of damaged files raise almost anything
        reason = first_line(err).partition(". Should have")[0]
        raise ModelError(f"{folder}: transformers cannot read it ({reason})") from err


def _check_weights(file: Path) -> None:
    """Raise ModelError for weights that are cut, damaged, or more than tensors."""
    check_file(file)
    if file.suffix != ".safetensors":
        check_pickles(file)
        return
    try:
        with safe_open(file, framework="pt"):
            pass
    except SafetensorError as err:
        raise ModelError(f"{file}: is cut short or damaged ({err}); fetch it again") from err
