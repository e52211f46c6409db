"""Going on with a run by what its own run.json says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fuse.errors import ConfigError
from fuse.io.files import StrPath, to_path
from fuse.runs.call import CALL_HINTS, read_call
from fuse.runs.run import run
from fuse.runs.run_result import RunResult

# What may be asked for anew; the rest is what the run is.
CHANGEABLE = (
    *CALL_HINTS,
    *("pictures", "keep_predictions", "retry_failed", "check_images", "allow_plugins"),
    *("on_fetch", "on_progress", "should_stop"),
)


def resume(
    out: StrPath,
    *,
    on_start: Callable[[Mapping[str, Any]], None] = lambda _arguments: None,
    **changes: Any,  # noqa: ANN401 - each has the type that it has in `run`
) -> RunResult:
    """Go on with the run in a folder, as it was called; permission to run code is given anew.

    It ends what was cut off, does images again that changed or were forgotten
    (`fuse.api.verify`), and makes pictures or kept predictions that are asked for only now.

    Args:
        out: the output folder.
        on_start: called with all arguments of `run` before anything is done.
        changes: arguments of `run` that are to be otherwise, see CHANGEABLE.

    Raises:
        ConfigError: a change would make it another run.
        DataError: the folder holds no run, or one whose run.json does not say how it was called.
        FuseError: as `run` does.

    >>> resume("out", pipeline="tiny")
    Traceback (most recent call last):
    ...
    fuse.errors.ConfigError: pipeline makes another run; leave it out, or give another folder
    """
    strange = next((name for name in changes if name not in CHANGEABLE), None)
    if strange:
        raise ConfigError(f"{strange} makes another run; leave it out, or give another folder")
    arguments = read_call(to_path(out)) | changes
    on_start(arguments)
    return run(**arguments)
