"""RoIAlign over the levels of a pyramid: a kernel of ours on a CPU, torchvision's elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import MultiScaleRoIAlign, roi_align

from fuse.ops.roi_align import align_regions


def pool_regions(
    levels: Sequence[Tensor],
    regions: Tensor,
    level_index: Tensor,
    scales: Sequence[float],
    size: Sequence[int],
    *,
    samples: int,
    aligned: bool,
) -> Tensor:
    """What lies inside regions, each taken from a level of its own.

    Args:
        levels: (N, C, h, w) each, of one format.
        regions: (K, 5), the index of the image, then xyxy in pixels of the input.
        level_index: int64 (K,), the level of each region.
        scales: cells per pixel of each level.
        size: (height, width) of the answer in bins.
        samples: per bin along each axis; 0 for as many as the bin has cells.
        aligned: whether pixel centres lie on halves.

    Returns:
        (K, C, height, width), with the bits of `torchvision.ops.roi_align`.
    """
    pooled = levels[0].new_empty(len(regions), levels[0].shape[1], *size)
    is_kernel_s = (pooled.device.type, pooled.dtype) == ("cpu", torch.float32)
    is_kernel_s = is_kernel_s and not torch.is_grad_enabled()
    for index, (cells, scale) in enumerate(zip(levels, scales, strict=True)):
        (rows,) = (level_index == index).nonzero(as_tuple=True)
        if not is_kernel_s:
            pooled[rows] = roi_align(cells, regions[rows], size, scale, samples, aligned)
        elif len(rows):
            align_regions(
                cells.detach().permute(0, 2, 3, 1).contiguous().numpy(),
                regions.detach().contiguous().numpy(),
                rows.numpy(),
                np.float32(scale),
                np.float32(0.5 if aligned else 0),
                samples,
                pooled.numpy(),
            )
    return pooled


class RegionPooler(nn.Module):
    """A `MultiScaleRoIAlign` of torchvision, which says what is pooled from where, done faster."""

    def __init__(self, pooler: MultiScaleRoIAlign) -> None:
        super().__init__()
        self.pooler = pooler

    def forward(
        self,
        features: Mapping[str, Tensor],
        boxes: list[Tensor],
        image_sizes: list[tuple[int, int]],
    ) -> Tensor:
        """Pool boxes (K, 4) of each image from levels by name (N, C, h, w), as torchvision does."""
        pooler = self.pooler
        # It looks at levels and image sizes when it is first called, and notes this last.
        if pooler.map_levels is None:
            pooler(features, [each[:0] for each in boxes], image_sizes)
        levels = [features[name] for name in pooler.featmap_names if name in features]
        numbers = [torch.full_like(each[:, :1], i) for i, each in enumerate(boxes)]
        regions = torch.cat((torch.cat(numbers), torch.cat(boxes)), dim=1)
        return pool_regions(
            levels,
            regions,
            pooler.map_levels(boxes),
            pooler.scales,
            pooler.output_size,
            samples=max(pooler.sampling_ratio, 0),
            aligned=False,
        )
