"""The label space of a tool's labels: from a file, or made of the names that the tool has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from fuse.errors import ConfigError, DataError, LabelSpaceError, suggest
from fuse.findings import Note
from fuse.labels import load_space
from fuse.labels.colors import Color, voc_color
from fuse.types import Category, LabelSpace


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """What the user says of a tool's labels.

    Attributes:
        label_space: name, or path of a CSV; the labels are looked up in it by name.
        things: names of classes that are things; all others are stuff.
        stuff: names of classes that are stuff; all others are things.
        images: folder of the images, for tools that do not write their sizes.
        semantic: of COCO instances: a folder of label PNGs, or a stuff JSON.
        values: what the numbers of label PNGs are: ``category-id`` or ``class-index``.
    """

    label_space: str | None = None
    things: tuple[str, ...] = ()
    stuff: tuple[str, ...] = ()
    images: Path | None = None
    semantic: Path | None = None
    values: str = "category-id"


@dataclass(frozen=True, slots=True)
class NamedClass:
    """A class as a tool knows it; its id is None where the tool has none."""

    name: str
    category_id: int | None = None
    color: Color | None = None
    isthing: bool | None = None


def make_classes(
    classes: Sequence[NamedClass],
    options: LabelOptions,
    source: Path,
    *,
    things_by_default: bool = True,
) -> tuple[LabelSpace, list[Note]]:
    """The label space of the classes, and notes on what was assumed.

    Raises:
        LabelSpaceError: a class is not in the label space that was named.
        ConfigError: --things or --stuff name a class that there is not, or both are given.
        DataError: a class has no name, or two have one.
    """
    _check_names(classes, source)
    if options.label_space:
        if options.things or options.stuff:
            raise ConfigError("--label-space says what is a thing; leave out --things and --stuff")
        space = load_space(options.label_space)
        _check_known(classes, space, source)
        return space, []
    _check_kinds(classes, options, source)
    categories, assumed = [], []
    for number, one in enumerate(classes, start=1):
        isthing = _find_kind(one, options)
        if isthing is None:
            assumed.append(one.name)
            isthing = things_by_default
        category_id = number if one.category_id is None else one.category_id
        color = one.color or voc_color(number)
        categories.append(Category(category_id, one.name, isthing, color=color))
    if not categories:
        raise DataError(f"{source}: there are no classes, so nothing is labelled")
    code = "kinds-assumed" if things_by_default else "stuff-assumed"
    notes = [Note(code, repr(assumed[0]), len(assumed))] if assumed else []
    notes += _note_alike([one.name for one in classes])
    return LabelSpace(source.stem, tuple(categories)), notes


def _check_names(classes: Sequence[NamedClass], source: Path) -> None:
    for place, one in enumerate(classes):
        if not one.name or not one.name.strip():
            raise DataError(f"{source}: class {place} has no name; name it in the tool")
    twice = _find_twice(one.name for one in classes)
    if twice is not None:
        raise DataError(f"{source}: two classes are called {twice!r}; rename one in the tool")
    twice = _find_twice(one.category_id for one in classes if one.category_id is not None)
    if twice is not None:
        raise DataError(f"{source}: two classes have the id {twice}")


def _find_twice(values: Iterable[str | int]) -> str | int | None:
    """The first of them that stands twice."""
    return next((value for value, count in Counter(values).items() if count > 1), None)


def _note_alike(names: Sequence[str]) -> list[Note]:
    """A note where names are the same but for case and blanks, as slips of annotators are."""
    first: dict[str, str] = {}
    alike = [
        (other, name)
        for name in names
        if (other := first.setdefault(" ".join(name.split()).casefold(), name)) != name
    ]
    return [Note("classes-alike", " and ".join(map(repr, alike[0])), len(alike))] if alike else []


def _check_known(classes: Sequence[NamedClass], space: LabelSpace, source: Path) -> None:
    unknown = [one.name for one in classes if one.name not in space.by_name]
    if unknown:
        near = get_close_matches(unknown[0], space.by_name, n=3, cutoff=0.5)
        hint = f"; near it are {', '.join(map(repr, near))}" if near else ""
        raise LabelSpaceError(
            f"{source}: {len(unknown)} classes are not in label space {space.name!r}, first "
            f"{unknown[0]!r}{hint}; rename them, or give a CSV of your own"
        )


def _check_kinds(classes: Sequence[NamedClass], options: LabelOptions, source: Path) -> None:
    if options.things and options.stuff:
        raise ConfigError("give --things or --stuff; what is not named is the other")
    names = {one.name for one in classes}
    for name in (*options.things, *options.stuff):
        if name not in names:
            raise ConfigError(f"{source} has no class {name!r}; {suggest(name, sorted(names))}")


def _find_kind(one: NamedClass, options: LabelOptions) -> bool | None:
    """Whether a class is a thing; None where nobody says."""
    if options.things:
        return one.name in options.things
    if options.stuff:
        return one.name not in options.stuff
    return one.isthing
