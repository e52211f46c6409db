"""Dense parts in onnxruntime."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor, nn

Array = npt.NDArray[np.float32]

NET_FILE = "net.onnx"
INPUT = "images"
ERRORS_ONLY = 3  # onnxruntime's log level
STDERR = 2  # as the system numbers it

_muting = Lock()


def write_net(module: nn.Module, example: Tensor, folder: Path) -> None:
    """Export a module that answers with a tuple; all sizes but its channels stay open."""
    axes = {0: "batch"} | {axis: f"side{axis}" for axis in range(2, example.ndim)}
    # Traced before the export: a net that knows of it may take other operators for it.
    copied = _replace_pools(copy.deepcopy(module))
    traced = torch.jit.trace(copied, example)  # type: ignore[no-untyped-call]
    with _mute():
        torch.onnx.export(
            traced,
            (example,),
            folder / NET_FILE,
            input_names=[INPUT],
            dynamic_axes={INPUT: axes},
            dynamo=False,  # the newer exporter needs two packages more
        )


@contextmanager
def _mute() -> Iterator[None]:
    """Nothing on stderr: an export that fails prints the whole graph, whatever it is told."""
    # Into stderr, which unlike stdout keeps nothing back; no name of torch's that is promised.
    choose = getattr(torch._C, "_jit_set_onnx_log_output_stream", None)
    with _muting:  # what another thread would find in place of stderr is not stderr
        try:
            kept = os.dup(STDERR)
        except OSError:  # there is none
            yield
            return
        try:
            if choose:
                choose("stderr")
            with Path(os.devnull).open("wb") as nothing:
                os.dup2(nothing.fileno(), STDERR)
            yield
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)


def _pool(inputs: Tensor, cells: Sequence[int]) -> Tensor:
    """Adaptive average pooling of (N, C, H, W) as two products with matrices."""
    rows, columns = map(_make_means, inputs.shape[2:], cells)
    return rows @ inputs @ columns.T


def _make_means(length: int, cells: int) -> Tensor:
    """The matrix (cells, length) that takes the means of as many spans, as torch has them."""
    place, cell = torch.arange(length), torch.arange(cells)[:, None]
    start, stop = cell * length // cells, ((cell + 1) * length + cells - 1) // cells
    return ((start <= place) & (place < stop)).float() / (stop - start)


def _replace_pools(module: nn.Module) -> nn.Module:
    """The module, with other adaptive average pools: ONNX has no operator for them."""
    for layer in module.modules():
        if isinstance(layer, nn.AdaptiveAvgPool2d):
            size = layer.output_size
            cells = [cell for cell in (size if isinstance(size, tuple) else (size, size)) if cell]
            if len(cells) == 2:
                layer.forward = partial(_pool, cells=cells)  # type: ignore[method-assign]
    return module


def open_net(
    folder: Path, precision: str, threads: int, lanes: int
) -> Callable[[Array], Sequence[Array]]:
    """The net of a folder; each lane's thread works on its own input with so many threads."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = ERRORS_ONLY
    session = onnxruntime.InferenceSession(
        folder / NET_FILE, settings, providers=["CPUExecutionProvider"]
    )

    def run(inputs: Array) -> Sequence[Array]:
        answers: Sequence[Array] = session.run(None, {INPUT: np.ascontiguousarray(inputs)})
        return answers

    return run
