"""Pipelines as data: finding, reading, changing and checking presets."""

from __future__ import annotations

import json
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from fuse.errors import ConfigError, DataError, FuseWarning, suggest, unknown_key
from fuse.fusion import FusionConfig, change_fusion
from fuse.io.csv_files import read_pairs
from fuse.io.files import resolve_path
from fuse.io.json_toml import read_toml
from fuse.models.registry import needs_plugin_permission

PACKAGE_DIR = Path(__file__).parents[1]
# In a wheel the presets and the example images lie in the package, in a checkout beside it.
PRESET_DIRS = (PACKAGE_DIR / "pipelines", PACKAGE_DIR.parent / "pipelines")


EXAMPLES_DIRS = (PACKAGE_DIR / "examples", PACKAGE_DIR.parent / "examples")
PATH_KEYS = (
    *("model", "weights", "path", "gt", "gt_dir", "images"),
    *("label_space", "label_map", "pairs"),
)
BRANCHES = ("semantic", "instance")
# Presets by the names that they had; these go in release 0.2.
RENAMED = {"voc-deeplabv3plus": "voc-deeplabv3-mobilenet"}


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Which model, the arguments of its class, and how its labels become the preset's.

    Attributes:
        model: its name; see `fuse.models.registry`.
        options: the arguments.
        label_map: path of a map of one's own, as `fuse.labels.read_label_map` reads it; by
            default the one that ships.
    """

    model: str
    options: dict[str, Any] = field(default_factory=dict)
    label_map: str | None = None


def parse_fusion_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Changes for `change_fusion` from ``key=value`` each, the value as in a preset.

    ``fusion.key=value`` means the same, as in the overrides of a whole preset.

    Raises:
        ConfigError: an override is not of that form.
        CocoFormatError: the file of pairs is wrong.

    >>> parse_fusion_overrides(["temperature=2", "fusion.vote_among=supercategory"])
    {'temperature': 2, 'vote_among': 'supercategory'}
    """
    table: dict[str, Any] = {}
    for override in overrides:
        _set_key(table, override.removeprefix("fusion."))
    _read_pairs_file(table)
    return table


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """Two nets, the label space they are fused in, and the rule.

    Attributes:
        name: of the preset.
        label_space: name or CSV path of the target space.
        semantic, instance: the nets.
        fusion: the rule.
        description: one line.
        as_stored: whether images are read as their files have them, and not turned upright by
            their EXIF orientation.
    """

    name: str
    label_space: str
    semantic: ModelConfig
    instance: ModelConfig
    fusion: FusionConfig
    description: str = ""
    as_stored: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values, for run.json; as_stored only where it is so."""
        values = asdict(self) | {"fusion": self.fusion.to_json()}
        if not self.as_stored:
            del values["as_stored"]
        return values

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> PipelineConfig:
        """The preset that `to_json` wrote.

        Raises:
            ConfigError: it is no such preset.
        """
        table = {key: value for key, value in entry.items() if key != "name"}
        for branch in BRANCHES:
            model = dict(_get_table(table, branch))
            options = dict(_get_table(model, "options"))
            kept = {key: model[key] for key in ("model", "label_map") if model.get(key) is not None}
            table[branch] = options | kept
        return parse_pipeline(str(entry.get("name", "")), table)


def list_pipelines() -> dict[str, Path]:
    """Files of the presets that ship, by name."""
    found = {path.stem: path for folder in PRESET_DIRS for path in folder.glob("*.toml")}
    return dict(sorted(found.items()))


def find_examples() -> Path:
    """The folder of the example images and their ground truth.

    Raises:
        DataError: it is not there.
    """
    found = next((folder for folder in EXAMPLES_DIRS if folder.is_dir()), None)
    if found is None:
        raise DataError("the example images are missing from this installation")
    return found


def read_pipeline(pipeline: str, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Read a preset by name, or from a TOML file at that path.

    Args:
        pipeline: ``tiny``, or ``my/pair.toml``. Paths in it (`PATH_KEYS`) are relative to its own
            folder.
        overrides: ``section.key=value`` each, the value in TOML or else taken as text; paths in
            it are relative to the working directory, as whatever stands in a command.

    Raises:
        ConfigError: there is no such preset, it is not TOML, or a key or value is wrong.
    """
    presets = list_pipelines()
    if pipeline in RENAMED:
        new = RENAMED[pipeline]
        warnings.warn(
            FuseWarning(
                f"the preset {pipeline} is now called {new}; the old name goes in release 0.2"
            ),
            stacklevel=2,
        )
        pipeline = new
    path = presets.get(pipeline, Path(pipeline))
    if not path.is_file():
        if path.suffix == ".toml":
            raise ConfigError(f"{path}: there is no such preset file")
        raise ConfigError(
            f"no pipeline {pipeline!r}; {suggest(pipeline, list(presets))}, "
            "or give the path of a TOML file"
        )
    table = read_toml(path)
    _place_paths(table, path.parent)
    for override in overrides:
        _set_key(table, override)
    try:
        return parse_pipeline(path.stem, table)
    except ConfigError as err:
        raise ConfigError(f"{path}: {err}") from err


def refuse_plugins(config: PipelineConfig, branches: Sequence[str] = BRANCHES) -> None:
    """Raise ConfigError where nets of a preset would run code that nobody installed."""
    for branch in branches:
        model: ModelConfig = getattr(config, branch)
        if needs_plugin_permission(model.model):
            raise ConfigError(
                f"pipeline {config.name!r}: its {branch} model {model.model!r} runs code of its "
                "own; read that code, then give --allow-plugins"
            )


def parse_pipeline(name: str, table: Mapping[str, Any]) -> PipelineConfig:
    """Check a preset's table and make the config.

    Raises:
        ConfigError: a key is unknown, missing or of the wrong type.
    """
    lost = next((f.name for f in fields(FusionConfig) if f.name in table), None)
    if lost:
        raise ConfigError(f"the preset has no key {lost!r}; did you mean fusion.{lost}?")
    allowed = ("description", "label_space", "as_stored", "semantic", "instance", "fusion")
    _check_keys(table, allowed, where="the preset")
    if not isinstance(table.get("label_space"), str):
        raise ConfigError("label_space is missing: the name of a label space, as text")
    as_stored = table.get("as_stored", False)
    if not isinstance(as_stored, bool):
        raise ConfigError(f"as_stored must be true or false, got {as_stored!r}")
    fusion = dict(_get_table(table, "fusion")) if "fusion" in table else {}
    _read_pairs_file(fusion)
    return PipelineConfig(
        name=name,
        label_space=table["label_space"],
        semantic=_parse_model(table, "semantic"),
        instance=_parse_model(table, "instance"),
        fusion=change_fusion(FusionConfig(), fusion),
        description=str(table.get("description", "")),
        as_stored=as_stored,
    )


def _place_paths(table: dict[str, Any], folder: Path) -> None:
    """Make the paths in a preset's table those from the working directory, in place.

    Raises:
        ConfigError: a path begins with ``~`` and a name that no user has.
    """
    for part in (table, *map(table.get, ("semantic", "instance", "fusion"))):
        if isinstance(part, dict):
            for key in PATH_KEYS:
                if isinstance(part.get(key), str):
                    try:
                        part[key] = resolve_path(part[key], folder)
                    except RuntimeError as err:  # of expanduser
                        raise ConfigError(f"{key} = {part[key]!r}: {err}") from err


def _parse_model(table: Mapping[str, Any], key: str) -> ModelConfig:
    options = dict(_get_table(table, key))
    model = options.pop("model", None)
    if not isinstance(model, str):
        raise ConfigError(f"{key}.model is missing: the name of a model, as text")
    label_map = options.pop("label_map", None)
    if label_map is not None and (not isinstance(label_map, str) or not label_map):
        raise ConfigError(f"{key}.label_map must be the path of a CSV file, got {label_map!r}")
    empty = next((name for name in PATH_KEYS if options.get(name) == ""), None)
    if empty:
        raise ConfigError(f"{key}.{empty} is empty; give a value, or leave it out")
    try:
        json.dumps(options, allow_nan=False)
    except (TypeError, ValueError) as err:
        raise ConfigError(f"[{key}] holds a date, nan or inf, which run.json cannot keep") from err
    return ModelConfig(model, options, label_map)


def _read_pairs_file(fusion: dict[str, Any]) -> None:
    """Read ``pairs`` in place where it is the path of a CSV file."""
    if isinstance(fusion.get("pairs"), str):
        fusion["pairs"] = read_pairs(Path(fusion["pairs"]))


def _get_table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    if key not in table:
        raise ConfigError(f"the section [{key}] is missing")
    value = table[key]
    if not isinstance(value, dict):
        raise ConfigError(f"{key} is a section, [{key}], and takes no value of its own")
    return value


def _check_keys(table: Mapping[str, Any], allowed: Sequence[str], *, where: str) -> None:
    """Raise ConfigError for the first unknown key, with the nearest known one."""
    for key in table:
        if key not in allowed:
            raise unknown_key(where, key, allowed)


def _set_key(table: dict[str, Any], override: str) -> None:
    """Carry out one ``section.key=value`` in place."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override!r}: write KEY=VALUE, as fusion.score_threshold=0.3")
    *sections, last = key.strip().split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override!r}: {section!r} is not a section")
    try:
        table[last] = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        table[last] = text.strip()
