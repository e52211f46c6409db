"""Measures of quality: panoptic quality and its parts."""
