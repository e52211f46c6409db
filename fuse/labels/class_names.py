"""What a net calls its classes, held against the rows of the label space that it is said to speak.

Names are compared loosely: in any case, with spaces, hyphens or underscores, with or without
COCO's "-merged", "-other" and "-stuff", and by any of the synonyms that a comma parts.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property

from fuse.errors import ConfigError, FuseWarning
from fuse.types import LabelSpace

SYNONYMS = re.compile(r"[,;/]")
ENDINGS = re.compile(r"(?:-(?:merged|other|stuff))+$")
# One thing in the words of PASCAL VOC, COCO, ADE20K (two lists of names are in use) and others.
SAME_WORDS = (
    ("aeroplane", "airplane", "plane"),
    ("motorbike", "motorcycle"),
    ("sofa", "couch"),
    ("tvmonitor", "tv", "television", "televisionreceiver"),
    ("hairdrier", "hairdryer"),
    ("donut", "doughnut"),
    ("window", "windowpane"),
    ("bathtub", "tub"),
    ("rail", "railing"),
    ("streetlight", "streetlamp"),
    ("apparel", "clothes"),
    ("waterfall", "falls"),
    ("ashcan", "trashcan"),
    ("swimmingpool", "pool"),
)
FIRST_WORD = {word: words[0] for words in SAME_WORDS for word in words}
# Of the names in their places, the share that a space may not know: other words for the same.
UNKNOWN_SHARE = 0.1
SHOWN = 3  # rows in a message


def match_names(
    source: str, names: Sequence[str], space: LabelSpace, ids: Sequence[int], *, is_list: bool
) -> Sequence[int]:
    """The category_id of each class of a net that names them.

    Where the names are those of the rows in another order, they are believed, and a `FuseWarning`
    says so; also where a few rows are called otherwise and no name stands elsewhere.

    Args:
        source: the net in words, for messages.
        names: of its classes, as many as ids.
        space: the label space.
        ids: what its rows were said to be, in memory, 0 = none.
        is_list: whether they are the rows of the space, not ids that somebody chose for the net;
            such may mean something else by a name.

    Raises:
        ConfigError: the names are not those of the space; names the first rows that differ.
    """
    known = _Names(space)
    found = [known.find(name) for name in names]
    rows = range(len(ids))
    differing = [row for row in rows if not known.fits(names[row], found[row], ids[row])]
    if not differing:
        return ids
    described = _describe(differing, names, space, ids)
    by_name = [i or 0 for i in found]
    if sorted(by_name) == sorted(ids) and _has_each_once(ids):
        warnings.warn(
            FuseWarning(
                f"{source}: its classes have the names of {space.name!r} in another order, so they "
                f"are taken by name ({described})"
            ),
            stacklevel=3,
        )
        return by_name
    misplaced = [row for row in differing if found[row] is not None]
    if is_list and (misplaced or len(differing) > UNKNOWN_SHARE * len(ids)):
        raise ConfigError(
            f"{source}: its classes are not those of label space {space.name!r}: {described}; "
            "give the label space that it speaks, or class_ids"
        )
    if is_list or misplaced:
        warnings.warn(
            FuseWarning(f"{source}: calls classes otherwise than {space.name!r}: {described}"),
            stacklevel=3,
        )
    return ids


def _has_each_once(ids: Sequence[int]) -> bool:
    """Whether no category stands twice among ids; 0 is none."""
    categories = [i for i in ids if i]
    return len(set(categories)) == len(categories)


def find_fitting_spaces(
    names: Sequence[str], spaces: Iterable[tuple[LabelSpace, Sequence[int]]]
) -> list[str]:
    """Names of the spaces whose rows a net's classes are called by, all of them.

    Args:
        names: of the net's classes.
        spaces: label spaces and their rows, as many as names.
    """
    fitting = []
    for space, ids in spaces:
        known = _Names(space)
        if all(known.fits(name, known.find(name), i) for name, i in zip(names, ids, strict=True)):
            fitting.append(space.name)
    return fitting


class _Names:
    """The names of a label space, to be found however they are spelt."""

    def __init__(self, space: LabelSpace) -> None:
        self._space = space

    def find(self, name: str) -> int | None:
        """The category_id of a name, by its whole or by a synonym; None unless it is just one."""
        for ids_by_spelling, spellings in (
            (self._whole, [_plain(name)]),
            (self._loose, spell(name)),
        ):
            ids = {i for spelling in spellings for i in ids_by_spelling.get(spelling, ())}
            if len(ids) == 1:
                return ids.pop()
        return None

    def fits(self, name: str, found: int | None, category_id: int) -> bool:
        """Whether a row may be called so; a row of no category by anything but a category."""
        if category_id == 0:
            return found is None
        own = self._space.by_id[category_id].name
        return found == category_id or not spell(name).isdisjoint(spell(own))

    @cached_property
    def _whole(self) -> dict[str, set[int]]:
        by_spelling: dict[str, set[int]] = defaultdict(set)
        for category in self._space.categories:
            by_spelling[_plain(category.name)].add(category.category_id)
        return by_spelling

    @cached_property
    def _loose(self) -> dict[str, set[int]]:
        by_spelling: dict[str, set[int]] = defaultdict(set)
        for category in self._space.categories:
            for spelling in spell(category.name):
                by_spelling[spelling].add(category.category_id)
        return by_spelling


def spell(name: str) -> frozenset[str]:
    """How a name may be written: its whole and its synonyms, with COCO's endings and without.

    Of words that mean the same (`SAME_WORDS`) it is the first, too.

    >>> sorted(spell("Sky-other-merged")), sorted(spell("plane, air_plane"))
    (['sky', 'skyothermerged'], ['aeroplane', 'airplane', 'plane', 'planeairplane'])
    """
    parts = [name, *SYNONYMS.split(name)]
    parts += [ENDINGS.sub("", part.strip().casefold().replace("_", "-")) for part in parts]
    plain = [_plain(part) for part in parts]
    return frozenset(filter(None, (*plain, *map(FIRST_WORD.get, plain))))


def _plain(name: str) -> str:
    """A name without all but letters and digits, in lower case."""
    return re.sub(r"[\W_]", "", name.casefold())


def _describe(
    rows: Sequence[int], names: Sequence[str], space: LabelSpace, ids: Sequence[int]
) -> str:
    """The first of some rows, and what they should be: "class 0 is 'sky', not 'road'"."""
    shown = [
        f"class {row} is {names[row]!r}, not {space.by_id[ids[row]].name!r}"
        if ids[row]
        else f"class {row} is {names[row]!r}, not none"
        for row in rows[:SHOWN]
    ]
    more = [f"{len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
    return "; ".join(shown + more)
