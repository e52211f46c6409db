"""The names that fuse offers, and what importing it costs."""

import subprocess
import sys
from dataclasses import is_dataclass

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
        assert "__repr__" not in vars(find(name)) or name == "PanopticResult", name


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
