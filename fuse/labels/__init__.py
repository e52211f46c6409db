"""Label spaces and the maps between them, as data.

CSV files: ``spaces/*.csv``, ``maps/*.csv`` and, of few spaces, ``partners/*.csv``.
"""

from fuse.labels.map_files import (
    draft_label_map,
    find_label_map,
    list_maps,
    read_label_map,
)
from fuse.labels.mapping import (
    LabelMap,
    find_choices,
    map_panoptic,
    name_targets,
    parse_targets,
)
from fuse.labels.partners import load_partners
from fuse.labels.spaces import (
    contains,
    find_space_file,
    identify_space,
    list_spaces,
    load_category_ids,
    load_space,
    read_space,
)
from fuse.labels.truth_map import find_truth_map

__all__ = [
    "LabelMap",
    "contains",
    "draft_label_map",
    "find_choices",
    "find_label_map",
    "find_space_file",
    "find_truth_map",
    "identify_space",
    "list_maps",
    "list_spaces",
    "load_category_ids",
    "load_partners",
    "load_space",
    "map_panoptic",
    "name_targets",
    "parse_targets",
    "read_label_map",
    "read_space",
]
