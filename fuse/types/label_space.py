"""What categories there are: the label spaces that nets, ground truth and results speak.

In memory 0 is void, the category of a pixel that has none. Some files have a category 0, as those
that number their categories like the rows of a net. It has the id `ID_OF_ZERO` in memory, from
reading (`id_from_file`) to writing (`id_to_file`); all other ids are in memory as in files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fuse.errors import LabelSpaceError
from fuse.types.short_repr import ShortRepr

ID_OF_ZERO = 2**24 - 1  # maps of category ids are counted in pairs as maps of segment ids are
MAX_CATEGORY_ID = ID_OF_ZERO - 1  # of a file
NONE_BESIDE_ZERO = -1  # what a model writes for "no category" where 0 is one


def id_from_file(category_id: int) -> int:
    """The category_id in memory of one in a file.

    Raises:
        ValueError: it is none that a file may have.

    >>> id_from_file(17), id_from_file(0) == ID_OF_ZERO
    (17, True)
    """
    if not 0 <= category_id <= MAX_CATEGORY_ID:
        raise ValueError(f"category id {category_id} does not lie in 0..{MAX_CATEGORY_ID}")
    return category_id or ID_OF_ZERO


def id_to_file(category_id: int) -> int:
    """The category_id in a file of one in memory; its order is that of ids in tables, too.

    >>> id_to_file(17), id_to_file(ID_OF_ZERO)
    (17, 0)
    """
    return 0 if category_id == ID_OF_ZERO else category_id


@dataclass(frozen=True, slots=True, order=True)
class Category:
    """One class of a label space.

    Attributes:
        category_id: the dataset's own id; `ID_OF_ZERO` where that is 0, also when it is made
            with 0.
        name: unique within its space.
        isthing: True for countable objects, False for stuff.
        supercategory: the group the dataset files it under.
        color: red, green, blue, 0..255 each, for pictures only.
    """

    category_id: int
    name: str
    isthing: bool
    supercategory: str = ""
    color: tuple[int, int, int] = (128, 128, 128)

    def __post_init__(self) -> None:
        object.__setattr__(self, "category_id", self.category_id or ID_OF_ZERO)

    @property
    def file_id(self) -> int:
        """The category_id as files have it."""
        return id_to_file(self.category_id)


@dataclass(frozen=True, repr=False)
class LabelSpace(ShortRepr):
    """A named, ordered set of categories; the order is the class_index of nets that speak it.

    Raises:
        LabelSpaceError: there are no categories, an id is below 0 or does not fit 24 bits, or an
            id or a name stands twice.

    >>> space = LabelSpace("toy", (Category(7, "cat", True), Category(9, "sky", False)))
    >>> space.by_id[9].name, space.thing_ids, space.stuff_ids
    ('sky', (7,), (9,))
    """

    name: str
    categories: tuple[Category, ...]

    def __post_init__(self) -> None:
        ids = [category.category_id for category in self.categories]
        names = [category.name for category in self.categories]
        if not ids:
            raise LabelSpaceError(f"label space {self.name!r} has no categories")
        for category_id in ids:
            if not 1 <= category_id <= ID_OF_ZERO:
                fault = "below 0" if category_id < 0 else f"above {MAX_CATEGORY_ID}"
                raise LabelSpaceError(
                    f"label space {self.name!r}: category id {category_id} is {fault}"
                )
        columns: tuple[tuple[str, list[Any]], ...] = (
            ("category id", [category.file_id for category in self.categories]),
            ("name", names),
        )
        for what, values in columns:
            if len(set(values)) < len(values):
                twice = next(value for value in values if values.count(value) > 1)
                raise LabelSpaceError(f"label space {self.name!r}: {what} {twice!r} stands twice")

    @cached_property
    def by_id(self) -> dict[int, Category]:
        """Categories by category_id, in class_index order."""
        return {category.category_id: category for category in self.categories}

    @cached_property
    def by_name(self) -> dict[str, Category]:
        """Categories by name, in class_index order."""
        return {category.name: category for category in self.categories}

    @cached_property
    def thing_ids(self) -> tuple[int, ...]:
        """Category ids of things, ascending as in files."""
        return self._list_ids(isthing=True)

    @cached_property
    def stuff_ids(self) -> tuple[int, ...]:
        """Category ids of stuff, ascending as in files."""
        return self._list_ids(isthing=False)

    def _list_ids(self, *, isthing: bool) -> tuple[int, ...]:
        ids = (c.category_id for c in self.categories if c.isthing == isthing)
        return tuple(sorted(ids, key=id_to_file))

    @property
    def has_zero(self) -> bool:
        """Whether files have a category 0."""
        return ID_OF_ZERO in self.by_id

    @property
    def none_id(self) -> int:
        """What a model of this space writes for "no category": 0, or -1 where 0 is a category."""
        return NONE_BESIDE_ZERO if self.has_zero else 0

    def read_ids(self, ids: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """Category ids as a model or a preset has them, in memory: int32, 0 = void.

        Where 0 is a category, it may stand as 0 or as `ID_OF_ZERO`, and -1 is void.

        >>> LabelSpace("toy", (Category(0, "cat", True), Category(5, "sky", False))).read_ids(
        ...     [0, 5, -1]
        ... ).tolist() == [ID_OF_ZERO, 5, 0]
        True
        """
        array = np.asarray(ids, dtype=np.int32)
        if not self.has_zero:
            return array
        found = np.where(array == NONE_BESIDE_ZERO, 0, array)
        return np.where(array == 0, np.int32(ID_OF_ZERO), found)

    def write_ids(self, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Category ids in memory as a model has them, so that `read_ids` reads them."""
        return np.where(ids == 0, np.int32(self.none_id), ids) if self.has_zero else ids


def check_space(space: object) -> None:
    """TypeError with the call that mends it where something else was given, as a name."""
    if not isinstance(space, LabelSpace):
        mend = f"; fuse.load_space({space!r})" if isinstance(space, str) else ""
        raise TypeError(f"space must be a LabelSpace, got {space!r:.100}{mend}")


def list_file_ids(category_ids: Iterable[int]) -> list[int]:
    """Ids in memory as files have them, ascending, for messages."""
    return sorted(map(id_to_file, category_ids))
