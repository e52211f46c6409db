"""Reading weights without running what they hold, and loading them into a net."""

from __future__ import annotations

import hashlib
import pickle  # nosec B403
import textwrap
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from zipfile import is_zipfile

import msgspec
import torch
from safetensors import safe_open
from torch import Tensor, nn

from fuse.errors import ModelError, ModelNotFoundError, first_line
from fuse.io.files import refuse_special
from fuse.models.weights.checkpoint_data import list_data_classes
from fuse.models.weights.checkpoints import find_state
from fuse.models.weights.class_names import find_class_names
from fuse.models.weights.pickle_scan import ZIP_START, check_size, scan_checkpoint
from fuse.models.weights.sources import STATE_SUFFIXES, list_state_files

ADVICE = "save the net's state_dict() alone, best as .safetensors"
METADATA_KEY = "fuse"  # entry of a safetensors header that tells how to use the file
LONGEST_NAMES = 200  # characters of the classes that a refused file names
COUNTER = ".num_batches_tracked"  # a batch norm's count of training steps, no matter here


class NetHeader(msgspec.Struct, frozen=True):
    """What a weights file says of its net: the ``fuse`` entry of a safetensors header, as JSON.

    Attributes:
        architecture, label_space, mean, std, min_size, max_size: as in a preset.
        category_ids: of each class of the net, 0 = none.
        class_names: of each class of the net, of any weights file.
    """

    architecture: str | None = None
    label_space: str | None = None
    category_ids: list[int] | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    min_size: int | None = None
    max_size: int | None = None
    class_names: tuple[str, ...] | None = None


def find_state_files(folder: Path) -> list[Path]:
    """`list_state_files`, of which there must be one; else ModelNotFoundError."""
    found = list_state_files(folder)
    if not found:
        raise ModelNotFoundError(f"{folder}: holds no weights ({', '.join(STATE_SUFFIXES)})")
    return found


def hash_files(paths: Iterable[Path]) -> str:
    """SHA-256 of a file as hex, or of several one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        refuse_special(path)
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def check_file(path: Path) -> None:
    """Raise ModelError for what is plainly no weights file, before a reader says so less clearly.

    That is a folder, an empty file, what a server answered in place of the file, the pointer
    that Git LFS leaves in its stead, and a zip archive (as torch and its exports write) without
    its end.
    """
    if path.is_dir():
        raise ModelError(f"{path}: is a folder; name the weights file in it")
    refuse_special(path)
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


def read_weights(path: Path, roots: Sequence[str] = ()) -> tuple[dict[str, Tensor], NetHeader]:
    """Read a state dict and what the file says about itself; nothing in the file is run.

    Args:
        path: ``.safetensors``, or a torch checkpoint that holds a state dict, see `find_state`.
        roots: names of the net's first modules.

    Returns:
        Tensors by name, and what the file says of its net.

    Raises:
        ModelError: the file is no such thing.
    """
    check_file(path)
    try:
        if path.suffix == ".safetensors":
            state, about = _read_safetensors(path)
            return find_state(state, roots, str(path)), about
        check_pickles(path)
        with (
            warnings.catch_warnings(action="ignore"),  # an old pickle format is no news
            torch.serialization.safe_globals(list_data_classes()),
        ):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as err:
        raise refuse_pickle(path) from err
    except ModelError:
        raise
    except Exception as err:  # readers of damaged files raise almost anything
        raise ModelError(
            f"{path}: not a weights file that can be read ({first_line(err)})"
        ) from err
    about = NetHeader(class_names=find_class_names(checkpoint))
    state = find_state(checkpoint, roots, str(path))
    _check_tensors(path, state)
    return state, about


def check_pickles(path: Path) -> None:
    """Raise ModelError where reading a torch checkpoint would take far more than its size."""
    try:
        scan_checkpoint(path)
    except pickle.UnpicklingError as err:
        raise ModelError(f"{path}: refused, since {err}; {ADVICE}") from err


def _check_tensors(path: Path, state: dict[str, Tensor]) -> None:
    """Raise ModelError for tensors that share their numbers and are huge once they do not."""
    try:
        check_size(sum(value.numel() * value.element_size() for value in state.values()), path)
    except pickle.UnpicklingError as err:
        raise ModelError(f"{path}: refused, since {err}; {ADVICE}") from err


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], NetHeader]:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    try:
        about = msgspec.json.decode(metadata.get(METADATA_KEY, "{}"), type=NetHeader)
    except (msgspec.DecodeError, RecursionError) as err:
        raise ModelError(f"{path}: what its header says of the net is wrong ({err})") from err
    if about.class_names is None:
        about = msgspec.structs.replace(about, class_names=find_class_names(metadata))
    return state, about


def count_classes(state: dict[str, Tensor], head: str) -> int:
    """Classes of the last layer below a head in a state dict; 1, which fits nothing, without."""
    biases = [key for key in state if key.startswith(head) and key.endswith("bias")]
    return len(state[biases[-1]]) if biases else 1


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

    Args:
        source: of the weights.
        missing: keys that only the net has.
        unknown: keys that only the weights have.
        reshaped: keys with the shape in the weights and that in the net.

    >>> describe_misfits("a.pth", ["fc.bias"], [], [("fc.weight", (5, 3), (4, 3))])
    "a.pth: weights of another net; 'fc.bias' is missing, 'fc.weight' has shape (5, 3), not \
(4, 3) (2 keys do not fit)"
    """
    misfits = [f"{key!r} is missing" for key in missing[:1]]
    misfits += [f"{key!r} is unknown" for key in unknown[:1]]
    misfits += [
        f"{key!r} has shape {tuple(found)}, not {tuple(wanted)}"
        for key, found, wanted in reshaped[:1]
    ]
    count = len(missing) + len(unknown) + len(reshaped)
    return f"{source}: weights of another net; {', '.join(misfits)} ({count} keys do not fit)"


def refuse_pickle(path: Path) -> ModelError:
    """The error for a file that is more than tensors by name."""
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # noqa: BLE001 - no archive of torch
        named = []
    shown = textwrap.shorten(", ".join(sorted(named)), LONGEST_NAMES, placeholder=" ...")
    why = f" ({shown})" if named else ""
    return ModelError(
        f"{path}: refused, since reading it would run code that it holds{why} or it is no "
        f"checkpoint at all; {ADVICE}"
    )
