"""Dense parts in onnxruntime."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor, nn

Array = npt.NDArray[np.float32]

NET_FILE = "net.onnx"
INPUT = "images"
ERRORS_ONLY = 3  # onnxruntime's log level


def write_net(module: nn.Module, example: Tensor, folder: Path) -> None:
    """Export a module that answers with a tuple; all sizes but its channels stay open."""
    axes = {0: "batch"} | {axis: f"side{axis}" for axis in range(2, example.ndim)}
    # Traced before the export: a net that knows of it may take other operators for it.
    copied = _replace_pools(copy.deepcopy(module))
    traced = torch.jit.trace(copied, example)  # type: ignore[no-untyped-call]
    with redirect_stdout(io.StringIO()):  # where it fails it prints the whole graph
        torch.onnx.export(
            traced,
            (example,),
            folder / NET_FILE,
            input_names=[INPUT],
            dynamic_axes={INPUT: axes},
            dynamo=False,  # the newer exporter needs two packages more
        )


class _MatrixPool(nn.Module):
    """Adaptive average pooling as two products with matrices: ONNX has no operator for it."""

    def __init__(self, cells: tuple[int, int]) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (N, C, H, W) to the means (N, C, *cells)."""
        rows, columns = map(_make_means, inputs.shape[2:], self.cells)
        return rows @ inputs @ columns.T


def _make_means(length: int, cells: int) -> Tensor:
    """The matrix (cells, length) that takes the means of as many spans, as torch has them."""
    place, cell = torch.arange(length), torch.arange(cells)[:, None]
    start, stop = cell * length // cells, ((cell + 1) * length + cells - 1) // cells
    return ((start <= place) & (place < stop)).float() / (stop - start)


def _replace_pools(module: nn.Module) -> nn.Module:
    for owner in list(module.modules()):
        for name, child in owner.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d):
                size = child.output_size
                rows, columns = size if isinstance(size, tuple) else (size, size)
                if rows is not None and columns is not None:
                    setattr(owner, name, _MatrixPool((rows, columns)))
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
        answers: Sequence[Array] = session.run(None, {INPUT: inputs})
        return answers

    return run
