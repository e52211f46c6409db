"""One baseline: its run, made or gone on with, and what it costs, kept for the next call."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fuse.analysis.profile import ProfileRow, profile
from fuse.errors import CocoFormatError, FuseError, RunStoppedError, first_line
from fuse.inference.presets import read_pipeline
from fuse.io.files import read_regular, write_whole
from fuse.io.image_list import ImageList
from fuse.io.json_toml import parse_object
from fuse.models.weights.fetching import Progress as FetchProgress
from fuse.runs.run import Progress, run
from fuse.version import __version__

RUN_DIR, COST_DIR = "runs", "costs"
PLACEHOLDER = "fuse fetch PIPELINE"  # in the message about missing weights


@dataclass(frozen=True, slots=True)
class Costs:
    """What a baseline costs.

    Attributes:
        images: how many the measured run did.
        seconds: that they took, from the first file to the last, the nets' loading included.
        profile: of its nets and the pair, see `fuse.analysis.profile`; empty without.
    """

    images: int = 0
    seconds: float = 0.0
    profile: tuple[ProfileRow, ...] = ()

    @property
    def images_per_second(self) -> float | None:
        """Of the whole run; None where none was measured."""
        return self.images / self.seconds if self.images and self.seconds else None

    @property
    def total(self) -> ProfileRow | None:
        """What the profile says of the whole pipeline."""
        return next((row for row in self.profile if row.part == "total"), None)


@dataclass(frozen=True, slots=True)
class Baseline:
    """A pipeline that was run, or a run that was made elsewhere.

    Attributes:
        name: of its row: the preset's, or the folder's.
        path: the run, or a COCO panoptic JSON.
        pipeline: as it was asked for; None for a run that was made elsewhere.
        costs: empty for a run that was made elsewhere.
        failed: how many of its images failed.
        notes: what its run found beside them, see `RunResult.describe_notes`.
        error: why there is nothing to score, or to measure; None where all went well.
    """

    name: str
    path: Path
    pipeline: str | None = None
    costs: Costs = field(default_factory=Costs)
    failed: int = 0
    notes: tuple[str, ...] = ()
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        costs = self.costs
        return {
            "name": self.name,
            "path": str(self.path),
            "pipeline": self.pipeline,
            "error": self.error,
            "failed": self.failed,
            "notes": list(self.notes),
            "images_run": costs.images,
            "seconds": round(costs.seconds, 3),
            "profile": [row.to_json() for row in costs.profile],
        }


@dataclass(frozen=True, slots=True)
class Job:
    """What all baselines of a call have in common.

    Attributes:
        images, image_list, device, allow_plugins, weights_dir: see `fuse.runs.run.run`.
        out: the folder of all of them.
        measures: whether the nets are profiled.
        on_fetch: called while weights are fetched.
        open_progress: makes a progress bar of the words given, to be called as `run` does.
        should_stop: asked after each image.
    """

    images: Sequence[str]
    out: Path
    device: str = "auto"
    allow_plugins: bool = False
    weights_dir: Path | None = None
    measures: bool = True
    on_fetch: FetchProgress | None = None
    open_progress: Callable[[str], AbstractContextManager[Progress | None]] = lambda _: (
        nullcontext()
    )
    should_stop: Callable[[], bool] = lambda: False
    image_list: ImageList | None = None

    @property
    def inputs(self) -> list[str]:
        """What the images are, in words that tell two jobs apart."""
        return [*self.images, *([self.image_list.source] if self.image_list else [])]


def make_baseline(baseline: Baseline, job: Job) -> Baseline:
    """Measure a pipeline's nets and run it over the images, as far as that is not done yet.

    The measuring comes first, so that no run has to wait for libraries that the next one finds
    loaded. Whatever goes wrong stands in `error`: the other baselines go on.

    Raises:
        RunStoppedError: the job was asked to stop; the same call goes on.
    """
    try:
        if job.measures:
            _profile(baseline, job)
        return _run(baseline, job)
    except RunStoppedError:
        raise
    except FuseError as err:
        reason = str(err).replace(PLACEHOLDER, f"fuse fetch {baseline.pipeline}")
        return replace(baseline, error=reason)
    except Exception as err:  # noqa: BLE001 - of a plug-in, or a bug: a line, not the end
        return replace(baseline, error=f"{type(err).__name__}: {first_line(err)}")


def _run(baseline: Baseline, job: Job) -> Baseline:
    """The baseline with its images done; times are those of the call that did them."""
    with job.open_progress(f"{baseline.name}: running") as on_progress:
        result = run(
            job.images,
            baseline.path,
            image_list=job.image_list,
            pipeline=str(baseline.pipeline),
            device=job.device,
            keep_predictions=True,
            allow_plugins=job.allow_plugins,
            weights_dir=job.weights_dir,
            on_fetch=job.on_fetch,
            on_progress=on_progress,
            should_stop=job.should_stop,
        )
    stored = _read_stored(baseline, job)
    if result.tried:
        stored["run"] = {"images": result.tried, "seconds": result.seconds["total"]}
        _write_stored(baseline, job, stored)
    return replace(
        baseline,
        costs=_parse_costs(stored),
        failed=len(result.failed),
        notes=tuple(result.describe_notes()),
    )


def _profile(baseline: Baseline, job: Job) -> None:
    """Measure the nets and store it, unless an earlier call measured the same."""
    made_of = {
        "fuse": __version__,
        "device": job.device,
        "images": job.inputs,
        "pipeline": read_pipeline(str(baseline.pipeline)).to_json(),
    }
    stored = _read_stored(baseline, job)
    is_same = stored.get("profiled") == json.loads(json.dumps(made_of))
    if is_same and _parse_costs(stored).profile:
        return
    with job.open_progress(f"{baseline.name}: measuring its nets"):
        rows = profile(
            [str(baseline.pipeline)],
            images=job.images,
            image_list=job.image_list,
            device=job.device,
            allow_plugins=job.allow_plugins,
            weights_dir=job.weights_dir,
        )
    stored |= {"profiled": made_of, "profile": [row.to_json() for row in rows]}
    _write_stored(baseline, job, stored)


def _stored_path(baseline: Baseline, job: Job) -> Path:
    return job.out / COST_DIR / f"{baseline.name}.json"


def _read_stored(baseline: Baseline, job: Job) -> dict[str, Any]:
    """What earlier calls measured; what cannot be read is measured again."""
    with suppress(OSError, CocoFormatError):
        path = _stored_path(baseline, job)
        return parse_object(read_regular(path), str(path))
    return {}


def _write_stored(baseline: Baseline, job: Job, stored: Mapping[str, Any]) -> None:
    path = _stored_path(baseline, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(stored, indent=1).encode())


def _parse_costs(stored: Mapping[str, Any]) -> Costs:
    """Costs from what was stored; rows of another version are left out, and measured again."""
    try:
        rows = tuple(ProfileRow(**row) for row in stored.get("profile", ()))
    except TypeError:
        rows = ()
    measured = stored.get("run", {})
    return Costs(measured.get("images", 0), measured.get("seconds", 0.0), rows)
