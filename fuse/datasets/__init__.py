"""Ground truth of datasets as COCO panoptic: a file per dataset, and what they share."""
