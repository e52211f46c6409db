"""Dense parts in OpenVINO, without the telemetry of its converter."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

# Importing openvino sends a usage report by this package, unless it is not there.
if "openvino" not in sys.modules:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment] # "not there" to Python

import openvino

Array = npt.NDArray[np.float32]

NET_FILE = "net.xml"
HINTS = {"float32": "f32", "bfloat16": "bf16"}


def write_net(module: nn.Module, example: Tensor, folder: Path) -> None:
    """Convert a module that answers with a tuple; all sizes but its channels stay open."""
    net = openvino.convert_model(module, example_input=example)
    openvino.save_model(net, folder / NET_FILE, compress_to_fp16=False)


class _Net:
    """A compiled net; each thread has a request of its own."""

    def __init__(self, compiled: Any) -> None:  # noqa: ANN401 - openvino has no stubs for it
        self._compiled = compiled
        self._of_thread = threading.local()

    def __call__(self, inputs: Array) -> Sequence[Array]:
        """The answers, in memory of their own."""
        request = getattr(self._of_thread, "request", None)
        if request is None:
            request = self._of_thread.request = self._compiled.create_infer_request()
        answers = request.infer([inputs], share_inputs=True, share_outputs=False)
        return [answers[output] for output in self._compiled.outputs]


def open_net(folder: Path, precision: str, threads: int, lanes: int) -> _Net:
    """The net of a folder, on as many threads per lane."""
    settings = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "INFERENCE_NUM_THREADS": threads * lanes,
        "NUM_STREAMS": lanes,
        "ENABLE_CPU_PINNING": False,  # several processes of a run would share the same cores
    }
    return _Net(openvino.Core().compile_model(folder / NET_FILE, "CPU", settings))
