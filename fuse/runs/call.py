"""What a run is and how it was asked for, as its run.json says it; and back, to go on with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

from fuse.errors import ConfigError, DataError
from fuse.inference.presets import PATH_KEYS, PipelineConfig
from fuse.io.files import RUN_FILE, make_absolute
from fuse.io.image_list import ImageList
from fuse.io.remote import CHAIN, is_url
from fuse.runs.engines.pool import RayPool
from fuse.runs.folder import read_recorded_list, read_run_file
from fuse.runs.tasks import ImageTask, describe_tasks
from fuse.runs.worker import RunOptions
from fuse.version import __version__

# Of RunOptions: what the settings have, or the folder is; all else tells how a run was asked for.
_SET = ("config", "out", "pictures", "keep_predictions")
_OPTIONS = {k: hint for k, hint in get_type_hints(RunOptions).items() if k not in _SET}
# Arguments of `fuse.runs.run.run` that no map depends on, and what they may be.
CALL_HINTS: dict[str, Any] = _OPTIONS | {
    "engine": str,
    "ray_address": str | None,
    "workers": int | None,
    "gpus_per_worker": float,
}


def describe_run(
    options: RunOptions,
    inputs: Sequence[str],
    image_list: ImageList | None,
    listed: Sequence[ImageTask],
    shard: tuple[int, int],
) -> dict[str, Any]:
    """What makes a run what it is but for its nets; a run that goes on has the same.

    Paths are absolute, so that it may go on from another working directory.
    """
    settings: dict[str, Any] = {
        "fuse": __version__,
        "pipeline": _place_pipeline(options.config.to_json()),
        "inputs": [_place_input(given) for given in inputs],
        "shard": "{}/{}".format(*shard),
        "predictions": options.keep_predictions,
        "pictures": options.pictures,
    }
    if image_list:
        settings["list"] = {
            "source": image_list.source,
            "base": str(image_list.base),
            "null": image_list.null,
        }
    if shard[1] > 1:
        settings["listed"] = describe_tasks(listed)
    return settings


def describe_call(options: RunOptions, engine: str, pool: RayPool) -> dict[str, Any]:
    """How a run was asked for, besides what it is; a run that goes on may be asked otherwise."""
    asked = {name: getattr(options, name) for name in _OPTIONS}
    return {
        **{k: str(v.absolute()) if isinstance(v, Path) else v for k, v in asked.items()},
        "timeout": None if math.isinf(options.timeout) else options.timeout,
        "engine": engine,
        "ray_address": pool.address,
        "workers": pool.workers,
        "gpus_per_worker": pool.gpus_per_worker,
    }


def read_call(out: Path) -> dict[str, Any]:
    """The arguments of `fuse.runs.run.run` that go on with the run in a folder.

    Raises:
        DataError: the folder holds no run, or its run.json does not say how it was called.
    """
    content = read_run_file(out)
    settings, call = content["settings"], content.get("call")
    if call is None:
        raise DataError(
            f"{out}: its {RUN_FILE} does not say how it was called; give its own command again"
        )
    try:
        part, _, parts = settings["shard"].partition("/")
        arguments = {
            "images": settings["inputs"],
            "image_list": read_recorded_list(settings, out),
            "out": out,
            "pipeline": PipelineConfig.from_json(settings["pipeline"]),
            "shard": (int(part), int(parts)),
            "pictures": settings["pictures"] is True,
            "keep_predictions": settings["predictions"] is True,
        }
        call = {**call, "timeout": math.inf if call["timeout"] is None else call["timeout"]}
        for name, hint in CALL_HINTS.items():
            if not _may_be(call[name], hint):
                raise TypeError(f"{name} is {call[name]!r}")
            arguments[name] = call[name]
    except (AttributeError, ConfigError, KeyError, TypeError, ValueError) as err:
        raise DataError(
            f"{out / RUN_FILE} cannot be gone on with ({err!r}); give the run's own command again"
        ) from err
    return arguments


def _may_be(value: object, hint: Any) -> bool:  # noqa: ANN401 - a type, or several
    """Whether a value of a JSON may stand for an argument of that type; paths are text."""
    kinds = [str if kind is Path else kind for kind in get_args(hint) or (hint,)]
    if isinstance(value, bool):
        return bool in kinds
    return any(isinstance(value, (float, int) if kind is float else kind) for kind in kinds)


def read_flags(out: Path) -> tuple[bool, bool]:
    """Whether the run in a folder draws pictures, and whether it keeps predictions."""
    try:
        settings = read_run_file(out)["settings"]
    except DataError:  # no run yet; `RunFolder` says what else it is
        return False, False
    return settings.get("pictures") is True, settings.get("predictions") is True


def _place_pipeline(table: dict[str, Any]) -> dict[str, Any]:
    """A preset's plain values with absolute paths."""
    for part in (table, *(table[b] for b in ("semantic", "instance")), *_list_options(table)):
        for key in PATH_KEYS:
            if isinstance(part.get(key), str):
                part[key] = make_absolute(part[key])
    return table


def _list_options(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [table[branch]["options"] for branch in ("semantic", "instance")]


def _place_input(given: str) -> str:
    """The absolute path of a folder, file or glob; a link to a file keeps its name."""
    if is_url(given):
        inside, chain, archive = given.rpartition(CHAIN)
        return inside + chain + _place_input(archive) if chain and archive else given
    path = Path(given)
    return str(path.resolve() if path.is_dir() else path.parent.resolve() / path.name)
