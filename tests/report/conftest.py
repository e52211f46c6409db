"""A run of the shipped pipeline, made once for all tests of reports."""

import shutil
from pathlib import Path

import pytest

from fuse import api

TRUTH = Path(__file__).parent.parent.parent / "examples" / "annotations.json"


@pytest.fixture(scope="session")
def kept(tmp_path_factory):
    """A run over the examples with kept predictions, and the same fused with other thresholds."""
    folder = tmp_path_factory.mktemp("kept")
    images, run, other = folder / "images", folder / "run", folder / "other"
    shutil.copytree(TRUTH.parent / "images", images)
    api.run([str(images)], run, device="cpu", keep_predictions=True, gt=TRUTH)
    api.combine(other, predictions=run, score_threshold=0.2, stuff_area=0)
    return run, other
