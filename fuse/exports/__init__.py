"""Panoptic maps in the forms of labelling tools, trainers and other scorers."""
