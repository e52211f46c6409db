"""Label spaces and the maps between them, as data: ``spaces/*.csv`` and ``maps/*.csv``."""

from fuse.labels.mapping import LabelMap, find_label_map, map_panoptic, read_label_map
from fuse.labels.spaces import identify_space, list_spaces, load_space, read_space

__all__ = [
    "LabelMap",
    "find_label_map",
    "identify_space",
    "list_spaces",
    "load_space",
    "map_panoptic",
    "read_label_map",
    "read_space",
]
