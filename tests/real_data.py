"""Real images, annotations and nets that the project does not ship.

`FUSE_TEST_DATA` names their folder; without it, that is `shared/data` beside the project. It
holds `coco-panoptic/annotations` and `weights`. Where it is missing, tests that need it are
skipped.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[2] / "shared" / "data"
REAL_DATA = Path(os.environ.get("FUSE_TEST_DATA", BESIDE))
COCO_ANNOTATIONS = REAL_DATA / "coco-panoptic" / "annotations"
COCO_IMAGES = REAL_DATA / "coco-panoptic" / "images"
REAL_NETS = REAL_DATA / "weights"


def needs_real_data(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that is skipped where there is no real data."""
    skip = pytest.mark.skipif(not REAL_DATA.is_dir(), reason="no real images (FUSE_TEST_DATA)")
    return pytest.mark.shared_data(skip(test))
