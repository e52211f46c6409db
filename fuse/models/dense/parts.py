"""Dense parts of a net as modules: torch's in a fast number format, or converted ones."""

from __future__ import annotations

import re
import shutil
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fuse.errors import FuseWarning, ModelError, first_line
from fuse.models.dense.kept_nets import keep, make_key
from fuse.models.dense.plan import DensePlan
from fuse.models.runtime import FastModule, count_threads
from fuse.version import __version__

ADAPTERS = {"openvino": "fuse.models.dense.openvino_net", "onnx": "fuse.models.dense.onnx_net"}
# Of the largest value: how far a converted part may be from torch where both have float32.
TOLERANCE = 1e-3
FORM = "2"  # of what adapters write; counted up when one writes something else

# How openvino and torch's exporter say that an operator is missing.
_MISSING = (
    r"No conversion rule found for operations?:? ([^\n]*)",
    r"export of operator ([^\n.]*)",
    r"Exporting the operator '([^']*)'",
)

_opened: set[str] = set()  # runtimes that this process has used
_lanes: int | None = None  # that ask a net at once; by default as many as their threads allow

Array = npt.NDArray[np.float32]
Run = Callable[[Array], Sequence[Array]]


class Adapter(Protocol):
    """What a module of this package offers for a runtime."""

    def write_net(self, module: nn.Module, example: Tensor, folder: Path) -> None:
        """Convert a module that answers with a tuple of tensors."""

    def open_net(self, folder: Path, precision: str, threads: int, lanes: int) -> Run:
        """What runs a converted net, from several threads at once."""


@dataclass(frozen=True, slots=True)
class DensePart:
    """A part of a net that is to be sped up.

    Attributes:
        owner: the module that holds it.
        name: of the attribute there.
        shapes: two shapes of its input, (N, C, H, W): one to convert it by, the other to see
            that the converted part takes other sizes as well. None for a part that is torch's
            in any case: one whose input has another size at every call, for which other
            runtimes prepare anew each time.
    """

    owner: nn.Module
    name: str
    shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None


def speed_up(parts: Sequence[DensePart], plan: DensePlan) -> DensePlan:
    """Put the parts of a net into their plan's runtime or number format, each in its place.

    Returns:
        The plan, or that of torch where a part does not convert.

    Raises:
        ModelError: a part does not convert, and the runtime was asked for by name.
    """
    try:
        fast = [_make_fast(part, plan) for part in parts]
    except NotConvertedError as err:
        if plan.is_asked:
            raise ModelError(f"{err}; take runtime torch") from err
        warnings.warn(FuseWarning(f"{err}; torch runs the net"), stacklevel=2)
        plan = replace(plan, runtime="torch")
        fast = [_make_fast(part, plan) for part in parts]
    for part, module in zip(parts, fast, strict=True):
        setattr(part.owner, part.name, module)
    return plan


def _make_fast(part: DensePart, plan: DensePlan) -> nn.Module:
    module: nn.Module = getattr(part.owner, part.name)
    if plan.runtime == "torch" or part.shapes is None:
        return FastModule(module, plan.device, plan.precision)
    return ConvertedModule(module, part.shapes, plan)


def has_opened_runtime() -> bool:
    """Whether other runtimes than torch have been at work here, which have threads of their own."""
    return bool(_opened)


def expect_lanes(count: int) -> None:
    """Open nets for so many threads at a time from now on."""
    global _lanes
    _lanes = count


class NotConvertedError(Exception):
    """A runtime cannot take a module, or answers something else with it."""


class _Answers(nn.Module):
    """A module whose answer is a tuple of tensors, whatever it was."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        answer = self.module(inputs)
        return tuple(answer.values()) if isinstance(answer, dict) else (answer,)


def _list_versions(module: nn.Module) -> list[str]:
    """The packages that the layers come from, with their versions: their code decides, too."""
    packages = {type(layer).__module__.partition(".")[0] for layer in module.modules()}
    versions = []
    for package in sorted(packages):
        with suppress(PackageNotFoundError):  # a file of somebody's own
            versions.append(f"{package} {version(package)}")
    return versions


class ConvertedModule(nn.Module):
    """A module that another runtime runs on the CPU.

    It is opened with its first input, as only then the threads and lanes of a run are known.

    Args:
        module: what it was, in float32; of no further use but for its parameters and for inputs
            without an item.
        shapes: see `DensePart`.
        plan: which runtime.

    Raises:
        NotConvertedError: the runtime cannot take it.
    """

    def __init__(
        self, module: nn.Module, shapes: Sequence[tuple[int, ...]], plan: DensePlan
    ) -> None:
        super().__init__()
        self.module = module
        self._plan = plan
        self._adapter: Adapter = import_module(ADAPTERS[plan.runtime])
        with torch.no_grad():
            answer = module(torch.zeros(shapes[0]))
        self._names = tuple(answer) if isinstance(answer, dict) else None
        self._all_threads = count_threads()
        self._opening = threading.Lock()
        self._run: Run | None = None

        def write(folder: Path) -> None:
            self._write(folder, shapes)

        about = (plan.runtime, plan.version, torch.__version__, __version__, FORM)
        key = make_key(module, *about, *_list_versions(module))
        self._folder, self._is_kept = keep(key, write)

    def __del__(self) -> None:
        if not getattr(self, "_is_kept", True):
            shutil.rmtree(self._folder, ignore_errors=True)

    def forward(self, inputs: Tensor) -> Tensor | dict[str, Tensor]:
        """The module's answer: a tensor, or tensors by name; float32."""
        if len(inputs) == 0:
            answer: Tensor | dict[str, Tensor] = self.module(inputs)
            return answer
        arrays = (self._run or self._open())(inputs.numpy())
        tensors = [torch.from_numpy(array) for array in arrays]
        return tensors[0] if self._names is None else dict(zip(self._names, tensors, strict=True))

    def _open(self) -> Run:
        """Open the net for as many lanes as the threads of a lane leave room for."""
        with self._opening:
            if self._run is None:
                threads = count_threads()
                lanes = _lanes or max(self._all_threads // threads, 1)
                _opened.add(self._plan.runtime)
                self._run = self._adapter.open_net(
                    self._folder, self._plan.precision, threads, lanes
                )
            return self._run

    def _write(self, folder: Path, shapes: Sequence[tuple[int, ...]]) -> None:
        """Convert the module and hold the result to it, in float32 and both sizes."""
        _opened.add(self._plan.runtime)
        examples = [_make_example(shape) for shape in shapes]
        what = f"{self._plan.runtime} {self._plan.version} cannot take {type(self.module).__name__}"
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of tracing; what they warn of is tested below
            expected = [_Answers(self.module)(example) for example in examples]
            try:
                self._adapter.write_net(_Answers(self.module).eval(), examples[0], folder)
                run = self._adapter.open_net(folder, "float32", 1, 1)
                answers = [run(example.numpy()) for example in examples]
            except Exception as err:  # converters raise anything
                raise NotConvertedError(f"{what} ({_explain(err)})") from err
        for wanted, found in zip(expected, answers, strict=True):
            for tensor, array in zip(wanted, found, strict=True):
                _check_same(tensor.numpy(), array, what)


def _explain(err: Exception) -> str:
    """Why a module does not convert: operators that the runtime lacks, where it names some."""
    for pattern in _MISSING:
        if found := re.search(pattern, str(err)):
            return f"it has no {found[1].strip()}"
    return first_line(err)


def _make_example(shape: tuple[int, ...]) -> Tensor:
    """Noise as a net's input has it, the same each time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _check_same(wanted: Array, found: npt.NDArray[Any], what: str) -> None:
    if wanted.shape != found.shape:
        raise NotConvertedError(f"{what} (answers {found.shape}, not {wanted.shape})")
    error = float(np.abs(wanted - found).max(initial=0))
    largest = float(np.abs(wanted).max(initial=0))
    if not error <= TOLERANCE * largest:
        raise NotConvertedError(f"{what} (answers are off by {error:.2g} of {largest:.2g})")
