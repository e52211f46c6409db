"""What other tools predicted: COCO result files of instances and stuff, folders of label PNGs."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, NoReturn

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from fuse.errors import CocoFormatError, FuseWarning, describe_misfit
from fuse.io.coco.categories import CategoryRecord, Flag
from fuse.io.coco.image_names import name_keys
from fuse.io.coco.panoptic import ImageId
from fuse.io.coco.shapes import encode_shape, lies_off, read_bbox, read_shape
from fuse.io.files import leads_out
from fuse.io.json_toml import read_json
from fuse.io.png import read_labels
from fuse.types import Category, Instances, LabelSpace, RleMasks, SemanticPrediction
from fuse.types.label_space import ID_OF_ZERO, MAX_CATEGORY_ID, id_to_file

LARGEST_GREY = (255, 65535)  # of 8 and of 16 bits


class ResultRecord(msgspec.Struct, frozen=True, gc=False):
    """One entry of a COCO result file.

    Attributes:
        image_id: of the image; None where the entry names it.
        category_id: in the label space of the file; in a `ResultsFile` as in memory.
        segmentation: a `Shape`; it stays a view of the file until it is asked for, so a file
            with millions of masks takes little memory.
        score: of an instance, 0..1.
        bbox: xywh of an instance, a view as well; not used, but checked.
        iscrowd: only in ground truth.
        file_name: of the image, in place of image_id; detectron2 writes stuff so.
    """

    category_id: Annotated[int, msgspec.Meta(le=MAX_CATEGORY_ID)]
    segmentation: msgspec.Raw
    score: float | None = None
    bbox: msgspec.Raw = msgspec.Raw(b"null")
    iscrowd: Flag = 0
    image_id: ImageId | None = None
    file_name: str | None = None


class _AnnotationsFile(msgspec.Struct, frozen=True):
    annotations: tuple[ResultRecord, ...]
    categories: tuple[CategoryRecord, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ResultsFile:
    """A COCO result file: instances with scores, or stuff with one mask per category.

    Attributes:
        path: the JSON, for messages.
        space: what its category ids belong to.
        entries: (place in the file, entry) of each image, in the order of the file.
    """

    path: Path
    space: LabelSpace
    entries: dict[ImageId, list[tuple[int, ResultRecord]]]

    def load_instances(
        self, image_id: ImageId, size: tuple[int, int], *, score_threshold: float = 0.0
    ) -> Instances:
        """The instances of an image of (height, width), boxes drawn around their masks.

        Those that score less than the threshold are left out, and their masks not looked at.

        Raises:
            CocoFormatError: a score, category or mask is wrong; the message names the entry.
        """
        found = []
        for place, entry in self.entries.get(image_id, []):
            if entry.score is None or not 0 <= entry.score <= 1:
                self._refuse(place, f"score {entry.score} must lie in 0..1")
            if entry.score >= score_threshold:
                found.append((entry.score, entry.category_id, self._encode(place, entry, size)))
        rles = [rle for _, _, rle in found]
        boxes = np.reshape(coco_mask.toBbox(rles) if rles else (), (-1, 4)).astype(np.float32)
        boxes[:, 2:] += boxes[:, :2]
        return Instances(
            boxes=boxes,
            scores=np.array([score for score, _, _ in found], dtype=np.float64),
            category_ids=np.array([category_id for _, category_id, _ in found], dtype=np.int32),
            masks=RleMasks(tuple(rles)),
            size=size,
        )

    def load_masks(
        self, image_id: ImageId, size: tuple[int, int], *, isthing: bool
    ) -> tuple[list[int], RleMasks]:
        """Category ids and masks of an image's things or stuff in the order of the file.

        Crowds are left out, and void: `category_id` 0 where that is no category, as a net of stuff
        alone answers for all things.

        Raises:
            CocoFormatError: a category or mask is wrong; the message names the entry.
        """
        category_ids: list[int] = []
        rles: list[dict[str, Any]] = []
        for place, entry in self.entries.get(image_id, []):
            if (
                entry.category_id
                and not entry.iscrowd
                and self._find_category(place, entry).isthing == isthing
            ):
                category_ids.append(entry.category_id)
                rles.append(self._encode(place, entry, size))
        return category_ids, RleMasks(tuple(rles))

    def load_semantic(
        self, image_id: ImageId, file_name: str, size: tuple[int, int]
    ) -> SemanticPrediction:
        """The label map of an image of (height, width); where masks overlap, the first counts.

        Void is left out, see `load_masks`.

        Raises:
            CocoFormatError: a category or mask is wrong; the message names the entry.
        """
        label_map = np.zeros(size, dtype=np.int32)
        for place, entry in self.entries.get(image_id, []):
            if not entry.category_id:
                continue
            mask = coco_mask.decode(self._encode(place, entry, size))
            label_map[(mask > 0) & (label_map == 0)] = entry.category_id
        return SemanticPrediction(label_map)

    def _find_category(self, place: int, entry: ResultRecord) -> Category:
        if entry.category_id not in self.space.by_id:
            file_id = id_to_file(entry.category_id)
            self._refuse(place, f"category_id {file_id} is not in {self.space.name}")
        return self.space.by_id[entry.category_id]

    def _encode(self, place: int, entry: ResultRecord, size: tuple[int, int]) -> dict[str, Any]:
        """The mask of an entry as compressed RLE."""
        self._find_category(place, entry)
        try:
            bbox = read_bbox(entry.bbox)
        except ValueError as err:
            self._refuse(place, f"bbox: {err}", err)
        try:
            rle = encode_shape(read_shape(entry.segmentation), size)
        except ValueError as err:
            self._refuse(place, f"segmentation: {err}", err)
        if lies_off(rle, bbox):
            warnings.warn(
                FuseWarning(
                    f"{self.path}: masks lie outside of their own bbox, and are taken as they are; "
                    "an RLE counts along columns, from the top, not along rows"
                ),
                stacklevel=2,
            )
        return rle

    def _refuse(self, place: int, reason: str, cause: Exception | None = None) -> NoReturn:
        raise CocoFormatError(f"{self.path}, entry {place}: {reason}") from cause


def read_results(
    path: Path, space: LabelSpace, find_image: Callable[[str], ImageId | None]
) -> ResultsFile:
    """Read a COCO result file: a list of entries, or an object with ``annotations``.

    Args:
        path: the JSON.
        space: what its category ids belong to; categories that the file lists must be its own.
        find_image: the image_id of a file name, for entries that name their image in place of
            an image_id; a name of which it knows none is its own image_id.

    Raises:
        CocoFormatError: the file is missing, of other categories, or an entry is wrong; the
            message names its field.
    """
    content = read_json(path, tuple[ResultRecord, ...] | _AnnotationsFile, "COCO result file")
    records = content
    if isinstance(content, _AnnotationsFile):
        records = content.annotations
        _check_categories(path, content.categories, {r.category_id for r in records}, space)
    entries: dict[ImageId, list[tuple[int, ResultRecord]]] = defaultdict(list)
    image_ids = _find_image_ids(path, records, find_image)
    for place, (image_id, entry) in enumerate(zip(image_ids, records, strict=True)):
        if space.has_zero and entry.category_id == 0:
            entry = msgspec.structs.replace(entry, category_id=ID_OF_ZERO)
        entries[image_id].append((place, entry))
    return ResultsFile(path, space, dict(entries))


def _find_image_ids(
    path: Path, records: Sequence[ResultRecord], find_image: Callable[[str], ImageId | None]
) -> Iterator[ImageId]:
    """The image_id of each entry, its own or that of the image that it names."""
    ids_by_name: dict[str, ImageId] = {}
    names_by_id: dict[ImageId, str] = {}
    for place, entry in enumerate(records):
        if entry.image_id is not None:
            yield entry.image_id
            continue
        name = entry.file_name
        if not name:
            raise CocoFormatError(f"{path}, entry {place}: has neither image_id nor file_name")
        if name not in ids_by_name:
            found = find_image(name)
            image_id = ids_by_name[name] = name if found is None else found
            other = names_by_id.setdefault(image_id, name)
            if other != name:
                raise CocoFormatError(f"{path}: {other} and {name} are both image {image_id!r}")
        yield ids_by_name[name]


def _check_categories(
    path: Path, listed: Sequence[CategoryRecord], used_ids: Set[int], space: LabelSpace
) -> None:
    """Refuse a file that means something else by an id than the label space does."""
    by_file_id = {category.file_id: category for category in space.categories}
    for category in listed:
        known = by_file_id.get(category.category_id)
        if category.category_id in used_ids and known and known.name != category.name:
            raise CocoFormatError(
                f"{path}: category_id {category.category_id} is {category.name!r} there and "
                f"{known.name!r} in {space.name}; give a file of the categories of {space.name}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class LabelFolder:
    """A folder of label PNGs, one per image, whose grey values are category ids.

    0 is void, or where that is a category the largest value: 255, or 65535 in PNGs of 16 bits.

    Attributes:
        path: the folder.
        space: what the category ids belong to.
    """

    path: Path
    space: LabelSpace

    def load_semantic(
        self, image_id: ImageId, file_name: str, size: tuple[int, int]
    ) -> SemanticPrediction:
        """The label map of an image of (height, width), found by the image's name.

        Args:
            image_id: for messages.
            file_name: of the image, as `place_inside` has it among all images.
            size: of the image.

        Raises:
            CocoFormatError: there is no such PNG, it is no label map, or of another size.
        """
        path = self._find(file_name)
        if path is None:
            name = PurePosixPath(file_name).with_suffix(".png")
            raise CocoFormatError(f"{self.path}: image_id {image_id!r} has no {name}")
        label_map = read_labels(path, bits=(8, 16))
        if label_map.shape != size:
            raise CocoFormatError(describe_misfit(str(path), label_map.shape, "the image", size))
        space = self.space
        if space.has_zero:
            void = next(v for v in LARGEST_GREY if v not in space.by_id)
            label_map = space.read_ids(np.where(label_map == void, space.none_id, label_map))
        unknown = set(np.unique(label_map).tolist()) - {0, *space.by_id}
        if unknown:
            raise CocoFormatError(f"{path}: {min(unknown)} is no category_id of {space.name}")
        return SemanticPrediction(label_map)

    def refuse_shared(self, file_names: Iterable[str]) -> None:
        """Raise CocoFormatError where images of different names would have the same PNG."""
        owners: dict[Path, str] = {}
        for name in file_names:
            path = self._find(name)
            if path is not None and owners.setdefault(path, name) != name:
                raise CocoFormatError(
                    f"{path} would be of both {owners[path]!r} and {name!r}; put the PNG of each "
                    "into a folder as its image has"
                )

    def _find(self, file_name: str) -> Path | None:
        """The PNG of an image: in the folder that the image has, or in none; None without one."""
        if leads_out(file_name):
            return None
        name = PurePosixPath(file_name).with_suffix(".png")
        written = PurePosixPath(name_keys(str(name))[0])  # without percent signs and backslashes
        candidates = (name, name.name, written, written.name)
        paths = (self.path / one for one in candidates if not leads_out(str(one)))
        return next((path for path in paths if path.is_file()), None)


def open_semantic(
    path: Path, space: LabelSpace, find_image: Callable[[str], ImageId | None]
) -> LabelFolder | ResultsFile:
    """Semantic predictions of another tool: a folder of label PNGs, or a result JSON.

    `find_image` is for `read_results`.

    Raises:
        CocoFormatError: the file is missing or an entry is wrong.
    """
    return LabelFolder(path, space) if path.is_dir() else read_results(path, space, find_image)
