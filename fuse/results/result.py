"""The panoptic map of an image with all that a notebook or a training loop asks of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from fuse.errors import LabelSpaceError
from fuse.interop.names import find_category
from fuse.interop.panoptic import read_detectron2, read_tensor, read_transformers
from fuse.io.coco.panoptic import ImageId
from fuse.io.files import StrPath
from fuse.ops.segments import label_segments
from fuse.results import exports, page, pictures
from fuse.results.segment import Segment
from fuse.types import (
    BoolArray,
    Float32Array,
    Float64Array,
    Int32Array,
    Int64Array,
    LabelSpace,
    PanopticPrediction,
    UInt8Array,
)
from fuse.types.label_space import check_space, id_to_file
from fuse.types.readers import Names

if TYPE_CHECKING:
    from fuse.viz.drawing import Picture

MOST_NAMED = 6  # classes in a result's one line


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class PanopticResult(PanopticPrediction):
    """A panoptic map with its label space and image, as `Pipeline` answers.

    It is a sequence of segments: ``len``, iteration and ``result[0]`` give `Segment`s, while
    ``result["person"]`` and ``result[result.confidence > 0.9]`` are results of these segments
    alone. Arrays are in the order of the segments, and made when asked for.

    Attributes:
        panoptic_map: int32 (H, W), a segment id per pixel, 0 = void.
        segments_info: in paint order.
        space: what category ids mean.
        image: uint8 (H, W, 3), RGB, what pictures are drawn on; by reference. None where there is
            none.
        path: of the image's file, None where it was in memory.
        speed: milliseconds of ``preprocess``, ``inference`` (a batch's divided by its images) and
            ``postprocess``.

    Raises:
        LabelSpaceError: a segment's category is not in the space.
        ValueError: the image is of another size.
    """

    space: LabelSpace
    image: UInt8Array | None = None
    path: str | None = None
    speed: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        PanopticPrediction.__post_init__(self)  # super() does not find it in a class with slots
        check_space(self.space)
        for segment in self.segments_info:
            if segment.category_id not in self.space.by_id:
                raise LabelSpaceError(
                    f"segment {segment.segment_id} has category_id {segment.category_id}, which "
                    f"is not in {self.space.name}"
                )
        if self.image is not None and self.image.shape != (*self.size, 3):
            raise ValueError(
                f"image must be uint8 {(*self.size, 3)} as the map, got shape {self.image.shape}"
            )

    @classmethod
    def from_prediction(
        cls,
        prediction: PanopticPrediction,
        space: LabelSpace,
        *,
        image: UInt8Array | None = None,
        path: str | None = None,
        speed: Mapping[str, float] | None = None,
    ) -> PanopticResult:
        """A result of a map and its segments, as ground truth of `read_panoptic_json` too."""
        return cls(
            panoptic_map=prediction.panoptic_map,
            segments_info=prediction.segments_info,
            space=space,
            image=image,
            path=path,
            speed=speed or {},
        )

    @classmethod
    def from_transformers(
        cls,
        output: Mapping[str, Any],
        space: LabelSpace,
        names: Names | None = None,
        *,
        image: UInt8Array | None = None,
    ) -> PanopticResult:
        """What ``post_process_panoptic_segmentation`` of transformers gives for one image.

        Args:
            output: with ``segmentation`` and ``segments_info``.
            space: where classes are looked up by name.
            names: of each label_id, ``model.config.id2label``; not needed where each segment has
                its name as ``label``.
            image: uint8 (H, W, 3) for pictures.

        Raises:
            LabelSpaceError: a name is not in the space; says the nearest.
        """
        return cls.from_prediction(read_transformers(output, space, names), space, image=image)

    @classmethod
    def from_detectron2(
        cls,
        output: tuple[Any, Sequence[Mapping[str, Any]]],
        space: LabelSpace,
        names: Any = None,  # noqa: ANN401 - names, or detectron2's metadata
        *,
        image: UInt8Array | None = None,
    ) -> PanopticResult:
        """What a model of detectron2 gives as ``panoptic_seg``: a map and its segments.

        Args:
            output: the pair.
            space: where classes are looked up by name.
            names: of each category_id, or the metadata, which has ``thing_classes`` and
                ``stuff_classes``; not needed where each segment has its ``name``.
            image: uint8 (H, W, 3) for pictures.

        Raises:
            LabelSpaceError: a name is not in the space; says the nearest.
        """
        return cls.from_prediction(read_detectron2(output, space, names), space, image=image)

    @classmethod
    def from_torch(
        cls,
        tensor: Any,  # noqa: ANN401 - a tensor or an array
        space: LabelSpace,
        *,
        image: UInt8Array | None = None,
    ) -> PanopticResult:
        """Category ids and instance ids, int (H, W, 2), as `to_torch` makes; others are void."""
        things, stuffs = (
            [c.file_id for c in space.categories if c.isthing == isthing]
            for isthing in (True, False)
        )
        prediction = read_tensor(tensor, things, stuffs)
        return cls.from_prediction(prediction, space, image=image)

    def __len__(self) -> int:
        return len(self.segments_info)

    def __iter__(self) -> Iterator[Segment]:
        return (self._segment(place) for place in range(len(self)))

    @overload
    def __getitem__(self, key: int) -> Segment: ...
    @overload
    def __getitem__(
        self, key: str | slice | Sequence[int] | npt.NDArray[Any]
    ) -> PanopticResult: ...

    def __getitem__(
        self, key: int | str | slice | Sequence[int] | npt.NDArray[Any]
    ) -> Segment | PanopticResult:
        """A segment by its place; or the result of the segments of a name, or of chosen places.

        Raises:
            IndexError: there is no such place, or a bool array is of another length.
            LabelSpaceError: the space has no category of that name; says the nearest.
        """
        if isinstance(key, str):
            return self._take(self.class_id == find_category(key, self.space).file_id)
        if not isinstance(key, int | np.integer):
            return self._take(key)
        if not -len(self) <= key < len(self):
            raise IndexError(f"there is no segment {key}, but {len(self)} of them")
        return self._segment(int(key))

    @property
    def names(self) -> dict[int, str]:
        """The name of each category_id of the space."""
        return {c.file_id: c.name for c in self.space.categories}

    @property
    def class_id(self) -> Int64Array:
        """The category_id of each segment: int64 (N,)."""
        return np.array([id_to_file(s.category_id) for s in self.segments_info], dtype=np.int64)

    @property
    def confidence(self) -> Float64Array:
        """The score of each segment: float64 (N,), NaN where nobody said one."""
        scores = (s.score for s in self.segments_info)
        return np.array([np.nan if s is None else s for s in scores], dtype=np.float64)

    @property
    def xyxy(self) -> Float32Array:
        """The box around each segment: float32 (N, 4), pixel edges left, top, right, bottom."""
        boxes = np.array([s.bbox for s in self.segments_info], dtype=np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return boxes

    @property
    def area(self) -> Int64Array:
        """Pixels of each segment: int64 (N,)."""
        return np.array([s.area for s in self.segments_info], dtype=np.int64)

    @property
    def mask(self) -> BoolArray:
        """The pixels of each segment: bool (N, H, W). Large; a segment's own is `Segment.mask`."""
        mask: BoolArray = self._ids[:, None, None] == self.panoptic_map
        return mask

    @property
    def semantic_map(self) -> Int32Array:
        """A category_id per pixel: int32 (H, W); `space.none_id` (0) where there is none."""
        return exports.make_semantic_map(self)

    @property
    def instance_map(self) -> Int32Array:
        """The segment id of each pixel of a thing: int32 (H, W), 0 on stuff and void."""
        things = np.array([self.space.by_id[s.category_id].isthing for s in self.segments_info])
        return label_segments(self.panoptic_map, self._ids, self._ids * things.astype(np.int32))

    def plot(
        self, *, alpha: float | None = None, labels: bool = True, boxes: bool = False
    ) -> Picture:
        """The image tinted by its segments: a picture of PIL.

        Args:
            alpha: share of a segment's colour in its pixels, 0..1; by default 0.55.
            labels: whether segments are named.
            boxes: whether boxes are drawn around things.

        Raises:
            ValueError: alpha is outside 0..1.
        """
        return pictures.plot(self, self.space, self.image, alpha=alpha, labels=labels, boxes=boxes)

    def show(self) -> None:
        """Show the picture: in a notebook below the cell, else in the system's viewer."""
        pictures.show(self.plot())

    def save(self, path: StrPath) -> Path:
        """Write the picture as JPEG or PNG, by the path's ending, and answer the path.

        Raises:
            DataError: the folder does not exist, or cannot be written.
            ValueError: the ending is another one.
        """
        return pictures.save(self.plot(), path)

    def summary(self) -> list[dict[str, Any]]:
        """Each segment in plain values: id, name, class, isthing, confidence, box, area."""
        return exports.summarize_segments(self)

    def to_json(self) -> str:
        """`summary` as JSON."""
        return json.dumps(self.summary(), allow_nan=False)

    def to_coco(self, image_id: ImageId, file_name: str) -> tuple[dict[str, Any], bytes]:
        """The entry of a COCO panoptic JSON, and the bytes of the PNG that belongs to it.

        Args:
            image_id: of the image.
            file_name: of the PNG; of an image's name the ending becomes ``.png``.
        """
        return exports.to_coco(self, image_id, file_name)

    def to_supervision(self) -> Any:  # noqa: ANN401 - the type is supervision's
        """``supervision.Detections`` with masks, whose class_id is the category_id.

        Raises:
            ConfigError: supervision is not installed.
        """
        return exports.to_supervision(self)

    def to_torch(self) -> Any:  # noqa: ANN401 - a tensor of torch
        """Category ids and instance ids: int64 tensor (H, W, 2), as torchmetrics takes it."""
        return exports.to_torch(self)

    def to_transformers(self) -> dict[str, Any]:
        """As ``post_process_panoptic_segmentation`` of transformers; label_id is a class index."""
        return exports.to_transformers(self)

    def to_detectron2(self) -> tuple[Any, list[dict[str, Any]]]:
        """As ``panoptic_seg`` of detectron2; category_id is a class index."""
        return exports.to_detectron2(self)

    def __repr__(self) -> str:
        counts = Counter(segment.name for segment in self)
        words = [f"{n} {name}" if n > 1 else name for name, n in counts.most_common(MOST_NAMED)]
        if len(counts) > MOST_NAMED:
            words.append("...")
        where = f"{Path(self.path).name}, " if self.path else ""
        found = f"{len(self)} segment{'' if len(self) == 1 else 's'}"
        names = f": {', '.join(words)}" if words else ""
        return f"PanopticResult({where}{self.size[0]}x{self.size[1]}, {found}{names})"

    def _repr_html_(self) -> str:
        return page.to_html(self, repr(self), pictures.plot(self, self.space, self.image))

    @property
    def _ids(self) -> Int32Array:
        return np.array([s.segment_id for s in self.segments_info], dtype=np.int32)

    def _segment(self, place: int) -> Segment:
        found = self.segments_info[place]
        category = self.space.by_id[found.category_id]
        return Segment(
            id=found.segment_id,
            name=category.name,
            category_id=category.file_id,
            isthing=category.isthing,
            score=found.score,
            area=found.area,
            bbox=found.bbox,
            _panoptic_map=self.panoptic_map,
        )

    def _take(self, chosen: slice | Sequence[int] | npt.NDArray[Any]) -> PanopticResult:
        """The result of some segments alone; the others' pixels are void."""
        if not isinstance(chosen, slice):
            chosen = np.asarray(chosen)
            chosen = chosen if chosen.size else np.zeros(0, dtype=np.intp)  # [] has no dtype
        places = np.arange(len(self))[chosen]
        kept = tuple(self.segments_info[place] for place in places.tolist())
        ids = np.array([s.segment_id for s in kept], dtype=np.int32)
        panoptic_map = np.where(np.isin(self.panoptic_map, ids), self.panoptic_map, 0)
        return replace(self, panoptic_map=panoptic_map.astype(np.int32), segments_info=kept)


__all__ = ["PanopticResult", "Segment"]
