"""The layouts of published repositories: which files they hold, and which tensors of which shapes.

Each is a JSON file in ``fuse/weights/layouts``, named after the repository. It was collected from
public descriptions, which it names; what was not found it says, too. With it a net can be built
as it is published without its weights, for `fuse.models.cost` and for tests.

A line of the tensors is a name and a shape, as ``layers.{0-23}.norm1.weight 1024``: numbers in
braces stand for one tensor each.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from fuse.models.weights.sources import WEIGHTS_DIR

LAYOUTS_DIR = WEIGHTS_DIR / "layouts"
RANGE = re.compile(r"\{([\d,-]+)\}")
SPREAD = 0.02  # standard deviation of random weights, as transformers draws them


@dataclass(frozen=True, slots=True)
class Layout:
    """What is in a published repository.

    Attributes:
        repository: ``owner/name`` on the Hugging Face hub.
        sources: where that was read.
        unknown: what was not found, and what stands for it.
        files: configurations by file name.
        shapes: of the tensors by name.
    """

    repository: str
    sources: tuple[str, ...]
    unknown: str
    files: dict[str, dict[str, Any]]
    shapes: dict[str, tuple[int, ...]]


def find_layout(repository: str) -> Layout | None:
    """The layout of a repository; None where none is known."""
    path = LAYOUTS_DIR / f"{repository.replace('/', '--')}.json"
    if not path.is_file():
        return None
    described = json.loads(path.read_bytes())
    return Layout(
        repository=described["repository"],
        sources=tuple(described["sources"]),
        unknown=described["unknown"],
        files=described["files"],
        shapes=dict(shape for line in described["tensors"] for shape in expand(line)),
    )


def list_layouts() -> list[str]:
    """The repositories whose layout is known, sorted."""
    return sorted(path.stem.replace("--", "/") for path in LAYOUTS_DIR.glob("*.json"))


def expand(line: str) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the tensors of one line.

    >>> expand("layers.{0-1}.bias 4")
    [('layers.0.bias', (4,)), ('layers.1.bias', (4,))]
    """
    name, *sides = line.split()
    shape = tuple(map(int, sides))
    pieces = RANGE.split(name)  # text and ranges in turn
    choices = [_list_numbers(text) for text in pieces[1::2]]
    names = []
    for numbers in product(*choices):
        parts = [text + number for text, number in zip(pieces[::2], [*numbers, ""], strict=True)]
        names.append(("".join(parts), shape))
    return names


def _list_numbers(text: str) -> list[str]:
    """Numbers of a range in braces.

    >>> _list_numbers("0-2,5")
    ['0', '1', '2', '5']
    """
    numbers: list[str] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers += [str(number) for number in range(int(first), int(last or first) + 1)]
    return numbers


def write_random(layout: Layout, folder: Path) -> Path:
    """A folder in that layout, its tensors drawn at random in half precision; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in layout.files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    generator = torch.Generator().manual_seed(0)
    state = {name: _draw(name, shape, generator) for name, shape in layout.shapes.items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _draw(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """A tensor as a fresh net has it: norms change nothing, the rest is small."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if name.endswith(("relative_position_index", "position_ids")):
        return torch.zeros(shape, dtype=torch.int64)
    if name.endswith(("bias", "running_mean")):
        return torch.zeros(shape, dtype=torch.float16)
    if len(shape) < 2:
        return torch.ones(shape, dtype=torch.float16)
    return (SPREAD * torch.randn(shape, generator=generator)).to(torch.float16)
