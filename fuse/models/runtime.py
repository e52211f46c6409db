"""Where and how nets run: device, number format, batches of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from fuse.errors import ConfigError
from fuse.models.fast_layers import ReLU6Conv2d
from fuse.types import NamedImage, UInt8Array

PRECISIONS = ("auto", "float32", "bfloat16", "float16")

Answer = TypeVar("Answer")


DENSE_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, ReLU6Conv2d)
# How CUDA's libraries and other devices say that memory is full, in a plain RuntimeError.
MEMORY_SIGNS = ("out of memory", "STATUS_ALLOC_FAILED", "can't allocate memory")


def choose_device(device: str) -> str:
    """Turn ``auto`` into ``cuda:0`` where there is one, else ``cpu``; check any other.

    Raises:
        ConfigError: the device is unknown or not on this machine.
    """
    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device).cpu()  # of the device meta nothing comes back
    except (RuntimeError, AssertionError) as err:
        found = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        raise ConfigError(
            f"device {device!r} cannot be used; this machine has {', '.join(found)}"
        ) from err
    return "cpu" if torch.device(device).type == "cpu" else device


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware (AVX512-BF16, AMX or Arm BF16)."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    names = ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16")
    return any(capabilities.get(name) for name in names)


def autocast(device: str, precision: str) -> AbstractContextManager[None]:
    """The context a net runs in.

    Args:
        device: ``cpu``, ``cuda:0``, ...
        precision: ``auto`` takes float16 on CUDA and bfloat16 on processors that have it.

    Raises:
        ConfigError: the precision is unknown.
    """
    dtype = choose_dtype(device, precision)
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=dtype)


def choose_dtype(device: str, precision: str) -> torch.dtype:
    """The number format of a net's dense layers; see `autocast`."""
    if precision not in PRECISIONS:
        raise ConfigError(f"precision {precision!r} is none of {', '.join(PRECISIONS)}")
    kind = torch.device(device).type
    if precision == "auto":
        if kind == "cuda":
            precision = "float16"
        else:
            precision = "bfloat16" if kind == "cpu" and has_fast_bfloat16() else "float32"
    dtype: torch.dtype = getattr(torch, precision)
    return dtype


def cast_layers(net: nn.Module, device: str, precision: str) -> None:
    """Put the weights of dense layers into the format that `autocast` would cast them to.

    It does so at every call, as it remembers a cast of weights that are trained only.
    """
    dtype = choose_dtype(device, precision)
    for module in net.modules():
        if type(module) in DENSE_LAYERS:  # one derived from them may do more with its weights
            module.to(dtype)


def count_threads() -> int:
    """How many threads torch gives a layer on the CPU: the cores, or OMP_NUM_THREADS."""
    return torch.get_num_threads()


@contextmanager
def limit_threads(count: int) -> Iterator[None]:
    """Give layers on the CPU that many threads each, whichever thread runs them."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def use_threads(count: int) -> None:
    """Give layers on the CPU that many threads each, where this thread of Python runs them."""
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


@contextmanager
def keep_threads() -> Iterator[None]:
    """Afterwards new threads of Python have as many threads of torch as this one has before."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it was raised from, says that a device's memory is full."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError):
            return True
        if isinstance(error, RuntimeError) and any(sign in str(error) for sign in MEMORY_SIGNS):
            return True
        error = error.__cause__ or error.__context__
    return False


def peak_device_memory(device: str) -> int | None:
    """Most bytes that tensors held on a CUDA device at a time; None on others."""
    if torch.device(device).type != "cuda":
        return None
    return int(torch.cuda.max_memory_allocated(device))


class FastModule(nn.Module):
    """A part of a net that runs in the fast number format and answers in float32."""

    def __init__(self, module: nn.Module, device: str, precision: str) -> None:
        super().__init__()
        cast_layers(module, device, precision)
        self.module = module
        self._autocast = autocast(device, precision)

    def forward(self, inputs: Tensor) -> Tensor | dict[str, Tensor]:
        """The module's answer: a tensor, or tensors by name."""
        with self._autocast:
            answer: Tensor | dict[str, Tensor] = self.module(inputs)
        if isinstance(answer, dict):
            return {name: tensor.float() for name, tensor in answer.items()}
        return answer.float()


Net = TypeVar("Net", bound=nn.Module)


def place(net: Net, device: str) -> Net:
    """The net ready for inference on a device, in the memory layout its convolutions like."""
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    # torch's stubs know the two arguments only one by one.
    return net.eval().to(device).to(memory_format=torch.channels_last)


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """An array as a tensor on the CPU, without a copy."""
    return torch.from_numpy(array)


def to_tensor(image: UInt8Array, device: str) -> Tensor:
    """An image (H, W, 3) as float32 (3, H, W) in 0..1 on the device; bytes cross the bus."""
    writable = np.require(
        image, requirements=("C", "W")
    )  # torch warns of arrays it must not change
    return torch.from_numpy(writable).to(device).permute(2, 0, 1).float().div_(255)


def normalize_(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Images (..., 3, H, W) less a mean and by a std per channel, in their own memory.

    Where the three channels lie last in memory a row of pixels is one row of numbers, which torch
    works off six times faster, with the same bits.
    """
    rows = images.movedim(-3, -1)
    center, spread = images.new_tensor(mean), images.new_tensor(std)
    if rows.is_contiguous():
        width = rows.shape[-2]
        rows.flatten(-2).sub_(center.repeat(width)).div_(spread.repeat(width))
    else:
        rows.sub_(center).div_(spread)
    return images


def predict_by_size(
    images: Sequence[NamedImage], predict: Callable[[list[NamedImage]], list[Answer]]
) -> list[Answer]:
    """Call predict once per image size, so that no image is padded to its neighbours' size.

    An image's answer then does not depend on what it shares a batch with.
    """
    by_size: dict[tuple[int, int], list[int]] = {}
    for index, image in enumerate(images):
        by_size.setdefault(image.size, []).append(index)
    answers: dict[int, Answer] = {}
    for indices in by_size.values():
        answers.update(zip(indices, predict([images[i] for i in indices]), strict=True))
    return [answers[index] for index in range(len(images))]
