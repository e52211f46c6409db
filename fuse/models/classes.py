"""Which category each row of a net's answer means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fuse.errors import ConfigError, LabelSpaceError
from fuse.labels import list_spaces, load_category_ids, load_space
from fuse.types import Int32Array, LabelSpace


def resolve_classes(
    source: str, count: int, label_space: str | None, class_ids: Sequence[int] | None
) -> tuple[LabelSpace, Int32Array]:
    """The label space a net speaks and the category_id of each of its classes.

    Args:
        source: the net in words, for messages.
        count: classes the net answers with.
        label_space: name or CSV path of a label space.
        class_ids: category_id per class, 0 = none; by default those of the space's rows, see
            `fuse.labels.load_category_ids`.

    Returns:
        The space, and int32 (count,).

    Raises:
        ConfigError: label_space is missing, or the number of classes is another.
        LabelSpaceError: there is no such space, or it lacks an id.

    >>> resolve_classes("a net", 2, "coco_super", [0, 13])[1].tolist()
    [0, 13]
    """
    if label_space is None:
        raise ConfigError(f"{source} does not say what its {count} classes are; set label_space")
    space = load_space(label_space)
    ids = load_category_ids(label_space) if class_ids is None else class_ids
    if len(ids) != count:
        given = f"label space {space.name!r}" if class_ids is None else "class_ids"
        raise ConfigError(
            f"{source} has {count} classes, but {given} has {len(ids)}; "
            f"{_suggest_spaces(count)}set class_ids, one category_id per class with 0 for none"
        )
    unknown = next((i for i in ids if i != 0 and i not in space.by_id), None)
    if unknown is not None:
        raise LabelSpaceError(
            f"class_ids of {source}: {unknown!r} is no category_id of {space.name!r}"
        )
    return space, np.array(ids, dtype=np.int32)


def _suggest_spaces(count: int) -> str:
    """Names of the shipped spaces of that size as half a sentence, or nothing."""
    fitting = [name for name in list_spaces() if len(load_category_ids(name)) == count]
    return f"with {count} ship {', '.join(fitting)}; or " if fitting else ""
