"""Writing label maps as the CSV files that a preset may name."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from fuse.errors import DataError
from fuse.io.files import write_whole
from fuse.labels import LabelMap, name_targets
from fuse.labels.map_files import ALSO, COLUMNS, check_writable


def write_label_map(path: Path, label_map: LabelMap) -> None:
    """Write a map that `fuse.labels.read_label_map` reads, whole or not at all.

    Raises:
        DataError: there is such a file; it may have been completed by hand.
        LabelSpaceError: a category of the target is called ``void``.
        OSError: the folder is missing or not writable.
    """
    check_writable(label_map.target)
    if path.exists():
        raise DataError(f"{path} is there already; give another name, or delete it")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*COLUMNS, ALSO))
    for source, (target, *further) in name_targets(label_map).items():
        writer.writerow((source, target, "|".join(further)))
    write_whole(path, text.getvalue().encode())
