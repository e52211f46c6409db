"""Which image of one panoptic dataset is which of another: the one pairing of all commands."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace

from fuse.errors import CocoFormatError, DataError, FuseWarning
from fuse.io.coco.image_names import name_number
from fuse.io.coco.panoptic import ImageId, PanopticDataset
from fuse.io.files import is_run
from fuse.io.png import read_png_header


def pair_images(
    predictions: PanopticDataset, truth: PanopticDataset, *, by_id: bool = False
) -> dict[ImageId, ImageId]:
    """The predictions' own image_id of each image that the truth knows, by the truth's image_id.

    Images are paired by their names (`PanopticDataset.find_image`), and those whose name the
    truth does not know by their image_id. A run that numbered its images itself is paired by
    name alone: its numbers say nothing about other files.

    Args:
        predictions: of some tool, or a run.
        truth: the other dataset.
        by_id: pair by image_id alone, as COCO's scorer does; runs are paired by name even so.

    Raises:
        DataError: no predicted image is in the truth; two are the same one of it; or a run's
            numbers would have to be believed.
    """
    runs = [dataset for dataset in (predictions, truth) if is_run(dataset.path.parent)]
    own_ids = {} if by_id and not runs else _pair_by_name(predictions, truth)
    if not runs or not own_ids:
        taken = set(own_ids.values())
        same = [i for i in predictions.annotations if i in truth.annotations]
        left = {i: i for i in same if i not in own_ids and i not in taken}
        for run in runs:
            if left and not _are_numbered_by_name(run):
                raise DataError(
                    f"{predictions.path}: {truth.path} knows none of its images by name (first "
                    f"{_first_name(predictions)!r}, its own {_first_name(truth)!r}), and the run "
                    f"{run.path.parent} numbered its images itself, so nothing says which is "
                    "which; mend file_name in the ground truth, or give it to fuse run as --gt"
                )
        own_ids |= left
    if predictions.annotations and not own_ids:
        raise DataError(
            f"{predictions.path}: none of its images ({_describe_first(predictions)}) is in "
            f"{truth.path} ({_describe_first(truth)})"
        )
    return own_ids


def _pair_by_name(predictions: PanopticDataset, truth: PanopticDataset) -> dict[ImageId, ImageId]:
    own_ids: dict[ImageId, ImageId] = {}
    for own_id in predictions.annotations:
        name = predictions.image_name(own_id)
        image_id = truth.find_image(name)
        if image_id is None:
            continue
        if image_id in own_ids:
            other = predictions.image_name(own_ids[image_id])
            raise DataError(
                f"{predictions.path}: {other} and {name} are both image {image_id!r} of "
                f"{truth.path}"
            )
        own_ids[image_id] = own_id
    return own_ids


def _are_numbered_by_name(dataset: PanopticDataset) -> bool:
    """Whether each image_id is the number in the image's name, as is COCO's habit."""
    return all(name_number(dataset.image_name(i)) == i for i in dataset.annotations)


def leave_out_turned(
    predictions: PanopticDataset, truth: PanopticDataset, own_ids: Mapping[ImageId, ImageId]
) -> dict[ImageId, ImageId]:
    """The pairs of `pair_images` but for those turned by 90 degrees, which a `FuseWarning` tells.

    That happens where only one of the two follows the EXIF orientation of the image.
    """
    turned = {
        true_id: own_id
        for true_id, own_id in own_ids.items()
        if _is_turned(_find_size(predictions, own_id), _find_size(truth, true_id))
    }
    if turned:
        first = predictions.image_name(next(iter(turned.values())))
        warnings.warn(
            FuseWarning(
                f"{truth.path}: {len(turned)} images are turned by 90 degrees against the "
                f"predictions, as where only one of the two follows the EXIF orientation, first "
                f"{first}: left out; fuse run --as-stored does not turn images"
            ),
            stacklevel=2,
        )
    return {true_id: own_id for true_id, own_id in own_ids.items() if true_id not in turned}


def _is_turned(size: tuple[int, int] | None, other: tuple[int, int] | None) -> bool:
    return size is not None and other is not None and size != other and size == other[::-1]


def _find_size(dataset: PanopticDataset, image_id: ImageId) -> tuple[int, int] | None:
    """(height, width) of an image's map; None where there is no such PNG, which reading tells."""
    if image_id not in dataset.annotations:
        return None
    try:
        return read_png_header(dataset.png_path(image_id)).size
    except CocoFormatError:
        return None


def _first_name(dataset: PanopticDataset) -> str | None:
    return next(map(dataset.image_name, dataset.annotations), None)


def _describe_first(dataset: PanopticDataset) -> str:
    image_id = next(iter(dataset.annotations), None)
    return (
        "no image" if image_id is None else f"image_id {image_id!r}, {_first_name(dataset)!r}, ..."
    )


def renumber(dataset: PanopticDataset, own_ids: Mapping[ImageId, ImageId]) -> PanopticDataset:
    """The images of a dataset that have another image_id, under that one."""
    return replace(
        dataset,
        images={i: dataset.images[own] for i, own in own_ids.items() if own in dataset.images},
        annotations={i: dataset.annotations[own] for i, own in own_ids.items()},
    )
