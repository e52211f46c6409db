"""Compile kernels in processes of their own at the first use, while this one loads nets.

numba compiles one kernel at a time in a process, and keeps what it compiled on disk. So at its
first use a command starts processes that run functions with the kernels it will need on next to
nothing, and waits for them where it first calls one of these. All of this is about time only: a
kernel that they did not compile is compiled when it is called.
"""

from __future__ import annotations

import atexit
import gc
import hashlib
import os
import subprocess  # nosec B404
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from fuse.io.files import find_user_cache
from fuse.ops._jit import announce_compiling, expect

PACKAGE = Path(__file__).parents[1]
SOURCES = ("ops/*.py", "fusion/overlap.py")  # of the kernels that GROUPS need


def compile_ahead(*processes: Sequence[str]) -> None:
    """Start processes that compile these groups of GROUPS, unless it has been done before.

    Nothing happens where there is one core only, or no folder to note in what was compiled.
    """
    try:
        folder = _find_folder()
        missing = [[name for name in names if not (folder / name).exists()] for names in processes]
        if not any(missing) or (os.cpu_count() or 1) < 2:
            return
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass  # it can be written to
    except (OSError, RuntimeError):  # there may be no home at all
        return
    announce_compiling()
    for names in filter(None, missing):
        with suppress(OSError):
            compiler = _start(names)
            expect(compiler, {module for name in names for module in GROUPS[name].modules})


def _start(names: Sequence[str]) -> subprocess.Popen[bytes]:
    """A process that compiles groups, and ends with this one."""
    # -P: else modules of the folder that a person happens to be in would be imported.
    command = [sys.executable, "-P", "-m", __name__, *names]
    places = [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    compiler = subprocess.Popen(  # nosec B603 - this module, by this Python
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    atexit.register(compiler.terminate)
    return compiler


def _find_folder() -> Path:
    """Where is noted what is compiled, near where numba keeps it: one folder for each code."""
    about = [sys.version, version("numba")]
    for pattern in SOURCES:
        for path in sorted(PACKAGE.glob(pattern)):
            found = path.stat()
            about.append(f"{path} {found.st_size} {found.st_mtime_ns}")
    digest = hashlib.sha256("\n".join(about).encode()).hexdigest()
    return _find_cache() / f"compiled-{digest[:16]}"


def _find_cache() -> Path:
    """Where numba keeps kernels, or else a folder of the user."""
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(named)
    beside = PACKAGE / "ops"
    if os.access(beside, os.W_OK):
        return beside / "__pycache__"
    return find_user_cache()


def _compile_suppress() -> None:
    """From anchors to proposals."""
    import numpy as np

    from fuse.ops.nms import suppress

    suppress(np.zeros((1, 4), np.float32), 0.5)


def _compile_align() -> None:
    """From proposals to what lies inside them."""
    import numpy as np

    from fuse.ops.roi_align import align_regions

    cells, pooled = (np.zeros(shape, np.float32) for shape in ((1, 2, 2, 1), (1, 1, 1, 1)))
    regions, rows = np.zeros((1, 5), np.float32), np.zeros(1, np.int64)
    align_regions(cells, regions, rows, np.float32(1), np.float32(0), 1, pooled)


def _compile_label() -> None:
    """From logits to stuff segments."""
    import numpy as np

    from fuse.fusion.overlap import fuse_by_overlap
    from fuse.fusion.stuff_score import drop_by_stuff_score
    from fuse.inference.prediction import ImagePrediction
    from fuse.labels import load_space
    from fuse.types import Instances, SemanticLogits, TargetLogits

    space = load_space("coco_super")
    logits = SemanticLogits.half_pixel(np.zeros((2, 4, 4), dtype=np.float16), (8, 8))
    semantic = TargetLogits(logits, np.array([0, space.stuff_ids[0]], dtype=np.int32))
    nothing = Instances.empty((8, 8))
    labelled = ImagePrediction(semantic, nothing).label()
    labelled.label_map[:] = space.stuff_ids[0]
    drop_by_stuff_score(fuse_by_overlap(labelled, nothing, space, stuff_area=1), labelled, 0.5)


def _compile_paint() -> None:
    """From soft masks to thing segments."""
    import numpy as np

    from fuse.fusion.overlap import paint_things
    from fuse.types import BoxMasks, Instances

    instances = Instances(
        boxes=np.array([[0, 0, 8, 8]], dtype=np.float32),
        scores=np.ones(1),
        category_ids=np.ones(1, dtype=np.int32),
        masks=BoxMasks(np.ones((1, 28, 28), dtype=np.float32)),
        size=(8, 8),
    )
    paint_things(np.zeros((8, 8), dtype=np.int32), instances, np.zeros(1, dtype=np.int64), 0.5)


def _compile_read() -> None:
    """From a map to its PNG and back, and to the pixels that two maps share."""
    import numpy as np

    from fuse.io.png import read_row_deltas, write_id_map
    from fuse.ops.contingency import count_delta_pairs
    from fuse.ops.row_deltas import RowDeltas
    from fuse.ops.segments import measure_segments

    panoptic_map = np.eye(8, dtype=np.int32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "map.png")
        write_id_map(path, panoptic_map)
        deltas, _header = read_row_deltas(path)
    measure_segments(deltas.to_map(), np.ones(1, dtype=np.int32))
    count_delta_pairs(deltas, RowDeltas.from_map(panoptic_map))


def _compile_match() -> None:
    """From pixels that segments share to PQ."""
    import numpy as np

    from fuse.metrics.matching import match_pairs
    from fuse.ops.matching import SegmentPairs, SegmentTable, count_areas
    from fuse.types import SegmentInfo

    ids, counts = np.ones(1, dtype=np.int32), np.ones(1, dtype=np.int64)
    table = SegmentTable.from_segments([SegmentInfo(1, 1, 1, (0, 0, 1, 1))])
    pairs = SegmentPairs.locate(ids, ids, counts, table, table)
    count_areas(pairs.truth_ids, pairs.true_rows, pairs.counts, 1)
    match_pairs(pairs, table, table, official=False)


class Group(NamedTuple):
    """Functions whose kernels are compiled together, and the modules that these are in."""

    run: Callable[[], None]
    modules: tuple[str, ...]


GROUPS = {
    "suppress": Group(_compile_suppress, ("fuse.ops.nms",)),
    "align": Group(_compile_align, ("fuse.ops.roi_align",)),
    "label": Group(
        _compile_label,
        ("fuse.ops.argmax", "fuse.ops.class_logits", "fuse.ops.segments", "fuse.fusion.overlap"),
    ),
    "paint": Group(_compile_paint, ("fuse.ops.masks", "fuse.fusion.overlap")),
    "read": Group(
        _compile_read,
        (
            "fuse.ops.png_filters",
            "fuse.ops.row_deltas",
            "fuse.ops.contingency",
            "fuse.ops.segments",
        ),
    ),
    "match": Group(_compile_match, ("fuse.ops.matching",)),
}


def main(names: Sequence[str]) -> None:
    """Compile groups, and note of each that it is done."""
    gc.disable()  # it would look through what numba makes again and again
    folder = _find_folder()
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        GROUPS[name].run()
        (folder / name).touch()


if __name__ == "__main__":
    main(sys.argv[1:])
