"""What is wrong with a pair of panoptic JSONs, and what the scorer does about it.

The checks yield notes; `collect_findings` adds them up to one finding per kind of fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from fuse.errors import describe_size
from fuse.findings import Fault, Finding, Note, Severity, sum_notes
from fuse.io.coco.panoptic import ImageId, ImageRecord, PanopticDataset, SegmentRecord
from fuse.io.coco.results import LabelFolder, ResultsFile
from fuse.io.png import PngHeader, are_swapped, swap_channels
from fuse.ops.matching import SegmentTable
from fuse.types import Int32Array, Int64Array
from fuse.types.label_space import id_to_file

_OFFICIAL_STOPS = "the official scorer stops here; leave out --official to score"
_ERROR = Severity.ERROR
_SWAPPED = "write them as RGB: OpenCV's imwrite takes BGR, so give it png[..., ::-1]"

FAULTS = {
    "turned": Fault(
        "photos turned by 90 degrees against their ground truth, as where only one of the two "
        "follows the EXIF orientation of the image",
        "left out; fuse run --as-stored does not turn images",
        _OFFICIAL_STOPS,
        official_severity=_ERROR,
    ),
    "categories-differ": Fault(
        "categories that only one of the files has, or has otherwise",
        "the ground truth's are scored",
    ),
    "other-photo": Fault(
        "photos that are called otherwise in the predictions",
        "paired by image_id as COCO does; if the ids are another numbering, all is wrong",
    ),
    "run-renumbered": Fault(
        "photos that the run numbered otherwise than the ground truth",
        "paired by their names; other scorers go by image_id, so give --gt to the run for them",
    ),
    "pred-renumbered": Fault(
        "photos that the predictions number otherwise than the ground truth",
        "paired by their names; COCO's scorer goes by image_id, as --official does",
    ),
    "pred-no-categories": Fault(
        "prediction JSON without categories", "the ground truth's are used"
    ),
    "truth-no-isthing": Fault(
        "ground-truth categories without isthing",
        "taken from the shipped label space, else as things",
    ),
    "truth-no-iscrowd": Fault("ground-truth segments without iscrowd", "taken as no crowd"),
    "truth-no-area": Fault("ground-truth segments without area", "counted from the PNG"),
    "truth-wrong-area": Fault(
        "ground-truth segments whose area in the JSON is wrong",
        "counted from the PNG",
        "trusted, as the official scorer does, so scores may be wrong",
    ),
    "pred-wrong-area": Fault(
        "predicted segments whose area in the JSON is wrong", "counted from the PNG"
    ),
    "truth-unlisted-id": Fault(
        "ground-truth ids in a PNG that the JSON lacks",
        "read as void",
        "neither void nor a segment, as the official scorer does",
    ),
    "pred-unlisted-id": Fault(
        "predicted ids in a PNG that the JSON lacks",
        "read as void",
        _OFFICIAL_STOPS,
        official_severity=_ERROR,
    ),
    "truth-no-pixels": Fault(
        "ground-truth segments without a pixel in the PNG",
        "left out",
        "counted as missed, as the official scorer does",
    ),
    "pred-no-pixels": Fault(
        "predicted segments without a pixel in the PNG",
        "left out",
        _OFFICIAL_STOPS,
        official_severity=_ERROR,
    ),
    "truth-id-zero": Fault(
        "ground-truth segments with id 0, which is void",
        "left out",
        "the official scorer counts them as segment and as void; leave out --official to score",
        official_severity=_ERROR,
    ),
    "pred-id-zero": Fault(
        "predicted segments with id 0, which is void",
        "left out",
        "the official scorer counts void as segment; leave out --official to score",
        official_severity=_ERROR,
    ),
    "truth-repeated-id": Fault(
        "repeated ids among a photo's ground-truth segments", "the last counts"
    ),
    "pred-repeated-id": Fault("repeated ids among a photo's predicted segments", "the last counts"),
    "truth-several-crowds": Fault(
        "further crowds of one category in a ground-truth photo",
        "each excuses false positives",
        "only the last excuses false positives, as in the official scorer",
    ),
    "truth-png-size": Fault(
        "ground-truth PNGs of another size than the JSON says", "scored as they are"
    ),
    "pred-png-size": Fault(
        "predicted PNGs of another size than the JSON says", "scored as they are"
    ),
    "truth-png-kind": Fault(
        "ground-truth PNGs that are not 8-bit RGB", "their ids were read as they are"
    ),
    "pred-png-kind": Fault(
        "predicted PNGs that are not 8-bit RGB", "their ids were read as they are"
    ),
    "pred-missing": Fault(
        "photos without a prediction",
        "all their segments count as missed",
        _OFFICIAL_STOPS,
        official_severity=_ERROR,
    ),
    "pred-extra": Fault("predicted photos that the ground truth lacks", "left out"),
    "branch-extra": Fault(
        "photos of --semantic or --instances that the ground truth lacks", "left out"
    ),
    "branch-missing": Fault(
        "photos without an entry in the file of --semantic", "nothing was found in them"
    ),
    "branch-stuff": Fault(
        "instances of --instances whose category_id is stuff in the predictions' label space",
        "not scored; ids must be of the label space that PRED speaks",
    ),
    "truth-swapped": Fault(
        "ground-truth PNGs whose red and blue are swapped",
        _SWAPPED,
        severity=_ERROR,
        official_severity=_ERROR,
    ),
    "pred-swapped": Fault(
        "predicted PNGs whose red and blue are swapped",
        _SWAPPED,
        severity=_ERROR,
        official_severity=_ERROR,
    ),
    "cannot-score": Fault(
        "photos that cannot be scored",
        "mend or replace the files",
        severity=_ERROR,
        official_severity=_ERROR,
    ),
}


def check_segments(
    where: str,
    side: str,
    listed: Sequence[SegmentRecord],
    segments: Sequence[SegmentRecord],
    table: SegmentTable,
) -> Iterator[Note]:
    """Notes on an image's entry in a JSON.

    Args:
        where: the image, in words.
        side: "truth" or "pred".
        listed: all its segments.
        segments: those that count, each id once and none of them 0.
        table: the columns of these.
    """
    if len(segments) < len(listed):
        zeros = sum(segment.segment_id == 0 for segment in listed)
        if zeros:
            yield Note(f"{side}-id-zero", where, zeros)
        if repeated := len(listed) - zeros - len(segments):
            yield Note(f"{side}-repeated-id", where, repeated)
    if side == "pred":
        return
    unclaimed, crowds = np.isnan(table.areas), [segment.iscrowd for segment in segments]
    if unclaimed.any():
        first = table.segment_ids[unclaimed][0]
        yield Note("truth-no-area", f"{where}, segment {first}", int(unclaimed.sum()))
    if None in crowds:
        first = table.segment_ids[crowds.index(None)]
        yield Note("truth-no-iscrowd", f"{where}, segment {first}", crowds.count(None))
    if table.iscrowd.any():
        for category_id, count in Counter(table.category_ids[table.iscrowd].tolist()).items():
            if count > 1:
                example = f"{where}, category_id {id_to_file(category_id)}"
                yield Note("truth-several-crowds", example, count - 1)


def check_png(side: str, path: Path, png: PngHeader, listed: ImageRecord | None) -> Iterator[Note]:
    """Notes on a PNG of another kind than COCO's, or of another size than ``images`` says."""
    if (png.color_type, png.bit_depth) != ("rgb", 8):
        yield Note(f"{side}-png-kind", f"{path} ({png.bit_depth}-bit {png.color_type})")
    height, width = png.size
    if listed and ((listed.height or height), (listed.width or width)) != (height, width):
        said = describe_size((listed.height or height, listed.width or width))
        example = f"{path} ({describe_size(png.size)}; not {said})"
        yield Note(f"{side}-png-size", example)


def check_pixels(
    image_id: ImageId, side: str, unlisted: Int32Array, areas: Int64Array, table: SegmentTable
) -> Iterator[Note]:
    """Notes on where a PNG and a JSON disagree.

    Args:
        image_id: the image's.
        side: "truth" or "pred".
        unlisted: int32, each id of the PNG that the JSON lacks, void aside.
        areas: int64 (N,), pixels of the segments in the PNG.
        table: the N segments of the JSON; an area of NaN is none.
    """
    where = f"image_id {image_id!r}, segment"
    if len(unlisted):
        if are_swapped(unlisted, table.segment_ids[areas > 0], table.segment_ids):
            example = f"{where} {swap_channels(unlisted)[0]}, whose id is {unlisted[0]} in the PNG"
            yield Note(f"{side}-swapped", example)
            return
        yield Note(f"{side}-unlisted-id", f"{where} {unlisted[0]}", len(unlisted))
    if areas.all() and (areas == table.areas).all():
        return
    empty = table.segment_ids[areas == 0]
    if len(empty):
        yield Note(f"{side}-no-pixels", f"{where} {empty[0]}", len(empty))
    wrong = np.flatnonzero((areas != table.areas) & (areas > 0) & ~np.isnan(table.areas))
    if len(wrong):
        row = wrong[0]
        example = f"{where} {table.segment_ids[row]} ({table.areas[row]:g}, not {areas[row]})"
        yield Note(f"{side}-wrong-area", example, len(wrong))


def check_heads(
    truth: PanopticDataset, predictions: PanopticDataset, *, mapped: bool
) -> list[Note]:
    """Notes on what concerns whole files: categories and images."""
    notes = []
    if truth.assumed_things:
        example = f"category_id {truth.assumed_things[0]}"
        notes.append(Note("truth-no-isthing", example, len(truth.assumed_things)))
    if predictions.own_space is None:
        notes.append(Note("pred-no-categories", str(predictions.path)))
    elif not mapped:
        true, predicted = (
            {(c.file_id, c.name, c.isthing) for c in dataset.space.categories}
            for dataset in (truth, predictions)
        )
        different = sorted(true ^ predicted)
        if different:
            category_id, name, _ = different[0]
            notes.append(Note("categories-differ", f"{category_id} {name!r}", len(different)))
    extra = [image_id for image_id in predictions.annotations if image_id not in truth.annotations]
    if extra:
        notes.append(Note("pred-extra", f"image_id {extra[0]!r}", len(extra)))
    return notes + _check_names(truth, predictions)


def check_components(
    truth: PanopticDataset,
    semantic: ResultsFile | LabelFolder | None,
    instances: ResultsFile | None,
) -> Iterator[Note]:
    """Notes on what the files of the two branches hold too much of, or too little."""
    for branch in (semantic, instances):
        if isinstance(branch, ResultsFile):
            extra = [i for i in branch.entries if i not in truth.annotations]
            if extra:
                yield Note("branch-extra", f"{branch.path}, image_id {extra[0]!r}", len(extra))
    if isinstance(semantic, ResultsFile):  # without instances an image may well be
        missing = [i for i in truth.annotations if i not in semantic.entries]
        if missing:
            yield Note("branch-missing", f"{semantic.path}, image_id {missing[0]!r}", len(missing))
    if instances:
        stuff_ids = set(instances.space.stuff_ids)
        of_stuff = [
            f"{instances.path}, entry {place}: {instances.space.by_id[entry.category_id].name!r}"
            for entries in instances.entries.values()
            for place, entry in entries
            if entry.category_id in stuff_ids
        ]
        if of_stuff:
            yield Note("branch-stuff", of_stuff[0], len(of_stuff))


def _check_names(truth: PanopticDataset, predictions: PanopticDataset) -> list[Note]:
    """A note where images of one image_id have names that differ by more than their ending."""
    both = [i for i in truth.images if i in predictions.images]
    names = [(truth.image_name(i), predictions.image_name(i)) for i in both]
    others = [
        (true, predicted)
        for true, predicted in names
        if true != predicted and _stem(true) != _stem(predicted)
    ]
    if not others:
        return []
    true, predicted = others[0]
    return [Note("other-photo", f"{predicted!r} for {true!r}", len(others))]


def _stem(file_name: str) -> str:
    """An image's name without folder, ending and leading zeros: 139 is 000000000139."""
    return PurePosixPath(file_name).stem.lstrip("0")


def collect_findings(notes: Iterable[Note], *, official: bool) -> tuple[Finding, ...]:
    """One finding per kind of fault, in the order of FAULTS.

    >>> notes = [Note("pred-extra", "image_id 3"), Note("pred-extra", "image_id 9", count=2)]
    >>> print(*collect_findings(notes, official=False))
    warning: 3 predicted photos that the ground truth lacks, first image_id 3: left out
    """
    return sum_notes(notes, FAULTS, official=official)
