"""Fusion rules: how a semantic map and instances become one panoptic map.

`fuse_image` fuses one image by a preset's rule; `METHODS` has the rules by name, and
`FusionConfig` what a preset may say about them.
"""

from fuse.fusion.class_logits import REACH, ClassLogits, compute_class_logits
from fuse.fusion.config import THRESHOLDS, FusionConfig, change_fusion, fusion_keys
from fuse.fusion.fuse_image import choose_classes, find_pairs, fuse_image, leave_out_stuff
from fuse.fusion.overlap import fuse_by_overlap, fuse_stuff_masks, least_stuff_pixels
from fuse.fusion.rules import METHODS
from fuse.fusion.vote import VOTE_AMONG

__all__ = [
    "METHODS",
    "REACH",
    "THRESHOLDS",
    "VOTE_AMONG",
    "ClassLogits",
    "FusionConfig",
    "change_fusion",
    "choose_classes",
    "compute_class_logits",
    "find_pairs",
    "fuse_by_overlap",
    "fuse_image",
    "fuse_stuff_masks",
    "fusion_keys",
    "least_stuff_pixels",
    "leave_out_stuff",
]
