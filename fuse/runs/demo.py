"""The default pipeline over the images of `examples/`."""

from __future__ import annotations

from collections.abc import Callable

from fuse.inference.presets import find_examples
from fuse.io.files import StrPath
from fuse.runs.run import run
from fuse.runs.run_result import RunResult


def demo(
    out: StrPath,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
) -> RunResult:
    """Run the default pipeline over the example images, score it and draw what it saw.

    Raises:
        DataError: the example images are not there.
    """
    examples = find_examples()
    return run(
        [str(examples / "images")],
        out,
        gt=examples / "annotations.json",
        pictures=True,
        overwrite=overwrite,
        on_progress=on_progress,
    )
