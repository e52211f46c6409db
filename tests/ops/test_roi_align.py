"""RoIAlign's kernel against torchvision's, on levels of a few cells; the bits: see tests/models."""

import numpy as np
import pytest
import torch
from torchvision.ops import roi_align

from fuse.ops.roi_align import align_regions

REGIONS = [[0, 1, 2, 9, 11], [1, -3, -2, 5, 30], [0, 4, 4, 4.5, 4.2], [1, 0, 0, 12, 10]]


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("samples", [0, 2])
def test_equals_torchvision(aligned, samples):
    rng = np.random.default_rng(2)
    cells = rng.normal(size=(2, 5, 6, 3)).astype(np.float32)
    regions = np.array(REGIONS, dtype=np.float32)
    pooled = np.full((4, 3, 2, 3), np.nan, dtype=np.float32)
    rows = np.array([3, 0, 1], dtype=np.int64)
    shift = np.float32(0.5 if aligned else 0)
    align_regions(cells, regions, rows, np.float32(0.5), shift, samples, pooled)
    expected = roi_align(
        torch.from_numpy(cells).permute(0, 3, 1, 2),
        torch.from_numpy(regions),
        (2, 3),
        0.5,
        samples or -1,
        aligned,
    )
    np.testing.assert_allclose(pooled[rows], expected.numpy()[rows], atol=1e-6)
    assert np.isnan(pooled[2]).all()  # a row that was not asked for
