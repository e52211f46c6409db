"""The label map that ground truth is scored through."""

from __future__ import annotations

from collections.abc import Iterable

from fuse.errors import LabelSpaceError
from fuse.labels.map_files import find_label_map
from fuse.labels.mapping import LabelMap
from fuse.types import LabelSpace


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
        raise LabelSpaceError(
            f"the predictions' categories are not the ground truth's: id {first.category_id} is "
            f"{first.name!r} in {pred.name} and {theirs!r} in {truth.name}; {err}"
        ) from err
