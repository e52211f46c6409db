"""Label spaces and the maps between them, as data.

CSV files: ``spaces/*.csv``, ``maps/*.csv`` and, of few spaces, ``partners/*.csv``.
"""

from fuse.labels.apply import (
    map_category_ids,
    map_instances,
    map_labels,
    map_logits,
    map_panoptic,
)
from fuse.labels.maps import (
    LabelMap,
    draft_label_map,
    find_choices,
    find_label_map,
    find_truth_map,
    list_maps,
    name_targets,
    parse_targets,
    read_label_map,
    tabulate_label_map,
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
    resolve_classes,
)

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
    "map_category_ids",
    "map_instances",
    "map_labels",
    "map_logits",
    "map_panoptic",
    "name_targets",
    "parse_targets",
    "read_label_map",
    "read_space",
    "resolve_classes",
    "tabulate_label_map",
]
