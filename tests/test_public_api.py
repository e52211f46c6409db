"""The names that fuse offers, and what importing it costs."""

import subprocess
import sys
from dataclasses import is_dataclass
from pathlib import Path

import pytest

import fuse

# What users may rely on. A name comes or goes here on purpose only: see CONTRIBUTING.md,
# "How a public name goes away".
PUBLIC_NAMES = [
    "BoxMasks",
    "Category",
    "FuseError",
    "ImageRecord",
    "Instances",
    "LabelSpace",
    "NamedImage",
    "PanopticPrediction",
    "PanopticQuality",
    "PanopticResult",
    "Pipeline",
    "RleMasks",
    "Segment",
    "SegmentInfo",
    "SemanticLogits",
    "SemanticPrediction",
    "__version__",
    "annotation_to_json",
    "api",
    "demo",
    "evaluate",
    "fuse_by_overlap",
    "load_space",
    "match_segments",
    "read_id_map",
    "read_image",
    "read_panoptic_json",
    "run",
    "summarize",
    "write_id_map",
    "write_panoptic_json",
]


def test_all_is_exact():
    assert fuse.__all__ == PUBLIC_NAMES


def test_every_name_can_be_had():
    for name in fuse.__all__:
        assert getattr(fuse, name) is not None


OWN_REPR = {"PanopticResult", "Evaluation"}  # tested where they are


def test_every_object_that_is_offered_has_a_short_repr():
    large = {name for name in fuse.__all__ + fuse.api.__all__ if is_dataclass(find(name))}
    assert len(large) > 20
    rows = {
        "Category",
        "ConvertResult",
        "DrawResult",
        "ExportResult",
        "PipelineEntry",
        "ProfileRow",
        "SegmentInfo",
        "Segment",
    }  # without arrays
    for name in large - rows:
        assert "__repr__" not in vars(find(name)) or name in OWN_REPR, name


def find(name):
    return getattr(fuse, name) if name in fuse.__all__ else getattr(fuse.api, name)


def test_names_are_offered_for_completion():
    assert set(fuse.__all__) <= set(dir(fuse))


def test_help_loads_no_heavy_package():
    code = (
        "import sys; from click.testing import CliRunner; from fuse.cli import main;"
        "result = CliRunner().invoke(main, ['--help']); assert result.exit_code == 0;"
        "heavy = {'torch', 'numba', 'cv2', 'numpy', 'rich'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


USERS_SCRIPT = """
from collections.abc import Generator
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import torch
from PIL import Image

import fuse
from fuse import Instances, PanopticQuality, PanopticResult, Pipeline, Segment

pipeline = Pipeline.load("tiny", device="auto")
result = pipeline("a.jpg")
assert_type(result, PanopticResult)
assert_type(pipeline(Path("a.jpg")), PanopticResult)
assert_type(pipeline(Image.new("RGB", (4, 4))), PanopticResult)
assert_type(pipeline(np.zeros((4, 4, 3), np.uint8)), PanopticResult)
assert_type(pipeline(torch.zeros(3, 4, 4)), PanopticResult)
assert_type(pipeline(["a.jpg", Path("b.jpg")], batch_size=8), list[PanopticResult])
assert_type(pipeline(Path().glob("*.jpg")), Generator[PanopticResult, None, None])
assert_type(result[0], Segment)
assert_type(result["person"], PanopticResult)
assert_type(result[result.confidence > 0.5], PanopticResult)
assert_type([segment.score for segment in result], list[float | None])
assert_type(result.plot(alpha=0.5), Image.Image)
assert_type(result.save("a.png"), Path)
assert_type(result.to_coco(1, "a.jpg"), tuple[dict[str, Any], bytes])
space = fuse.load_space("coco_super")
assert_type(Instances.from_masks(np.zeros((0, 4, 4), bool), [], [], space), Instances)
metric = PanopticQuality(space=space)
metric.update(result, result)
assert_type((metric + metric).compute().all.pq, float)
assert_type(fuse.evaluate("gt.json", "out").result.things.pq, float)
fuse.api.compare(["out", "out2"], Path("gt.json")).runs[0].name.upper()
pipeline(7)  # E
Pipeline.lod("tiny")  # E
"""


@pytest.mark.slow
def test_type_checkers_see_the_names_that_are_loaded_late(tmp_path):
    """In a stranger's script, in strict mode: the types are there, and mistakes are found."""
    path = tmp_path / "script.py"
    path.write_text(USERS_SCRIPT, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", path]
    root = Path(__file__).parents[1]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    lines = USERS_SCRIPT.splitlines()
    wrong = {number for number, line in enumerate(lines, start=1) if line.endswith("# E")}
    found = {int(line.split(":")[1]) for line in result.stdout.splitlines() if ": error:" in line}
    assert found == wrong, result.stdout
