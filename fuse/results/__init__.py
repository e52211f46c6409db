"""What `Pipeline` answers with: a panoptic map that knows its names, pictures and conversions."""
