"""Checkpoints of detectron2: reading them safely, and their keys.

A ``.pkl`` checkpoint is a pickle of NumPy arrays by name. Unpickling calls whatever the file
names, so `ArrayUnpickler` knows plain containers and arrays of numbers, and refuses all else.
The arrays are built here, not by NumPy's own unpickling: that trusts the item types which a
file describes, and pointers declared as numbers would read and write any memory.
"""

from __future__ import annotations

import math
import pickle  # nosec B403
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fuse.errors import ModelError, first_line, shorten
from fuse.models.weights.loading import NetHeader, check_file, read_weights
from fuse.models.weights.pickle_scan import BoundedFile, scan_pickle

# The first modules of detectron2's nets, and of ours.
ROOTS = (
    *("backbone", "proposal_generator", "roi_heads", "sem_seg_head"),
    *("semantic_head", "rpn_head", "box_head", "box_predictor", "mask_head", "mask_predictor"),
)
LEVELS = (2, 3, 4, 5)  # of the pyramid; level k has stride 2**k
# detectron2's keys to ours, which are those of torchvision's modules; replaced in this order.
RENAMES = (
    ("backbone.bottom_up.stem.", "backbone.body."),
    *((f"backbone.bottom_up.res{k}.", f"backbone.body.layer{k - 1}.") for k in LEVELS),
    *((f".conv{place}.norm.", f".bn{place}.") for place in (1, 2, 3)),
    (".shortcut.norm.", ".downsample.1."),
    (".shortcut.", ".downsample.0."),
    *((f"backbone.fpn_lateral{k}.", f"backbone.fpn.inner_blocks.{k - 2}.0.") for k in LEVELS),
    *((f"backbone.fpn_output{k}.", f"backbone.fpn.layer_blocks.{k - 2}.0.") for k in LEVELS),
    *(
        (f"sem_seg_head.p{k}.{place}.{old}", f"semantic_head.branches.{k - 2}.{place}.{new}")
        for k in LEVELS
        for place in (0, 2, 4)  # an upsampling follows each convolution
        for old, new in (("norm.", "1."), ("", "0."))
    ),
    ("sem_seg_head.", "semantic_head."),
    ("proposal_generator.rpn_head.conv.", "rpn_head.conv.0.0."),
    ("proposal_generator.rpn_head.objectness_logits.", "rpn_head.cls_logits."),
    ("proposal_generator.rpn_head.anchor_deltas.", "rpn_head.bbox_pred."),
    ("roi_heads.box_head.fc1.", "box_head.fc6."),
    ("roi_heads.box_head.fc2.", "box_head.fc7."),
    ("roi_heads.box_predictor.", "box_predictor."),
    *((f"roi_heads.mask_head.mask_fcn{n}.", f"mask_head.{n - 1}.0.") for n in (1, 2, 3, 4)),
    ("roi_heads.mask_head.deconv.", "mask_predictor.conv5_mask."),
    ("roi_heads.mask_head.predictor.", "mask_predictor.mask_fcn_logits."),
)
# Older files hold the anchors of each level too; they follow from the configuration.
ANCHORS = "proposal_generator.anchor_generator.cell_anchors."

MAX_SIDES = 32
NUMBER_KINDS = "biuf"  # truth values, integers, floats
UNPICKLING_ERRORS = (
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
)


def read_header(path: Path) -> NetHeader:
    """What a checkpoint says of itself; detectron2's say nothing."""
    return read_weights(path)[1] if path.suffix == ".safetensors" else NetHeader()


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by the names of `net.PanopticFpnNet`.

    Args:
        path: ``.pkl`` as detectron2 publishes it, or what `read_weights` reads.

    Raises:
        ModelError: the file is no such thing, or reading it would run code.
    """
    check_file(path)
    state = _read_pickle(path) if path.suffix == ".pkl" else read_weights(path, ROOTS)[0]
    return {rename_key(key): state[key] for key in state if not key.startswith(ANCHORS)}


def rename_key(key: str) -> str:
    """Our name of a tensor that detectron2 names so.

    >>> rename_key("backbone.bottom_up.res4.0.conv2.norm.bias")
    'backbone.body.layer3.0.bn2.bias'
    """
    for old, new in RENAMES:
        key = key.replace(old, new)
    return key


class ArrayUnpickler(pickle.Unpickler):
    """Reads plain containers, text and numeric arrays; raises UnpicklingError for all else.

    Arrays come out as `PickledArray`. Text of Python 2 is read as Latin-1, in which it keeps
    the bytes of arrays.
    """

    def __init__(self, file: Any) -> None:  # noqa: ANN401 - any binary file
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """What stands in for a class or function that the file names."""
        # NumPy 2 moved its core to numpy._core.
        stand_in = STAND_INS.get((module.replace("numpy._core", "numpy.core"), name))
        if stand_in is None:
            raise pickle.UnpicklingError(f"it would call {shorten(f'{module}.{name}')}")
        # A new function each time: a pickle may set attributes of what it is given.
        return lambda *arguments: stand_in(*arguments)

    def persistent_load(self, pid: Any) -> NoReturn:  # noqa: ANN401 - as the base class has it
        """Refuse a reference to something outside the file."""
        raise pickle.UnpicklingError("it refers to something outside the file")


class PickledType:
    """Stands in for ``numpy.dtype``: a number of 1 to 8 bytes, nothing that holds a pointer."""

    def __init__(self, code: str, *_: object) -> None:
        self.dtype = np.dtype(_plain(code, str))
        if self.dtype.kind not in NUMBER_KINDS or self.dtype.itemsize > 8:
            raise pickle.UnpicklingError(f"it holds an array of {shorten(code)!r}, not of numbers")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take the byte order from (version, byte order, ...); the rest describes no number."""
        self.dtype = self.dtype.newbyteorder(_plain(state[1], str))


class PickledArray:
    """Stands in for ``numpy.ndarray``.

    Attributes:
        array: the numbers, in this machine's byte order.
    """

    array: npt.NDArray[Any] = np.empty(0)  # until its state comes

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Fill in (version, shape, item type, whether column-major, bytes)."""
        _, shape, item_type, is_fortran, content = state
        self._fill(content, item_type, shape, "F" if is_fortran else "C")

    @classmethod
    def from_buffer(
        cls, content: bytes, item_type: object, shape: tuple[int, ...], order: str
    ) -> PickledArray:
        """An array as protocol 5 has it."""
        made = cls()
        made._fill(content, item_type, shape, order)
        return made

    def _fill(self, content: object, item_type: object, shape: object, order: str) -> None:
        if isinstance(content, str):
            content = content.encode("latin1")  # a string of Python 2
        dtype = _plain(item_type, PickledType).dtype
        sides = [_plain(side, int) for side in _plain(shape, tuple)[: MAX_SIDES + 1]]
        numbers = np.frombuffer(_plain(content, bytes, bytearray), dtype)
        is_small = len(sides) <= MAX_SIDES and all(0 <= side < 2**63 for side in sides)
        if not is_small or len(numbers) != math.prod(sides):
            raise pickle.UnpicklingError(f"an array of other sides has {len(numbers)} items")
        ordered = numbers.reshape(sides, order="F" if order == "F" else "C")
        self.array = np.ascontiguousarray(ordered, dtype.newbyteorder("=")).copy()


class _PlainDict(dict[Any, Any]):
    """Stands in for ``OrderedDict``, whose order every dict keeps; its attributes are dropped."""

    def __setstate__(self, state: object) -> None:
        pass


def _start_array(*_: object) -> PickledArray:
    """Stands in for NumPy's ``_reconstruct``: the array's state follows."""
    return PickledArray()


def _encode(text: str, encoding: str) -> bytes:
    """Stands in for ``codecs.encode``, by which protocol 2 writes bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError("it holds bytes that are not encoded as Latin-1")
    return text.encode(encoding)


def _no_bytes() -> bytes:
    """Stands in for ``bytes``, by which protocol 2 writes none."""
    return b""


STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _start_array,
    ("numpy.core.numeric", "_frombuffer"): PickledArray.from_buffer,
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): PickledType,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("collections", "OrderedDict"): _PlainDict,
}


def _plain(value: Any, *kinds: type[Any]) -> Any:  # noqa: ANN401 - of one of the kinds
    """The value, which must be of one of these kinds; a pickle may put anything anywhere."""
    if not isinstance(value, kinds):
        raise pickle.UnpicklingError(f"it holds {type(value).__name__} in place of an array")
    return value


def _read_pickle(path: Path) -> dict[str, Tensor]:
    """The arrays of a ``.pkl`` checkpoint by name, as tensors."""
    try:
        with path.open("rb") as file:
            scan_pickle(BoundedFile(file, path.stat().st_size))
            file.seek(0)
            checkpoint = ArrayUnpickler(file).load()
    except pickle.UnpicklingError as err:
        raise ModelError(
            f"{path}: refused, since {err}; only arrays by name are read: save the net's "
            "state_dict() as .safetensors or .pth instead"
        ) from err
    except UNPICKLING_ERRORS as err:
        raise ModelError(f"{path}: not a checkpoint that can be read ({first_line(err)})") from err
    arrays = checkpoint.get("model", checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(arrays, dict) or not all(
        isinstance(array, PickledArray) for array in arrays.values()
    ):
        raise ModelError(f"{path}: holds no checkpoint of detectron2 (arrays by name)")
    return {str(key): torch.from_numpy(array.array) for key, array in arrays.items()}
