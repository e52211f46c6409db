"""The weights of pipelines: what they are, whether they are here, and getting them here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fuse.errors import ModelNotFoundError
from fuse.inference.presets import ModelConfig, PipelineConfig, list_pipelines, read_pipeline
from fuse.io.files import StrPath
from fuse.models.registry import find_needed_weights, needs_plugin_permission
from fuse.models.weights.fetching import FetchedFile, Progress, check_weights, fetch_weights
from fuse.models.weights.sources import choose_weights_dir, describe_named, find_in_catalog

OWN_LICENCE = "Apache-2.0"


@dataclass(frozen=True, slots=True)
class WeightsEntry:
    """The weights of one net of a pipeline that ships.

    Attributes:
        branch: ``semantic`` or ``instance``.
        source: a URL, ``owner/name`` on the Hugging Face hub, or the file in the package.
        revision: commit or branch of a repository on the hub; None for other sources.
        size: in bytes.
        is_exact: whether the size is that, or rounded, as a web page gives it.
        known_hash: ``sha256:`` or ``md5:`` and what is known of the hash; may be empty.
        licence: as the publisher says.
        is_present: whether they are on this machine.
    """

    branch: str
    source: str
    revision: str | None
    size: int
    is_exact: bool
    known_hash: str
    licence: str
    is_present: bool

    @property
    def is_shipped(self) -> bool:
        """Whether they lie in the package itself."""
        return self.revision is None and not self.known_hash


@dataclass(frozen=True, slots=True)
class PipelineEntry:
    """A pipeline that ships; weights has an entry per branch, the semantic one first."""

    name: str
    description: str
    weights: tuple[WeightsEntry, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def fetch(
    pipelines: Sequence[str],
    *,
    to: StrPath | None = None,
    overrides: Sequence[str] = (),
    on_progress: Progress | None = None,
) -> list[FetchedFile]:
    """Get the weights of pipelines ahead of time, and look at every byte of those that are here.

    Args:
        pipelines: names or files of presets. Plug-ins that are not installed see to their
            weights themselves; their code is not run for this.
        to: a folder for published weights; what is fetched to it runs with `weights_dir` set to
            it and no network. By default that of the environment (``FUSE_WEIGHTS``), else the
            places that torchvision and huggingface_hub have.
        overrides: changes to the presets, see `fuse.inference.presets.read_pipeline`.
        on_progress: called with a name, the bytes there and the bytes in all.

    Returns:
        The weights files, those that stand in two sections once.

    Raises:
        ModelNotFoundError: weights cannot be fetched, or a file that the preset names is missing.
        DataError: a file is another than the one that was published or fetched before.
        ConfigError: there is no such preset, or it is wrong.
    """
    folder = choose_weights_dir(to)
    found: dict[Path, FetchedFile] = {}
    for pipeline in pipelines:
        for branch, model in _branches(read_pipeline(pipeline, overrides)):
            if needs_plugin_permission(model.model):
                continue
            needed = find_needed_weights(branch, model.model, model.options)
            if needed is not None:
                needed = needed.move_to(folder)
                path = fetch_weights(needed, on_progress)
                if not path.exists():
                    raise ModelNotFoundError(f"{pipeline}: its {branch} net needs {path}")
                fetched = check_weights(replace(needed, path=path))
                found |= {file.path: file for file in fetched}
    return list(found.values())


def place_weights(
    config: PipelineConfig, weights_dir: StrPath | None, on_fetch: Progress | None = None
) -> dict[str, Mapping[str, Any]]:
    """The options of both nets, published weights replaced by where they lie, fetched if need be.

    Args:
        config: the preset.
        weights_dir: where they lie, or are put; see `fetch`.
        on_fetch: called while they are fetched.

    Raises:
        ModelNotFoundError: they are not on this machine and cannot be fetched.
    """
    folder = choose_weights_dir(weights_dir)
    return {
        branch: place_model_weights(branch, model, folder, on_fetch)
        for branch, model in _branches(config)
    }


def place_model_weights(
    branch: str, model: ModelConfig, folder: Path | None, on_fetch: Progress | None = None
) -> Mapping[str, Any]:
    """`place_weights` for one net; folder is where its weights lie, None for the libraries'."""
    needed = find_needed_weights(branch, model.model, model.options)
    if needed is None or not needed.is_remote:
        return model.options
    return {**model.options, "weights": str(fetch_weights(needed.move_to(folder), on_fetch))}


def describe_pipelines(weights_dir: StrPath | None = None) -> list[PipelineEntry]:
    """The pipelines that ship and their weights; no net's library is loaded for this.

    Args:
        weights_dir: where weights are looked for; see `fetch`.
    """
    folder = choose_weights_dir(weights_dir)
    entries = []
    for name in list_pipelines():
        config = read_pipeline(name)
        weights = [_describe(branch, model, folder) for branch, model in _branches(config)]
        entries.append(PipelineEntry(name, config.description, tuple(weights)))
    return entries


def _branches(config: PipelineConfig) -> Iterator[tuple[str, ModelConfig]]:
    yield "semantic", config.semantic
    yield "instance", config.instance


def _describe(branch: str, model: ModelConfig, folder: Path | None) -> WeightsEntry:
    row = find_in_catalog(model.model, model.options)
    needed = describe_named(model.model, model.options).move_to(folder)
    if row is None:  # what ships in the package
        size = needed.path.stat().st_size
        return WeightsEntry(branch, str(needed.path), None, size, True, "", OWN_LICENCE, True)
    return WeightsEntry(
        branch=branch,
        source=row.source,
        revision=needed.revision,
        size=row.size,
        is_exact=row.is_exact,
        known_hash=needed.known_hash,
        licence=row.licence,
        is_present=needed.is_present,
    )
