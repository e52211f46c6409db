"""Which objects tell a class from its like, as data: a rider is a person over a bicycle."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

from fuse.errors import LabelSpaceError
from fuse.types import LabelSpace

PARTNERS_DIR = Path(__file__).parent / "partners"


@cache
def load_partners(space: LabelSpace) -> dict[int, tuple[int, ...]]:
    """By category_id, the categories that objects of it sit over: those of rider, say.

    The file of the space's name has the columns category,partners, names parted by ``|``.

    Raises:
        LabelSpaceError: no such file ships, or the space lacks a name in it.

    >>> from fuse.labels import load_space
    >>> load_partners(load_space("cityscapes"))  # rider: bicycle, motorcycle
    {25: (33, 32)}
    """
    path = PARTNERS_DIR / f"{space.name}.csv"
    if not path.is_file():
        shipped = ", ".join(sorted(file.stem for file in PARTNERS_DIR.glob("*.csv")))
        raise LabelSpaceError(
            f"fusion.class_choice 'overlap' needs partners, and label space {space.name!r} has "
            f"none; {shipped} have, elsewhere take 'commonest' or 'evidence'"
        )
    ids = {category.name: category.category_id for category in space.categories}
    with path.open(encoding="utf-8", newline="") as file:
        try:
            return {
                ids[row["category"]]: tuple(ids[name] for name in row["partners"].split("|"))
                for row in csv.DictReader(file)
            }
        except KeyError as err:
            raise LabelSpaceError(f"{path}: {err} is not in {space.name}") from err
