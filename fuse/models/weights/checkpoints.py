"""The net's own tensors inside what trainers save: around them lie the trainer's wrappers.

A checkpoint of Lightning has them under ``state_dict`` with the names of the attribute that the
net was; DataParallel, `torch.compile` and FSDP put a word in front or in between; others have an
averaged copy beside them. What marks a net's tensors is its roots, the names of its first modules,
as ``encoder`` and ``decoder``: what stands before the first of these is a prefix and is taken off.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from fuse.errors import FuseWarning, ModelError

# Words that wrappers of torch put into the name of a module, wherever it stands.
WRAPPERS = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# A running average of the weights, which trainers evaluate; see timm and torchvision's references.
AVERAGED = re.compile(r"(?:^|[._])(?:ema|swa|averaged?)(?:[._]|$)")
USUAL_ENTRIES = ("state_dict", "model")  # where tensors that are nobody's known net are looked for
DEEPEST = 3  # entries inside entries


class _Copy(NamedTuple):
    """Tensors in one table of a checkpoint whose names share what stands before the net's roots.

    Attributes:
        path: the entries that lead to the table, none for the checkpoint itself.
        prefix: of the names, with its dot; empty where there is none.
        state: the tensors by the net's own names.
        table: all tensors of the table.
        wrapper: the first of `WRAPPERS` that was taken out of the names, None where none was.
    """

    path: tuple[str, ...]
    prefix: str
    state: dict[str, Tensor]
    table: dict[str, Tensor]
    wrapper: str | None

    @property
    def name(self) -> str:
        """Where it stands, for messages: ``state_dict: model.``."""
        return ": ".join(filter(None, (".".join(self.path), self.prefix))) or "itself"


def find_state(checkpoint: object, roots: Sequence[str], source: str) -> dict[str, Tensor]:
    """The tensors of a net by its own names, in a checkpoint of any trainer.

    What was taken off or left out is told in one `FuseWarning`.

    Args:
        checkpoint: what the file held.
        roots: names of the net's first modules; none where nothing is known of the net.
        source: the file, for messages.

    Raises:
        ModelError: there are no tensors by name, or those of several nets.
    """
    copies = [
        copy for path, table in _walk(checkpoint) for copy in _find_copies(path, table, roots)
    ]
    if not copies:
        return _take_usual_entry(checkpoint, source)
    chosen, others = _choose(copies, roots, source)
    # Without a prefix all belongs to the net, so that what is foreign is told as a misfit.
    left_out = [] if not chosen.prefix else [
        key for key in chosen.table if not WRAPPERS.sub("", key).startswith(chosen.prefix)
    ]  # fmt: skip
    said = []
    if chosen.prefix or chosen.wrapper:
        said.append(f"took off {chosen.prefix or chosen.wrapper!r} before the names of its tensors")
    if left_out:
        more = f" and {len(left_out) - 1} more" if len(left_out) > 1 else ""
        said.append(f"left out {left_out[0]!r}{more}")
    if others:
        said.append(f"took the averaged weights ({chosen.name}), not {others[0].name}")
    if said:
        warnings.warn(FuseWarning(f"{source}: {'; '.join(said)}"), stacklevel=2)
    return chosen.state


def _walk(
    value: object, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """Tables of tensors in a checkpoint, with the entries that lead there."""
    if not isinstance(value, Mapping):
        return
    tensors = {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if tensors:
        yield path, tensors
    if len(path) < DEEPEST:
        for key, entry in value.items():
            if isinstance(key, str):
                yield from _walk(entry, (*path, key))


def _find_copies(
    path: tuple[str, ...], table: dict[str, Tensor], roots: Sequence[str]
) -> list[_Copy]:
    """The tensors of a table by what stands before the roots in their names."""
    if not roots:
        return []
    first_root = re.compile(rf"(?<![^.])(?:{'|'.join(map(re.escape, roots))})\.")
    names = {key: WRAPPERS.sub("", key) for key in table}
    starts = {key: match.start() for key in table if (match := first_root.search(names[key]))}
    prefixes = {names[key][:start] for key, start in starts.items()}
    states: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, tensor in table.items():
        name = names[key]
        # A name without a root belongs to the longest prefix that it has.
        ends = [starts[key]] if key in starts else [*_find_ends(name), 0]
        prefix = next((name[:end] for end in ends if name[:end] in prefixes), None)
        if prefix is not None:
            states[prefix][name.removeprefix(prefix)] = tensor
    wrapped = next(filter(None, map(WRAPPERS.search, table)), None)
    wrapper = wrapped[0] if wrapped else None
    return [_Copy(path, prefix, state, table, wrapper) for prefix, state in states.items()]


def _find_ends(name: str) -> list[int]:
    """Where the modules in a name end, behind their dots, the last first."""
    return [match.end() for match in re.finditer(r"\.", name)][::-1]


def _choose(
    copies: Sequence[_Copy], roots: Sequence[str], source: str
) -> tuple[_Copy, list[_Copy]]:
    """The net's tensors, and whole copies of them beside these that were not taken.

    Raises:
        ModelError: several are whole, and not just one of them is an average.
    """

    def count_roots(copy: _Copy) -> int:
        return sum(any(key.startswith(f"{root}.") for key in copy.state) for root in roots)

    most = max(map(count_roots, copies))
    whole = [copy for copy in copies if count_roots(copy) == most]
    if len(whole) == 1:
        return whole[0], []
    averaged = [copy for copy in whole if AVERAGED.search(".".join((*copy.path, copy.prefix)))]
    if len(averaged) != 1:
        names = " and ".join(repr(copy.name) for copy in whole[:3])
        raise ModelError(f"{source}: holds several nets ({names}); save one of them alone")
    return averaged[0], [copy for copy in whole if copy is not averaged[0]]


def _take_usual_entry(checkpoint: object, source: str) -> dict[str, Tensor]:
    """The tensors of a checkpoint of which nothing is known."""
    for key in USUAL_ENTRIES:
        if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
    if not isinstance(checkpoint, Mapping) or not all(
        isinstance(value, Tensor) for value in checkpoint.values()
    ):
        raise ModelError(f"{source}: holds no state dict (tensors by name)")
    return dict(checkpoint)
