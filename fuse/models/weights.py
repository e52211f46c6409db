"""Finding and reading weight files."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from fuse.errors import ModelError, ModelNotFoundError

WEIGHTS_DIR = Path(__file__).parent.parent / "weights"
METADATA_KEY = "fuse"  # entry of a safetensors header that tells how to use the file


def list_shipped_weights() -> tuple[str, ...]:
    """Names of the weights that ship in the package, sorted."""
    return tuple(sorted(path.stem for path in WEIGHTS_DIR.glob("*.safetensors")))


def find_weights(weights: str) -> Path:
    """The file of shipped weights by name, or the file at that path.

    Raises:
        ModelNotFoundError: neither exists.
    """
    path = WEIGHTS_DIR / f"{weights}.safetensors" if weights in list_shipped_weights() else None
    path = path or Path(weights).expanduser()
    if not path.is_file():
        raise ModelNotFoundError(
            f"no weights {weights!r}: there is no such file, and shipped are only "
            f"{', '.join(list_shipped_weights())}"
        )
    return path


def hash_file(path: Path) -> str:
    """SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_parameters(net: nn.Module) -> str:
    """SHA-256 over a net's parameters and buffers as hex, for weights that came as no file."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


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
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                return {key: file.get_tensor(key) for key in file.keys()}, json.loads(  # noqa: SIM118
                    header.get(METADATA_KEY, "{}")
                )
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as err:
        reason = str(err).splitlines()[0] if str(err) else type(err).__name__
        raise ModelError(f"{path}: not a weights file that can be read safely ({reason})") from err
    for key in ("state_dict", "model"):
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get(key), dict):
            checkpoint = checkpoint[key]
    if not isinstance(checkpoint, dict) or not all(
        isinstance(value, Tensor) for value in checkpoint.values()
    ):
        raise ModelError(f"{path}: holds no state dict (tensors by name)")
    return checkpoint, {}


def load_state(net: nn.Module, state: dict[str, Tensor], *, source: str) -> None:
    """Load a state dict of any float type into a float32 net; every key and shape must fit.

    Raises:
        ModelError: the weights belong to another net; names the first key that does not fit.
    """
    own = net.state_dict()
    misfits = [f"{key!r} is missing" for key in own if key not in state]
    misfits += [f"{key!r} is unknown" for key in state if key not in own]
    misfits += [
        f"{key!r} has shape {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if misfits:
        raise ModelError(
            f"{source}: weights of another net; {misfits[0]} ({len(misfits)} keys do not fit)"
        )
    net.load_state_dict({key: state[key].to(own[key].dtype) for key in own})
