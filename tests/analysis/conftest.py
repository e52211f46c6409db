"""What the tests of analyses share."""

import shutil
from pathlib import Path

import pytest

from fuse import api

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture(scope="session")
def kept_run(tmp_path_factory):
    """A run over three of the examples with kept predictions."""
    folder = tmp_path_factory.mktemp("images")
    for name in ("astronaut.jpg", "chelsea.jpg", "hopper.jpg"):
        shutil.copy(EXAMPLES / "images" / name, folder)
    out = folder / "out"
    truth = EXAMPLES / "annotations.json"
    api.run([str(folder)], out, device="cpu", keep_predictions=True, gt=truth)
    return out
