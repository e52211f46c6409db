"""Where weights come from, and where they lie on this machine.

Nothing here fetches or reads weights, and nothing imports torch, which takes seconds.

Three kinds of weights are told apart: a file behind a URL, a repository of the Hugging Face
hub, and what the user has, a file or folder. The first lie where torch.hub puts them
(``TORCH_HOME``), the second in the hub's cache (``HF_HOME``), unless a weights folder takes the
place of both: there a file lies by its own name, a repository as ``owner/name``.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

WEIGHTS_DIR = Path(__file__).parents[2] / "weights"
CATALOG = WEIGHTS_DIR / "published.csv"
FOLDER_VARIABLE = "FUSE_WEIGHTS"
STATE_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".ckpt")
CONFIG_FILE = "config.json"
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class NeededWeights:
    """Weights that a model needs, and where they are looked for.

    Attributes:
        source: a URL, ``owner/name`` on the Hugging Face hub, or the path itself.
        path: the file or folder they lie in, or will lie in once fetched.
        revision: branch, tag or commit of a repository of the hub; None for what is none.
        known_hash: of the weights file, see `check_hash`; empty where unknown.
    """

    source: str
    path: Path
    revision: str | None = None
    known_hash: str = ""

    @property
    def is_remote(self) -> bool:
        """Whether they can be fetched."""
        return self.revision is not None or bool(self.known_hash)

    @property
    def is_present(self) -> bool:
        """Whether they are on this machine."""
        return self.path.is_file() or holds_weights(self.path)

    def move_to(self, folder: Path) -> NeededWeights:
        """The same in a weights folder."""
        name = self.path.name if self.revision is None else self.source
        return replace(self, path=folder / name)


@dataclass(frozen=True, slots=True)
class PublishedWeights:
    """What is known of published weights ahead of fetching them, a row of ``published.csv``.

    Attributes:
        model, architecture, weights: as a preset names them; architecture may be empty.
        source: a URL, or ``owner/name`` on the Hugging Face hub.
        size: of the weights file in bytes.
        is_exact: whether the size is that, or rounded, as a web page gives it.
        known_hash: what is known of its hash, see `check_hash`; may be empty.
        revision: the commit of a repository that this is known of; empty for a URL.
        licence: of the weights, as their publisher says.
    """

    model: str
    architecture: str
    weights: str
    source: str
    size: int
    is_exact: bool
    known_hash: str
    revision: str
    licence: str


@cache
def read_catalog() -> tuple[PublishedWeights, ...]:
    """The published weights that presets name."""
    with CATALOG.open(encoding="utf-8", newline="") as file:
        return tuple(
            PublishedWeights(size=int(row.pop("bytes").lstrip("~")), is_exact=not rounded, **row)
            for row in csv.DictReader(file)
            for rounded in [row["bytes"].startswith("~")]
        )


def find_in_catalog(model: str, options: Mapping[str, Any]) -> PublishedWeights | None:
    """What is known of the weights that a preset's section names; None where nothing is."""
    wanted = (model, options.get("weights"))
    found = [row for row in read_catalog() if (row.model, row.weights) == wanted]
    return next((r for r in found if r.architecture in ("", options.get("architecture"))), None)


def describe_url(url: str, known_hash: str) -> NeededWeights:
    """Where the file behind a URL lies; what is known of its hash in full comes first."""
    path = torch_home() / "checkpoints" / url.rpartition("/")[2]
    return NeededWeights(url, path, known_hash=_find_hash(url) or known_hash)


def describe_repository(name: str, revision: str | None = None) -> NeededWeights:
    """Where a repository of the hub, or a local folder, lies."""
    if not is_hub_name(name):
        return NeededWeights(name, Path(name).expanduser())
    from huggingface_hub import constants, try_to_load_from_cache

    revision = revision or "main"
    # Which files a repository has is not known here, but each has this one.
    config = try_to_load_from_cache(name, CONFIG_FILE, revision=revision)
    path = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    if isinstance(config, str):
        path = Path(config).parent
    return NeededWeights(name, path, revision, _find_hash(name, revision))


def describe_file(weights: str) -> NeededWeights:
    """Where shipped weights or a weights file are looked for."""
    if weights in list_shipped_weights():
        return NeededWeights(weights, WEIGHTS_DIR / f"{weights}.safetensors")
    return NeededWeights(weights, Path(weights).expanduser())


def describe_published(model: str, options: Mapping[str, Any]) -> NeededWeights | None:
    """Where the catalog's weights of a preset's section lie; None where it has none of them."""
    row = find_in_catalog(model, options)
    if row is None:
        return None
    if row.source.startswith("https://"):
        return describe_url(row.source, row.known_hash)
    return describe_repository(row.source, options.get("revision"))


def _find_hash(source: str, revision: str = "") -> str:
    """What the catalog knows of the hash of a source, for a repository at that commit."""
    known = (r.known_hash for r in read_catalog() if (r.source, r.revision) == (source, revision))
    return next(known, "")


def list_shipped_weights() -> tuple[str, ...]:
    """Names of the weights that ship in the package, sorted."""
    return tuple(sorted(path.stem for path in WEIGHTS_DIR.glob("*.safetensors")))


def choose_weights_dir(folder: Path | None) -> Path | None:
    """The weights folder that was given, or that of the environment; None for neither."""
    if folder is not None:
        return folder
    return Path(found).expanduser() if (found := os.environ.get(FOLDER_VARIABLE)) else None


def torch_home() -> Path:
    """What ``torch.hub.get_dir()`` says."""
    cache_home = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", f"{cache_home}/torch")).expanduser() / "hub"


def is_hub_name(weights: str) -> bool:
    """Whether weights is ``owner/name`` on the Hugging Face hub, not a file or folder.

    >>> is_hub_name("smp-hub/segformer-b0-512x512-ade-160k"), is_hub_name("nets/mine.pth")
    (True, False)
    """
    if weights.count("/") != 1 or weights.endswith(STATE_SUFFIXES):
        return False
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined] # documented

    try:
        validate_repo_id(weights)
    except HFValidationError:
        return False
    return not Path(weights).expanduser().exists()


def holds_weights(folder: Path) -> bool:
    """Whether a folder has weights, all parts of them where an index names several.

    A download that was cut off may have left the rest alone.
    """
    if not any(path.suffix in STATE_SUFFIXES for path in folder.glob("*")):
        return False
    parts = (part for index in folder.glob("*.index.json") for part in _list_parts(index))
    return all((folder / part).is_file() for part in parts)


def _list_parts(index: Path) -> set[str]:
    """The files that an index of weights names, none where it cannot be read."""
    try:
        weight_map = json.loads(index.read_bytes()).get("weight_map", {})
        return {str(part) for part in weight_map.values()}
    except (OSError, ValueError, AttributeError):
        return set()  # whoever reads the weights says what is wrong with it
