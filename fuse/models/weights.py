"""Finding, reading and describing weight files.

Whatever comes from the Hugging Face hub is downloaded, checked and cached by huggingface_hub.
"""

from __future__ import annotations

import hashlib
import json
import pickle  # nosec B403
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from fuse.errors import ConfigError, ModelError, ModelNotFoundError
from fuse.models.options import check_options

WEIGHTS_DIR = Path(__file__).parent.parent / "weights"
METADATA_KEY = "fuse"  # entry of a safetensors header that tells how to use the file
STATE_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".ckpt")
COUNTER = ".num_batches_tracked"  # a batch norm's count of training steps, no matter here
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
CONFIG_PATTERN = "*.json"


@dataclass(frozen=True, slots=True)
class NeededWeights:
    """Weights that a model needs, and where they are looked for.

    Attributes:
        source: a URL, ``owner/name`` on the Hugging Face hub, or the path itself.
        path: the file or folder they lie in, or will lie in once fetched.
        is_present: whether they are there.
    """

    source: str
    path: Path
    is_present: bool


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


def list_shipped_weights() -> tuple[str, ...]:
    """Names of the weights that ship in the package, sorted."""
    return tuple(sorted(path.stem for path in WEIGHTS_DIR.glob("*.safetensors")))


def find_weights(weights: str, published: Sequence[str] = ()) -> Path:
    """The file of shipped weights by name, or the file at that path.

    Args:
        weights: a name or a path.
        published: names that would have been understood too, for the message.

    Raises:
        ModelNotFoundError: neither exists.
    """
    path = _locate_weights(weights)
    if not path.is_file():
        names = ", ".join((*list_shipped_weights(), *published))
        raise ModelNotFoundError(
            f"no weights {weights!r}: there is no such file, and the known names are {names}"
        )
    return path


def describe_file(weights: str) -> NeededWeights:
    """Where shipped weights or a weights file are looked for."""
    path = _locate_weights(weights)
    return NeededWeights(weights, path, path.is_file())


def _locate_weights(weights: str) -> Path:
    if weights in list_shipped_weights():
        return WEIGHTS_DIR / f"{weights}.safetensors"
    return Path(weights).expanduser()


def is_hub_name(weights: str) -> bool:
    """Whether weights is ``owner/name`` on the Hugging Face hub, not a file or folder.

    >>> is_hub_name("smp-hub/segformer-b0-512x512-ade-160k"), is_hub_name("nets/mine.pth")
    (True, False)
    """
    if HUB_NAME.fullmatch(weights) is None or Path(weights).expanduser().exists():
        return False
    return not weights.endswith(STATE_SUFFIXES)


def find_hub_folder(weights: str) -> Path:
    """A local folder, or that of a hub name in the cache of huggingface_hub, fetched if need be.

    Raises:
        ModelNotFoundError: it is not on this machine and cannot be fetched.
    """
    folder = Path(weights).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import constants, snapshot_download

    try:
        # Only old checkpoints come as .bin alone; those are read without running them, too.
        for suffix in (".safetensors", ".bin"):
            wanted = [CONFIG_PATTERN, f"*{suffix}"]
            # Nothing of it is run, and run.json tells its hash, so the newest will do.
            fetched = snapshot_download(weights, allow_patterns=wanted)  # nosec B615
            folder = Path(fetched)
            if next(folder.glob(f"*{suffix}"), None):
                break
        return folder
    except Exception as err:  # the hub's client raises whatever its transport raises
        reason = str(err).strip().partition("\n")[0]
        raise ModelNotFoundError(
            f"{weights}: not in {constants.HF_HUB_CACHE}, and could not be fetched from "
            f"https://huggingface.co/{weights} ({reason}); run once with a network, set HF_HOME "
            "to a cache that holds it, or give the path of a folder with its files"
        ) from err


def describe_hub_folder(weights: str) -> NeededWeights:
    """Where a hub name or a local folder is looked for."""
    folder = Path(weights).expanduser()
    if not is_hub_name(weights):
        return NeededWeights(weights, folder, folder.is_dir())
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        # The newest on this machine; nothing is fetched.
        path = snapshot_download(weights, local_files_only=True)  # nosec B615
    except LocalEntryNotFoundError:
        cached = Path(constants.HF_HUB_CACHE) / f"models--{weights.replace('/', '--')}"
        return NeededWeights(weights, cached, is_present=False)
    return NeededWeights(weights, Path(path), is_present=True)


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
                about = _parse_header((file.metadata() or {}).get(METADATA_KEY, "{}"), path)
                return {key: file.get_tensor(key) for key in file.keys()}, about  # noqa: SIM118
        with warnings.catch_warnings(action="ignore"):  # an old pickle format is no news
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as err:
        raise ModelError(
            f"{path}: refused, since reading it would run code that it holds or it is no "
            "checkpoint at all; save the net's state_dict() alone, best as .safetensors"
        ) from err
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
    reshaped = [key for key in own if key in state and state[key].shape != own[key].shape]
    misfits = [
        f"{keys[0]!r} is {what}"
        for keys, what in ((missing, "missing"), (unknown, "unknown"))
        if keys
    ]
    if reshaped:
        key = reshaped[0]
        misfits.append(f"{key!r} has shape {tuple(state[key].shape)}, not {tuple(own[key].shape)}")
    if misfits:
        count = len(missing) + len(unknown) + len(reshaped)
        raise ModelError(
            f"{source}: weights of another net; {', '.join(misfits)} ({count} keys do not fit)"
        )
    fitting = {key: state[key].to(own[key].dtype) for key in own if key in state}
    net.load_state_dict(fitting, strict=False)
