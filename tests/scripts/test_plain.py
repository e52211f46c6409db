"""The plain script does the work that `fuse run` does."""

from pathlib import Path

import numpy as np
import pytest

from fuse import Pipeline, read_image

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_it_makes_the_same_maps_but_along_borders(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    from benchmarks import plain

    script = plain.PlainScript()
    # The rule without what goes beyond the paper, in the script's number format.
    pipeline = Pipeline.load("tiny", [*plain.FLOAT32, "fusion.stuff_score=0"], "cpu")
    for path in sorted((ROOT / "examples" / "images").iterdir())[:3]:
        panoptic_map, segments = script.fuse(path)
        ours = pipeline(read_image(path))
        assert [s["category_id"] for s in segments] == [s.category_id for s in ours.segments_info]
        assert np.mean(panoptic_map == ours.panoptic_map) > 0.99
