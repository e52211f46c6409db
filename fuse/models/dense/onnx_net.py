"""Dense parts in onnxruntime."""

from __future__ import annotations

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
    with redirect_stdout(io.StringIO()):  # where it fails it prints the whole graph
        torch.onnx.export(
            module,
            (example,),
            folder / NET_FILE,
            input_names=[INPUT],
            dynamic_axes={INPUT: axes},
            dynamo=False,  # the newer exporter needs two packages more
        )


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
