"""Panoptic segmentation by fusing two independent pretrained nets."""

__version__ = "0.1.0"
