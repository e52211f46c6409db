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
import openvino.preprocess

Array = npt.NDArray[np.float32]

NET_FILE = "net.xml"
HINTS = {"float32": "f32", "bfloat16": "bf16"}


def write_net(module: nn.Module, example: Tensor, folder: Path) -> None:
    """Convert a module that answers with a tuple; all sizes but its channels stay open.

    Its grids go in and come out with their channels last, as torch and OpenVINO's own layers have
    them: another order would be two copies of each.
    """
    net = openvino.convert_model(module, example_input=example)
    layouts = openvino.preprocess.PrePostProcessor(net)
    for place in [layouts.input(), *map(layouts.output, _list_grids(net))]:
        place.model().set_layout(openvino.Layout("NCHW"))
        place.tensor().set_layout(openvino.Layout("NHWC"))
    openvino.save_model(layouts.build(), folder / NET_FILE, compress_to_fp16=False)


def _list_grids(net: Any) -> list[int]:  # noqa: ANN401 - openvino has no stubs for it
    """Which outputs of a net are (N, C, H, W)."""
    ranks = [output.partial_shape.rank for output in net.outputs]
    return [i for i, rank in enumerate(ranks) if rank.is_static and rank.get_length() == 4]


class _Net:
    """A compiled net; each thread has a request of its own."""

    def __init__(self, compiled: Any) -> None:  # noqa: ANN401 - openvino has no stubs for it
        self._compiled = compiled
        self._grids = frozenset(_list_grids(compiled))
        self._of_thread = threading.local()

    def __call__(self, inputs: Array) -> Sequence[Array]:
        """The answers to (N, C, H, W), in memory of their own."""
        request = getattr(self._of_thread, "request", None)
        if request is None:
            request = self._of_thread.request = self._compiled.create_infer_request()
        channels_last = np.ascontiguousarray(inputs.transpose(0, 2, 3, 1))
        answers = request.infer([channels_last], share_inputs=True, share_outputs=False)
        return [
            answers[output].transpose(0, 3, 1, 2) if index in self._grids else answers[output]
            for index, output in enumerate(self._compiled.outputs)
        ]


def open_net(folder: Path, precision: str, threads: int, lanes: int) -> _Net:
    """The net of a folder, on as many threads per lane."""
    settings = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "INFERENCE_NUM_THREADS": threads * lanes,
        "NUM_STREAMS": lanes,
        "ENABLE_CPU_PINNING": False,  # several processes of a run would share the same cores
    }
    return _Net(openvino.Core().compile_model(folder / NET_FILE, "CPU", settings))
