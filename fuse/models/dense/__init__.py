"""The dense parts of nets on other runtimes than torch: chosen, converted, kept on disk, run.

A dense part is a module of torch from one tensor to a tensor, or to several by name: a whole
semantic net; of a Mask R-CNN its backbone and heads. What is not dense, as proposals and NMS, stays
torchvision's.
"""

from fuse.models.dense.parts import DensePart, expect_lanes, has_opened_runtime, speed_up
from fuse.models.dense.plan import RUNTIMES, DensePlan, plan_dense

__all__ = [
    "RUNTIMES",
    "DensePart",
    "DensePlan",
    "expect_lanes",
    "has_opened_runtime",
    "plan_dense",
    "speed_up",
]
