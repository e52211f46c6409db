"""What weights a net needs, and where they lie on this machine.

Nothing here fetches or reads weights, and nothing imports torch, which takes seconds.

Three kinds of weights are told apart: a file behind a URL, a repository of the Hugging Face
hub, and what the user has, a file or folder. The first lie where torch.hub puts them
(``TORCH_HOME``), the second in the hub's cache (``HF_HOME``), unless a weights folder takes the
place of both: there a file lies by its own name, a repository as ``owner/name``.

What is known of a file's hash is written ``sha256:`` or ``md5:`` and the hash in hex, or only its
start, which is what publishers write into file names; empty where nothing is known.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from fuse.io.files import StrPath, to_path
from fuse.models.weights.side_files import COMMIT, find_missing

WEIGHTS_DIR = Path(__file__).parents[2] / "weights"
CATALOG = WEIGHTS_DIR / "published.csv"
FOLDER_VARIABLE = "FUSE_WEIGHTS"
HUB_MODELS = ("smp", "transformers")  # which load repositories and folders
IN_CACHE = re.compile(r"models--(?P<owner>.+?)--(?P<name>[^/\\]+)[/\\]snapshots[/\\]")
STATE_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".ckpt")


@dataclass(frozen=True, slots=True)
class NeededWeights:
    """Weights that a model needs, and where they are looked for.

    Attributes:
        source: a URL, ``owner/name`` on the Hugging Face hub, or the path itself.
        path: the file or folder they lie in, or will lie in once fetched.
        revision: branch, tag or commit of a repository of the hub; None for what is none.
        known_hash: of the weights file; empty where unknown.
        model: that reads a repository.
    """

    source: str
    path: Path
    revision: str | None = None
    known_hash: str = ""
    model: str = ""

    @property
    def is_remote(self) -> bool:
        """Whether they can be fetched."""
        return self.revision is not None or bool(self.known_hash)

    @property
    def is_present(self) -> bool:
        """Whether they are on this machine."""
        return self.path.is_file() or (holds_weights(self.path) and not self.list_missing())

    def list_missing(self) -> list[str]:
        """Files beside the weights of a repository that are not there or damaged."""
        if self.revision is None:
            return []
        return find_missing(self.model, self.path, self.source)

    def move_to(self, folder: Path | None) -> NeededWeights:
        """The same in a weights folder, where there is one and they can be fetched to it."""
        if folder is None or not self.is_remote:
            return self
        name = self.path.name if self.revision is None else self.source
        return replace(self, path=folder / name)


@dataclass(frozen=True, slots=True)
class PublishedWeights:
    """What is known of published weights ahead of fetching them, a row of ``published.csv``.

    Those of Panoptic FPN stand in detectron2's MODEL_ZOO.md under COCO Panoptic Segmentation
    Baselines; the six digits of a file's name are the start of its MD5.

    Attributes:
        model, architecture, weights: as a preset names them; architecture may be empty.
        source: a URL, or ``owner/name`` on the Hugging Face hub.
        size: of the weights file in bytes.
        is_exact: whether the size is that, or rounded, as a web page gives it.
        known_hash: of the weights file.
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

    @property
    def file_name(self) -> str:
        """Of the file behind a URL."""
        return self.source.rpartition("/")[2]

    def describe(self, revision: str | None = None) -> NeededWeights:
        """Where they lie, a repository at a revision, by default its ``main``."""
        if "://" not in self.source:
            return describe_repository(self.source, revision, self.model)
        path = torch_home() / "checkpoints" / self.file_name
        return NeededWeights(self.source, path, known_hash=self.known_hash)


@cache
def read_catalog() -> tuple[PublishedWeights, ...]:
    """The published weights that presets name."""
    with CATALOG.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    sizes = [row.pop("bytes") for row in rows]
    return tuple(
        PublishedWeights(size=int(size.lstrip("~")), is_exact=not size.startswith("~"), **row)
        for row, size in zip(rows, sizes, strict=True)
    )


def list_published(model: str, architecture: str | None = None) -> dict[str, PublishedWeights]:
    """The published weights that a model can load, by the names that a preset may give them.

    >>> list(list_published("torchvision", "fcn_resnet50"))
    ['COCO_WITH_VOC_LABELS_V1', 'DEFAULT']
    """
    rows = [r for r in read_catalog() if r.model == model and r.architecture in ("", architecture)]
    named = {row.weights: row for row in rows}
    if rows and rows[-1].architecture:
        named["DEFAULT"] = rows[-1]  # torchvision's name for the newest of an architecture
    return named


def find_restriction(source: str) -> str:
    """The licence of published weights where it forbids some uses; empty where it does not."""
    licences = (row.licence for row in read_catalog() if row.source == source)
    return next((licence for licence in licences if "not for commercial" in licence), "")


def find_in_catalog(model: str, options: Mapping[str, Any]) -> PublishedWeights | None:
    """What is known of the weights that a preset's section names; None where nothing is."""
    return list_published(model, options.get("architecture")).get(str(options.get("weights")))


def describe_named(model: str, options: Mapping[str, Any]) -> NeededWeights:
    """Where the weights lie that a preset's section names for a model of this package."""
    weights, revision = str(options["weights"]), options.get("revision")
    row = find_in_catalog(model, options)
    if row is not None:
        return row.describe(revision)
    if model in HUB_MODELS and (is_hub_name(weights) or Path(weights).expanduser().is_dir()):
        return describe_repository(weights, revision, model)
    return describe_file(weights)


def describe_repository(name: str, revision: str | None = None, model: str = "") -> NeededWeights:
    """Where a repository of the hub, by default its ``main``, or a local folder lies.

    A branch is what it was when it was first fetched here.
    """
    if not is_hub_name(name):
        return NeededWeights(name, Path(name).expanduser())
    from huggingface_hub import constants

    revision = revision or "main"
    known = (r.known_hash for r in read_catalog() if (r.source, r.revision) == (name, revision))
    path = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    commit = _resolve(path, revision)
    if commit and (path / "snapshots" / commit).is_dir():
        path = path / "snapshots" / commit
    return NeededWeights(name, path, revision, next(known, ""), model)


def _resolve(cached: Path, revision: str) -> str | None:
    """The commit that a revision was when it was fetched into the hub's cache; None if never."""
    if COMMIT.fullmatch(revision):
        return revision
    for ref in (own_ref(cached, revision), cached / "refs" / revision):
        if ref.is_file():
            return ref.read_text(encoding="utf-8").strip()
    return None


def own_ref(cached: Path, revision: str) -> Path:
    """Where it is noted which commit a branch was when it was first fetched here.

    The hub's own note of a branch moves with whatever another tool fetches.
    """
    return cached / "refs" / f"fuse-{revision.replace('/', '-')}"


def describe_file(weights: str) -> NeededWeights:
    """Where shipped weights by their name, or a file of the user's, lie."""
    if weights in list_shipped_weights():
        return NeededWeights(weights, WEIGHTS_DIR / f"{weights}.safetensors")
    return NeededWeights(weights, Path(weights).expanduser())


def list_shipped_weights() -> tuple[str, ...]:
    """Names of the weights that ship in the package, sorted."""
    return tuple(sorted(path.stem for path in WEIGHTS_DIR.glob("*.safetensors")))


def choose_weights_dir(folder: StrPath | None) -> Path | None:
    """The weights folder that was given, or that of the environment; None for neither."""
    if folder is not None:
        return to_path(folder)
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
    # Older versions of the check below let letters of all alphabets pass.
    if not weights.isascii() or weights.count("/") != 1 or weights.endswith(STATE_SUFFIXES):
        return False
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined] # documented

    try:
        validate_repo_id(weights)
    except HFValidationError:
        return False
    return not Path(weights).expanduser().exists()


def show_repository(weights: str) -> str:
    """A folder of the hub's cache as ``owner/name``, for messages; all else as it is.

    >>> show_repository("/home/me/hub/models--owner--name/snapshots/c0ffee"), show_repository("a")
    ('owner/name', 'a')
    """
    found = IN_CACHE.search(weights)
    return f"{found['owner']}/{found['name']}" if found else weights


def holds_weights(folder: Path) -> bool:
    """Whether a folder has weights, all parts of them where an index names several.

    A download that was cut off may have left the rest alone.
    """
    parts = (part for index in folder.glob("*.index.json") for part in _list_parts(index))
    return bool(list_state_files(folder)) and all((folder / part).is_file() for part in parts)


def _list_parts(index: Path) -> set[str]:
    """The files that an index of weights names, none where it cannot be read."""
    try:
        weight_map = json.loads(index.read_bytes()).get("weight_map", {})
        return {str(part) for part in weight_map.values()}
    except (OSError, ValueError, AttributeError):
        return set()  # whoever reads the weights says what is wrong with it


def list_state_files(folder: Path) -> list[Path]:
    """The weights in a folder that ``save_pretrained`` made, one file or several in order."""
    there = (path.name for path in folder.glob("*") if path.is_file())  # links may dangle
    return [folder / name for name in choose_state_files(there)]


def choose_state_files(names: Iterable[str]) -> list[str]:
    """The weights among files by name, sorted, in the safest format that there is.

    >>> choose_state_files(["pytorch_model.bin", "model.safetensors", "config.json"])
    ['model.safetensors']
    """
    found = sorted(names)
    formats = ([name for name in found if name.endswith(suffix)] for suffix in STATE_SUFFIXES)
    return next(filter(None, formats), [])
