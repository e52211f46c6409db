"""Which runtime is chosen: by the table and what is installed, or as asked for."""

import pytest
import torch

from fuse.errors import ConfigError
from fuse.models.dense import plan


@pytest.fixture
def machine(monkeypatch):
    """Sets the processor's features and the installed packages."""

    def set_up(*features, installed=("openvino", "onnxruntime")):
        names = dict.fromkeys(features, True)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: names, raising=False)
        monkeypatch.setattr(plan, "find_spec", lambda name: name in installed or None)

    return set_up


def test_auto_takes_what_was_measured_faster(machine):
    machine("avx512_f", "avx512_bf16")
    planned = plan.plan_dense("mask-rcnn", "cpu", "auto")
    assert (planned.runtime, planned.precision) == ("openvino", "bfloat16")
    assert not planned.is_asked


@pytest.mark.parametrize(
    ("kind", "device", "features", "installed"),
    [
        ("semantic", "cpu", ("avx512_bf16", "avx512_f"), ()),  # the extra is not there
        ("semantic", "cpu", ("avx2",), ("openvino",)),  # nobody measured this processor
        ("unheard-of", "cpu", ("avx512_bf16",), ("openvino",)),
    ],
)
def test_auto_is_torch_where_nothing_is_known_to_be_faster(
    machine, kind, device, features, installed
):
    machine(*features, installed=installed)
    assert plan.plan_dense(kind, device, "auto").runtime == "torch"


def test_auto_is_torch_on_a_gpu(machine):
    machine("avx512_bf16")
    assert plan.plan_dense("semantic", "cuda:0", "auto").runtime == "torch"


def test_onnx_is_float32_unless_told_otherwise(machine):
    machine("avx512_bf16")
    assert plan.plan_dense("semantic", "cpu", "auto", "onnx").precision == "float32"


@pytest.mark.parametrize(
    ("arguments", "installed", "message"),
    [
        (("cpu", "auto", "tensorrt"), (), "'tensorrt' is none of auto, torch, openvino, onnx"),
        (("cpu", "auto", "openvino"), (), r"pip install 'panoptic-fuse\[openvino\]'"),
        (("cuda:0", "auto", "openvino"), ("openvino",), "on the CPU, not on cuda:0"),
        (("cpu", "float16", "openvino"), ("openvino",), "only float32 and bfloat16"),
        (("cpu", "bfloat16", "onnx"), ("onnxruntime",), "only float32"),
    ],
)
def test_what_cannot_be_is_refused(machine, arguments, installed, message):
    machine(installed=installed)
    with pytest.raises(ConfigError, match=message):
        plan.plan_dense("semantic", *arguments)


def test_every_row_of_the_table_can_be():
    rows = plan._read_table()
    assert rows
    for row in rows:
        assert row["runtime"] in plan.RUNTIMES
        assert row["precision"] in plan.PRECISIONS[row["runtime"]]
    keys = [(row["kind"], row["precision"], row["feature"]) for row in rows]
    assert len(set(keys)) == len(keys)
