"""What a label map covers, and the PQ that it leaves within reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from fuse.evaluation.evaluate import Evaluation, summarize_images
from fuse.evaluation.image_scores import ImageScore, ImageScores
from fuse.evaluation.scorer import TruthScorer
from fuse.io.coco.categories import categories_to_json
from fuse.io.coco.panoptic import ImageId, read_panoptic_json
from fuse.io.csv_files import write_label_map
from fuse.io.files import StrPath, to_path
from fuse.labels import (
    LabelMap,
    draft_label_map,
    find_label_map,
    list_spaces,
    load_category_ids,
    load_space,
    map_panoptic,
    read_label_map,
)
from fuse.threads import count_steps, map_threads
from fuse.types import LabelSpace, PanopticPrediction
from fuse.types.short_repr import ShortRepr


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LabelAudit(ShortRepr):
    """What a label map covers, by names in the order of the label spaces.

    Attributes:
        source: the label space that is mapped.
        target: the label space that is mapped to.
        covered: target categories that a source category goes to.
        unmapped_source: source categories that go to void.
        unmapped_target: target categories that no source category goes to.
        many_to_one: by target category, the source categories that meet in it (two or more).
        one_to_many: by source category, the target categories that it takes in, first the one
            it goes to (or ``void``).
        kind_changes: by source category, the target category of the other kind that it goes to:
            a thing that becomes stuff, or stuff that becomes a thing.
        through: label spaces that a chain of maps leads through.
        ceiling: PQ of the ground truth after the way to the source space and back; None
            without a ground truth.
    """

    source: LabelSpace
    target: LabelSpace
    covered: tuple[str, ...]
    unmapped_source: tuple[str, ...]
    unmapped_target: tuple[str, ...]
    many_to_one: dict[str, tuple[str, ...]]
    one_to_many: dict[str, tuple[str, ...]]
    kind_changes: dict[str, str]
    through: tuple[str, ...] = ()
    ceiling: Evaluation | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values; ``ceiling`` as `Evaluation.to_json`, or None."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {
            "source": self.source.name,
            "target": self.target.name,
            "ceiling": self.ceiling.to_json() if self.ceiling else None,
        }

    def rows(self) -> list[tuple[str, str, str]]:
        """(what, how many, which ones) for a table; the ceiling has tables of its own."""
        source, target = self.source, self.target
        # Some of ADE20K's names hold commas.
        merged = [f"{name} ({' | '.join(names)})" for name, names in self.many_to_one.items()]
        split = [f"{name} ({' | '.join(names)})" for name, names in self.one_to_many.items()]
        changed = [f"{name} > {other}" for name, other in self.kind_changes.items()]
        covered = {
            kind: f"{sum(target.by_id[i].name in self.covered for i in ids)} of {len(ids)}"
            for kind, ids in (("things", target.thing_ids), ("stuff", target.stuff_ids))
        }
        through = [("through", str(len(self.through)), "; ".join(self.through))]
        return [
            *(through if self.through else ()),
            *((f"{target.name} {kind} covered", count, "") for kind, count in covered.items()),
            _row(f"{target.name} without a source", self.unmapped_target, target),
            _row(f"{source.name} that go to void", self.unmapped_source, source),
            ("many to one", str(len(merged)), "; ".join(merged)),
            ("one to many", str(len(split)), "; ".join(split)),
            ("things to stuff or back", str(len(changed)), "; ".join(changed)),
        ]


def list_space_rows() -> list[tuple[str, str, str, str]]:
    """(name, things, stuff, rows of a net that speaks it) of each label space that ships."""
    spaces = [load_space(name) for name in list_spaces()]
    return [
        (s.name, str(len(s.thing_ids)), str(len(s.stuff_ids)), str(len(load_category_ids(s.name))))
        for s in spaces
    ]


def list_category_rows(name: StrPath) -> list[tuple[str, ...]]:
    """(category_id, name, kind, supercategory, row of a net) of each category of a label space.

    The space is given as for `list_coco_categories`.

    >>> list_category_rows("cityscapes")[0]
    ('7', 'road', 'stuff', 'flat', '0')
    """
    row_of = {category_id: row for row, category_id in enumerate(load_category_ids(str(name)))}
    return [
        (
            str(category.file_id),
            category.name,
            "thing" if category.isthing else "stuff",
            category.supercategory,
            str(row_of[category.category_id]),
        )
        for category in load_space(name).categories
    ]


def list_coco_categories(name: StrPath) -> list[dict[str, Any]]:
    """The categories of a label space as they stand in a COCO panoptic JSON.

    Args:
        name: of a label space that ships, or the path of a CSV file.

    Raises:
        LabelSpaceError: there is no such space, or its file is wrong.

    >>> list_coco_categories("cityscapes")[0]  # doctest: +NORMALIZE_WHITESPACE
    {'id': 7, 'name': 'road', 'isthing': 0, 'supercategory': 'flat', 'color': (128, 64, 128)}
    """
    return categories_to_json(load_space(name))


def draft(source: StrPath, target: StrPath, path: StrPath) -> LabelMap:
    """Write the map from one label space to another as a CSV file to be completed by hand.

    It is the one that ships; where none does, categories of one name are joined and the others
    go to void. The spaces are given as for `audit`.

    Raises:
        LabelSpaceError: a space is unknown, or its file is wrong.
        DataError: there is such a file already.
    """
    label_map = draft_label_map(load_space(source), load_space(target))
    write_label_map(to_path(path), label_map)
    return label_map


def audit(
    source: StrPath,
    target: StrPath,
    gt: StrPath | None = None,
    *,
    map_file: StrPath | None = None,
    gt_dir: StrPath | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> LabelAudit:
    """Say what a label map covers and, with a ground truth, the PQ that it leaves within reach.

    Args:
        source: a label space by name, or the path of its CSV file.
        target: the same.
        gt: COCO panoptic JSON, in the target space or in one that a map leads from.
        map_file: a map of one's own, by default the one that ships.
        gt_dir: folder of the PNGs, by default the JSON's path without its ending.
        on_progress: called with the images done and the images in all.

    Raises:
        LabelSpaceError: a space or map is unknown, or its file is wrong.
        CocoFormatError: the JSON cannot be read.
        DataError: the ground truth cannot be scored.

    >>> found = audit("cityscapes", "coco_panoptic")
    >>> found.unmapped_source, found.many_to_one
    (('pole', 'traffic sign'), {'person': ('person', 'rider')})
    """
    spaces = load_space(source), load_space(target)
    label_map = read_label_map(to_path(map_file), *spaces) if map_file else find_label_map(*spaces)
    found = audit_map(label_map)
    if gt is None:
        return found
    return replace(found, ceiling=score_ceiling(label_map, gt, gt_dir, on_progress=on_progress))


def audit_map(label_map: LabelMap) -> LabelAudit:
    """What a label map covers, without a ground truth."""
    source, target = label_map.source, label_map.target
    sources: dict[str, tuple[str, ...]] = {category.name: () for category in target.categories}
    one_to_many, kind_changes = {}, {}
    for category_id, category in source.by_id.items():
        goal = target.by_id.get(label_map.target_ids[category_id])
        if goal:
            sources[goal.name] += (category.name,)
            if goal.isthing != category.isthing:
                kind_changes[category.name] = goal.name
        further = tuple(target.by_id[i].name for i in label_map.also.get(category_id, ()))
        if further:
            one_to_many[category.name] = (goal.name if goal else "void", *further)
    return LabelAudit(
        source=source,
        target=target,
        covered=tuple(name for name, names in sources.items() if names),
        unmapped_source=tuple(
            c.name for c in source.categories if not label_map.target_ids[c.category_id]
        ),
        unmapped_target=tuple(name for name, names in sources.items() if not names),
        many_to_one={name: names for name, names in sources.items() if len(names) > 1},
        one_to_many=one_to_many,
        kind_changes=kind_changes,
        through=label_map.through,
    )


def score_ceiling(
    label_map: LabelMap,
    gt: StrPath,
    gt_dir: StrPath | None = None,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """PQ of a ground truth after `push_truth`: of a net that names everything rightly.

    Instances take the commonest class; what else a source category takes in is not reached.
    Arguments and errors are those of `audit`.
    """
    truth = read_panoptic_json(gt, gt_dir)
    same = truth.space.by_id.keys() == label_map.target.by_id.keys()
    to_target = find_label_map(truth.space, label_map.target)
    scorer = TruthScorer(truth, None if same else to_target)

    def score(image_id: ImageId) -> ImageScore:
        return scorer.score(image_id, push_truth(scorer.load(image_id), label_map))

    step = count_steps(on_progress, len(truth.annotations))
    with map_threads(score, truth.annotations, on_result=step) as scored:
        return summarize_images(scorer, ImageScores(scored))


def push_truth(truth: PanopticPrediction, label_map: LabelMap) -> PanopticPrediction:
    """What is left of a ground truth in a map's target space after the way there and back.

    Each category is first called by the source category that stands for it, as a perfect net
    would, then mapped. Crowds become void, since no net is asked to find them; stuff that
    becomes a thing is one object and no crowd.
    """
    crowds = [segment.segment_id for segment in truth.segments_info if segment.iscrowd]
    left = PanopticPrediction(
        np.where(np.isin(truth.panoptic_map, crowds), np.int32(0), truth.panoptic_map),
        tuple(segment for segment in truth.segments_info if not segment.iscrowd),
    )
    back = LabelMap(label_map.target, label_map.source, label_map.source_ids)
    for way in (back, label_map):
        mapped = map_panoptic(left, way)
        segments = tuple(replace(segment, iscrowd=False) for segment in mapped.segments_info)
        left = PanopticPrediction(mapped.panoptic_map, segments)
    return left


def _row(what: str, names: Sequence[str], space: LabelSpace) -> tuple[str, str, str]:
    return what, f"{len(names)} of {len(space.categories)}", "; ".join(names)
