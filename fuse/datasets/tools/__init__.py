"""Labels of annotation tools as panoptic ground truth: a reader per tool, one painter."""
