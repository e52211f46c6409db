"""Finding weights by what a preset says, and reading them without running what they hold."""

from __future__ import annotations

import hashlib
import json
import pickle  # nosec B403
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from safetensors import safe_open
from torch import Tensor, nn

from fuse.errors import ConfigError, ModelError, ModelNotFoundError, suggest
from fuse.models.options import check_options
from fuse.models.weights.fetching import fetch_weights
from fuse.models.weights.sources import (
    STATE_SUFFIXES,
    describe_file,
    describe_repository,
    list_shipped_weights,
)

METADATA_KEY = "fuse"  # entry of a safetensors header that tells how to use the file
ZIP_START = b"PK\x03\x04"
COUNTER = ".num_batches_tracked"  # a batch norm's count of training steps, no matter here


@dataclass(frozen=True, slots=True)
class NetHeader:
    """What is read of the ``fuse`` entry of a safetensors header; each key may be missing.

    Attributes:
        architecture: as in a preset, and so the others.
        label_space: the name of a label space.
        category_ids: of each class of the net, 0 = none.
        mean, std: per channel.
        min_size, max_size: pixels of the input.
    """

    architecture: str = ""
    label_space: str = ""
    category_ids: Sequence[int] = ()
    mean: Sequence[float] = ()
    std: Sequence[float] = ()
    min_size: int = 1
    max_size: int = 1


def find_weights(weights: str, published: Sequence[str] = ()) -> Path:
    """The file of shipped weights by name, or the file at that path.

    Args:
        weights: a name or a path.
        published: names that would have been understood too, for the message.

    Raises:
        ModelNotFoundError: neither exists.
    """
    needed = describe_file(weights)
    if not needed.is_present:
        names = (*list_shipped_weights(), *published)
        raise ModelNotFoundError(
            f"no weights {weights!r}: there is no such file; {suggest(weights, names)}"
        )
    return needed.path


def find_repository(weights: str, revision: str | None = None) -> Path:
    """A local folder, or that of a repository of the hub, fetched if need be.

    Args:
        weights: ``owner/name``, or the path of a folder.
        revision: branch, tag or commit of the repository; by default ``main``.

    Raises:
        ModelNotFoundError: it is not on this machine and cannot be fetched.
    """
    return fetch_weights(describe_repository(weights, revision))


def find_state_files(folder: Path) -> list[Path]:
    """The weights in a folder that ``save_pretrained`` made, one file or several in order.

    Raises:
        ModelNotFoundError: there are none.
    """
    for suffix in STATE_SUFFIXES:
        if found := sorted(folder.glob(f"*{suffix}")):
            return found
    raise ModelNotFoundError(f"{folder}: holds no weights ({', '.join(STATE_SUFFIXES)})")


def hash_files(paths: Iterable[Path]) -> str:
    """SHA-256 of a file as hex, or of several one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def check_file(path: Path) -> None:
    """Raise ModelError for what is plainly no weights file, before a reader says so less clearly.

    That is a folder, an empty file, what a server answered in place of the file, the pointer
    that Git LFS leaves in its stead, and a zip archive (as torch and its exports write) without
    its end.
    """
    if path.is_dir():
        raise ModelError(f"{path}: is a folder; name the weights file in it")
    with path.open("rb") as file:
        start = file.read(64).lstrip()
    if not start:
        found = "is empty"
    elif start.startswith(b"<"):
        found = "is a web page, not weights"
    elif start.startswith(b"version https://git-lfs"):
        found = "is a pointer of Git LFS, not the weights themselves"
    elif start.startswith(ZIP_START) and not is_zipfile(path):
        found = "is cut short or damaged"
    else:
        return
    raise ModelError(f"{path}: {found}; fetch it again")


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a state dict and what the file says about itself; nothing in the file is run.

    Args:
        path: ``.safetensors``, or a torch checkpoint that holds a state dict (itself, or
            under ``state_dict`` or ``model``).

    Returns:
        Tensors by name, and the ``fuse`` entry of a safetensors header or {}.

    Raises:
        ModelError: the file is no such thing.
    """
    check_file(path)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                about = _parse_header((file.metadata() or {}).get(METADATA_KEY, "{}"), path)
                return {key: file.get_tensor(key) for key in file.keys()}, about  # noqa: SIM118
        with warnings.catch_warnings(action="ignore"):  # an old pickle format is no news
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as err:
        raise refuse_pickle(path) from err
    except ModelError:
        raise
    except Exception as err:  # readers of damaged files raise almost anything
        reason = str(err).splitlines()[0] if str(err) else type(err).__name__
        raise ModelError(f"{path}: not a weights file that can be read ({reason})") from err
    for key in ("state_dict", "model"):
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get(key), dict):
            checkpoint = checkpoint[key]
    if not isinstance(checkpoint, dict) or not all(
        isinstance(value, Tensor) for value in checkpoint.values()
    ):
        raise ModelError(f"{path}: holds no state dict (tensors by name)")
    return checkpoint, {}


def _parse_header(text: str, path: Path) -> dict[str, Any]:
    """What a safetensors header says of its net; ModelError where that is no use."""
    try:
        about = json.loads(text)
        if not isinstance(about, dict):
            raise TypeError("it is no table")
        known = [field.name for field in fields(NetHeader)]
        check_options("header", path.name, NetHeader, {k: about[k] for k in known if k in about})
    except (ValueError, TypeError, RecursionError, ConfigError) as err:
        raise ModelError(f"{path}: what its header says of the net is wrong ({err})") from err
    return about


def load_state(net: nn.Module, state: dict[str, Tensor], *, source: str) -> None:
    """Load a state dict of any float type into a float32 net; every key and shape must fit.

    Only the step counters of batch norms may be missing, which inference does not read.

    Raises:
        ModelError: the weights belong to another net; names the first keys that do not fit.
    """
    own = net.state_dict()
    missing = [key for key in own if key not in state and not key.endswith(COUNTER)]
    unknown = [key for key in state if key not in own]
    reshaped = [
        (key, tuple(state[key].shape), tuple(own[key].shape))
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if missing or unknown or reshaped:
        raise ModelError(describe_misfits(source, missing, unknown, reshaped))
    fitting = {key: state[key].to(own[key].dtype) for key in own if key in state}
    net.load_state_dict(fitting, strict=False)


def describe_misfits(
    source: str,
    missing: Sequence[str],
    unknown: Sequence[str],
    reshaped: Sequence[tuple[str, Sequence[int], Sequence[int]]],
) -> str:
    """What does not fit of weights into a net, the first key of each kind, as a message.

    >>> describe_misfits("a.pth", ["fc.bias"], [], [("fc.weight", (5, 3), (4, 3))])
    "a.pth: weights of another net; 'fc.bias' is missing, 'fc.weight' has shape (5, 3), not \
(4, 3) (2 keys do not fit)"

    Args:
        source: of the weights.
        missing: keys that only the net has.
        unknown: keys that only the weights have.
        reshaped: keys with the shape in the weights and that in the net.
    """
    misfits = [
        f"{keys[0]!r} is {what}"
        for keys, what in ((missing, "missing"), (unknown, "unknown"))
        if keys
    ]
    if reshaped:
        key, found, wanted = reshaped[0]
        misfits.append(f"{key!r} has shape {tuple(found)}, not {tuple(wanted)}")
    count = len(missing) + len(unknown) + len(reshaped)
    return f"{source}: weights of another net; {', '.join(misfits)} ({count} keys do not fit)"


def refuse_pickle(path: Path) -> ModelError:
    """The error for a file that is more than tensors by name."""
    return ModelError(
        f"{path}: refused, since reading it would run code that it holds or it is no "
        "checkpoint at all; save the net's state_dict() alone, best as .safetensors"
    )
