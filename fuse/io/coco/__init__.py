"""COCO's JSON files and their PNGs."""
