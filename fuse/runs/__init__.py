"""A whole run: a folder of images in, a folder of panoptic maps out."""
