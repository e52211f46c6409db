"""Classes of other libraries joined to a label space by name, never by index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from fuse.errors import LabelSpaceError
from fuse.types import Category, LabelSpace
from fuse.types.label_space import check_space
from fuse.types.readers import Names

MOST_NEAR = 3  # names that an error offers
NEAREST = 0.4  # similarity from which a name is near


def find_category(name: str, space: LabelSpace) -> Category:
    """The category of a name.

    Raises:
        LabelSpaceError: the space has none; says the nearest names.
        TypeError: the space is no `LabelSpace`.
    """
    check_space(space)
    if name in space.by_name:
        return space.by_name[name]
    near = get_close_matches(name, space.by_name, n=MOST_NEAR, cutoff=NEAREST)
    hint = f"nearest are {', '.join(map(repr, near))}" if near else "no name is near"
    raise LabelSpaceError(f"class {name!r} is not in {space.name}; {hint}")


def check_names(names: object) -> None:
    """TypeError where names are neither a list nor a dict."""
    if names is not None and (isinstance(names, str) or not isinstance(names, Sequence | Mapping)):
        raise TypeError(
            "names must be a list, or a dict of numbers and names as model.config.id2label, got "
            f"{names!r:.100}"
        )


def find_categories(
    labels: Iterable[int], names: Names | None, space: LabelSpace
) -> list[Category | None]:
    """The category of each class number of a net, None of those whose name is None.

    Args:
        labels: class numbers.
        names: what they mean.
        space: where the names are looked up.

    Raises:
        LabelSpaceError: no names are given, a number has none, or a name is not in the space.
        TypeError: names are something else.
    """
    check_names(names)
    found: dict[int, Category | None] = {}
    labels = [int(label) for label in labels]
    for label in sorted(set(labels)):
        name = name_label(label, names)
        try:
            found[label] = None if name is None else find_category(name, space)
        except LabelSpaceError as err:
            raise LabelSpaceError(
                f"{err}; in names give class {label} one of the space, or None to leave it out"
            ) from err
    return [found[label] for label in labels]


def name_label(label: int, names: Names | None) -> str | None:
    """What a class number means; None where it is to be left out.

    Raises:
        LabelSpaceError: nobody says so.
    """
    if names is None:
        raise LabelSpaceError(
            f"what is class {label}? Give names, a list or a dict of numbers and names, as "
            "model.config.id2label, model.names or metadata.thing_classes"
        )
    known = names if isinstance(names, Mapping) else dict(enumerate(names))
    if label not in known:
        raise LabelSpaceError(f"names has no class {label}, but {len(names)} others")
    return known[label]


def join_names(labels: Sequence[str], space: LabelSpace) -> list[Category | None]:
    """The category of each name.

    Raises:
        LabelSpaceError: a name is not in the space.
        TypeError: a class is no name.
    """
    strange = next((name for name in labels if not isinstance(name, str)), None)
    if strange is not None:
        raise TypeError(
            f"classes must be names, got {strange!r}; of category ids give "
            "[space.by_id[i].name for i in ids]"
        )
    return [find_category(name, space) for name in labels]
