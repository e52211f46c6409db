"""Maps from one label space to another, and panoptic maps carried over by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from fuse.errors import LabelSpaceError
from fuse.types import LabelSpace

VOID = "void"  # as a target's name: the source category has no counterpart


@dataclass(frozen=True)
class LabelMap:
    """Where each category of a source space goes in a target space.

    A source category that takes in several target categories, as ADE20K's wall takes in
    COCO's five walls, goes to the commonest of them; `also` keeps the others.

    Attributes:
        source: the space that is mapped.
        target: the space that is mapped to.
        target_ids: target category_id by source category_id, 0 = void; every source
            category has an entry.
        also: by source category_id, the further target category_ids that it takes in.

    Raises:
        LabelSpaceError: a source category has no entry, or an entry's target does not exist.
    """

    source: LabelSpace
    target: LabelSpace
    target_ids: dict[int, int]
    also: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"label map {self.source.name} -> {self.target.name}"
        for category in self.source.categories:
            if category.category_id not in self.target_ids:
                raise LabelSpaceError(f"{where}: {category.name!r} is missing")
            target_id = self.target_ids[category.category_id]
            for known_id in (target_id, *self.also.get(category.category_id, ())):
                if known_id and known_id not in self.target.by_id:
                    raise LabelSpaceError(
                        f"{where}: {category.name!r} goes to unknown id {known_id}"
                    )

    @property
    def is_identity(self) -> bool:
        """True where every category keeps its id."""
        return all(source == target for source, target in self.target_ids.items())

    @cached_property
    def source_ids(self) -> dict[int, int]:
        """The way back: by target category_id the source category that stands for it, 0 = none.

        That is the first one that goes there, else the first one that also takes it in.
        """
        back = dict.fromkeys(self.target.by_id, 0)
        for source_id, target_id in self.target_ids.items():
            if target_id and not back[target_id]:
                back[target_id] = source_id
        for source_id, further_ids in self.also.items():
            for target_id in further_ids:
                back[target_id] = back[target_id] or source_id
        return back

    @cached_property
    def targets(self) -> dict[str, tuple[int, ...]]:
        """By source category's name, its target category_id (0 = void) and the further ones."""
        return {
            category.name: (self.target_ids[i], *self.also.get(i, ()))
            for i, category in self.source.by_id.items()
        }

    @cached_property
    def choices(self) -> dict[int, tuple[int, ...]]:
        """What a mapped instance may be instead; see `find_choices`."""
        return find_choices(self.targets)


def find_choices(targets: Mapping[str, Sequence[int]]) -> dict[int, tuple[int, ...]]:
    """By target category_id, what a mapped instance of it may be instead.

    These are the further targets of all source categories that go there, each once.

    Args:
        targets: as `LabelMap.targets`.

    >>> find_choices({"car": [3, 8], "van": [3, 8, 6], "sky": [0, 5], "cat": [17]})
    {3: (8, 6)}
    """
    found: dict[int, dict[int, None]] = {}
    for target_id, *further_ids in targets.values():
        if target_id and further_ids:
            found.setdefault(target_id, {}).update(dict.fromkeys(further_ids))
    return {
        target_id: tuple(i for i in further_ids if i != target_id)
        for target_id, further_ids in found.items()
    }


def name_targets(label_map: LabelMap) -> dict[str, list[str]]:
    """`LabelMap.targets` with names in place of ids, for run.json; `void` is 0."""
    names = {0: VOID} | {i: category.name for i, category in label_map.target.by_id.items()}
    return {source: [names[i] for i in ids] for source, ids in label_map.targets.items()}


def parse_targets(
    names: Mapping[str, Sequence[str]], target: LabelSpace
) -> dict[str, tuple[int, ...]]:
    """The way back from `name_targets`.

    Raises:
        KeyError: the target space lacks a name.
        ValueError: a source category has no target, not even `void`.
    """
    ids = {name: category.category_id for name, category in target.by_name.items()} | {VOID: 0}
    if not all(names.values()):
        raise ValueError("a category goes nowhere")
    return {source: tuple(ids[name] for name in wanted) for source, wanted in names.items()}
