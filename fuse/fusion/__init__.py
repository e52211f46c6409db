"""Fusion rules: how a semantic map and instances become one panoptic map."""

from fuse.fusion.choice import choose_by_evidence, choose_by_overlap
from fuse.fusion.overlap import fuse_by_overlap, fuse_stuff_masks

METHODS = {"overlap": fuse_by_overlap}

__all__ = [
    "METHODS",
    "choose_by_evidence",
    "choose_by_overlap",
    "fuse_by_overlap",
    "fuse_stuff_masks",
]
