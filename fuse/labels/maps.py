"""Maps from one label space to another: what they are, which one leads where, their CSV files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from fuse.errors import LabelSpaceError, did_you_mean
from fuse.labels.spaces import contains, is_shipped, list_spaces, load_space, read_csv
from fuse.types import LabelSpace

VOID = "void"  # as a target's name: the source category has no counterpart
MAPS_DIR = Path(__file__).parent / "maps"
COLUMNS = ("source", "target")
ALSO = "also"  # third column, where it is needed: names parted by |
OWN_MAP = (
    "a pipeline speaks other classes by a map of one's own: fuse labels draft --help; "
    "labels get the ids of a label space by fuse convert --label-space"
)
SWAPPED = "a label map leads the other way only: are the two files swapped?"


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
        through: names of the label spaces that a chain of maps leads through.

    Raises:
        LabelSpaceError: a source category has no entry, or an entry's target does not exist.
    """

    source: LabelSpace
    target: LabelSpace
    target_ids: dict[int, int]
    also: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    through: tuple[str, ...] = ()

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

    def describe_way(self) -> str:
        """Which spaces a chain of maps leads through, in words."""
        through = " and ".join(self.through)
        return f"its labels go from {self.source.name} to {self.target.name} through {through}"

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


def list_maps() -> tuple[tuple[str, str], ...]:
    """(source, target) names of the label maps that ship, sorted."""
    spaces = list_spaces()
    return tuple(
        (source, target)
        for source in spaces
        for target in spaces
        if (MAPS_DIR / f"{source}_to_{target}.csv").is_file()
    )


def find_label_map(source: LabelSpace, target: LabelSpace) -> LabelMap:
    """The map that leads from source to target.

    Where one space is a part of the other, categories keep their ids and what the target lacks
    goes to void. Else it is a map that ships for the source, or for a space that the source is
    a part of (COCO's things take COCO panoptic's). Else it is the shortest chain of such maps
    (`LabelMap.through`), of several the one by which the fewest categories go to void.

    Raises:
        LabelSpaceError: no such map or chain ships.

    >>> super_map = find_label_map(load_space("coco_panoptic"), load_space("coco_super"))
    >>> super_map.target.by_id[super_map.target_ids[17]].name  # cat
    'animal'
    >>> find_label_map(load_space("coco_things"), load_space("coco_panoptic")).is_identity
    True
    >>> find_label_map(load_space("voc"), load_space("coco_super")).through
    ('coco_panoptic',)
    """
    if (direct := _find_direct(source, target)) is not None:
        return direct
    ways, seen = _list_steps(source), {source.name}
    while ways:
        arrived = [
            chain_maps(way, last)
            for way in ways
            if (last := _find_direct(way.target, target)) is not None
        ]
        if arrived:
            return min(arrived, key=lambda way: list(way.target_ids.values()).count(0))
        seen |= {way.target.name for way in ways}
        ways = [
            chain_maps(way, step)
            for way in ways
            for step in _list_steps(way.target)
            if step.target.name not in seen
        ]
    shipped = ", ".join(f"{name} to {target_name}" for name, target_name in list_maps())
    raise LabelSpaceError(
        f"no label map leads from {source.name!r} to {target.name!r}; shipped are {shipped}"
    )


def _find_direct(source: LabelSpace, target: LabelSpace) -> LabelMap | None:
    """The map that leads from source to target without another space between; None without one."""
    if contains(target, source.categories) or contains(source, target.categories):
        kept = {key: key if key in target.by_id else 0 for key in source.by_id}
        return LabelMap(source, target, kept)
    if not is_shipped(target):
        return None
    return next((m for m in _list_steps(source) if m.target.name == target.name), None)


def _list_steps(source: LabelSpace) -> list[LabelMap]:
    """The maps that ship for a space, or for one that it is a part of, sorted by their names."""
    return [
        _restrict(_read_shipped(name, target_name), source)
        for name, target_name in list_maps()
        if contains(load_space(name), source.categories)
    ]


@cache
def _read_shipped(source: str, target: str) -> LabelMap:
    path = MAPS_DIR / f"{source}_to_{target}.csv"
    return read_label_map(path, load_space(source), load_space(target))


def _restrict(label_map: LabelMap, source: LabelSpace) -> LabelMap:
    """The map of a space that is a part of the map's source."""
    target_ids = {category_id: label_map.target_ids[category_id] for category_id in source.by_id}
    also = {key: ids for key, ids in label_map.also.items() if key in source.by_id}
    return LabelMap(source, label_map.target, target_ids, also)


def chain_maps(first: LabelMap, second: LabelMap) -> LabelMap:
    """Both maps one after the other; what a category also takes in goes along.

    Args:
        first: from the source.
        second: from the first one's target.
    """
    also: dict[int, tuple[int, ...]] = {}
    target_ids: dict[int, int] = {}
    for source_id, middle_id in first.target_ids.items():
        middle_ids = [i for i in (middle_id, *first.also.get(source_id, ())) if i]
        goals = [
            i for m in middle_ids for i in (second.target_ids[m], *second.also.get(m, ())) if i
        ]
        target_ids[source_id] = second.target_ids[middle_id] if middle_id else 0
        further = tuple(i for i in dict.fromkeys(goals) if i != target_ids[source_id])
        if further:
            also[source_id] = further
    through = (*first.through, second.source.name, *second.through)
    return LabelMap(first.source, second.target, target_ids, also, through)


def draft_label_map(source: LabelSpace, target: LabelSpace) -> LabelMap:
    """The map that leads from source to target, else one to be completed by hand.

    That one joins categories of one name, in capitals or not, and sends the others to void.
    """
    try:
        return find_label_map(source, target)
    except LabelSpaceError:
        ids = {c.name.casefold(): c.category_id for c in target.categories}
        target_ids = {c.category_id: ids.get(c.name.casefold(), 0) for c in source.categories}
        return LabelMap(source, target, target_ids)


def find_truth_map(
    truth: LabelSpace,
    pred: LabelSpace,
    used_ids: Iterable[int] | None = None,
    *,
    official: bool = False,
) -> LabelMap | None:
    """The map that carries ground truth into the predictions' label space; None = not needed.

    Args:
        truth: categories of the ground truth.
        pred: categories of the predictions.
        used_ids: category ids that the predictions use, by default all.
        official: compare ids alone; the official scorer does not read the predictions' names.

    Raises:
        LabelSpaceError: the categories differ and no map ships.
    """
    true_names = {c.category_id: c.name for c in truth.categories}
    different = [c for c in pred.categories if true_names.get(c.category_id) != c.name]
    if not different:
        return None
    try:
        return find_label_map(truth, pred)
    except LabelSpaceError as err:
        used = set(pred.by_id if used_ids is None else used_ids)
        wrong = [c for c in different if not official or c.category_id not in true_names]
        if used.isdisjoint(c.category_id for c in wrong):
            return None
        first = different[0]
        theirs = true_names.get(first.category_id, "no category")
        advice = f"{err}; {OWN_MAP}" if not _has_map(pred, truth) else SWAPPED
        raise LabelSpaceError(
            f"the predictions' categories are not the ground truth's: id {first.file_id} is "
            f"{first.name!r} in {pred.name} and {theirs!r} in {truth.name}; {advice}"
        ) from err


def _has_map(source: LabelSpace, target: LabelSpace) -> bool:
    """Whether a map leads from one to the other."""
    try:
        find_label_map(source, target)
    except LabelSpaceError:
        return False
    return True


def read_label_map(path: Path, source: LabelSpace, target: LabelSpace) -> LabelMap:
    """Read a map from a CSV file with the columns source,target and, if needed, also.

    Every source category has one line. The columns hold names; target is the one category it
    goes to, or ``void``; also holds further ones that it takes in, parted by ``|``.

    Raises:
        LabelSpaceError: the file cannot be read, a name is unknown, or a source category is
            missing or stands twice; the message names the file and the line. Or a category of
            the target is called ``void``.
    """
    _refuse_void(target)
    target_ids: dict[int, int] = {}
    also: dict[int, tuple[int, ...]] = {}
    for line, row in read_csv(path, "label map", COLUMNS, (*COLUMNS, ALSO)):
        where = f"{path}, line {line}"
        if None in row:
            raise LabelSpaceError(
                f'{where}: too many values; a name with a comma stands in "quotes"'
            )
        source_id = _find_id(source, row["source"], where)
        if source_id in target_ids:
            raise LabelSpaceError(f"{where}: {row['source']!r} stands twice")
        target_ids[source_id] = (
            0 if row["target"] == VOID else _find_id(target, row["target"], where)
        )
        if row.get(ALSO):
            also[source_id] = tuple(_find_id(target, name, where) for name in row[ALSO].split("|"))
    missing = next((c.name for c in source.categories if c.category_id not in target_ids), None)
    if missing is not None:
        raise LabelSpaceError(
            f"{path}: no line for {missing!r} of {source.name}; "
            f"where there is no counterpart, the target is {VOID}"
        )
    return LabelMap(source, target, target_ids, also)


def tabulate_label_map(label_map: LabelMap) -> list[tuple[str, ...]]:
    """The rows of a map's file, its header among them, as `read_label_map` reads them.

    Raises:
        LabelSpaceError: a category of the target is called ``void``.
    """
    _refuse_void(label_map.target)
    rows = [
        (source, target, "|".join(further))
        for source, (target, *further) in name_targets(label_map).items()
    ]
    return [(*COLUMNS, ALSO), *rows]


def _refuse_void(target: LabelSpace) -> None:
    """Raise LabelSpaceError for a target with a category that in a map's file means none."""
    if VOID in target.by_name:
        raise LabelSpaceError(
            f"{target.name} has a category {VOID!r}, which in a label map means none; rename it"
        )


def _find_id(space: LabelSpace, name: str, where: str) -> int:
    """The category_id of a name; LabelSpaceError with the nearest one where it is unknown."""
    if name in space.by_name:
        return space.by_name[name].category_id
    hint = did_you_mean(name, space.by_name)
    raise LabelSpaceError(f"{where}: {name!r} is not in {space.name}{hint}")
