"""Which image of one panoptic dataset is which of another: the one pairing of all commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fuse.errors import DataError
from fuse.io.coco.image_names import name_number
from fuse.io.coco.panoptic import ImageId, PanopticDataset
from fuse.io.files import is_run


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


def _first_name(dataset: PanopticDataset) -> str | None:
    return next(map(dataset.image_name, dataset.annotations), None)


def _describe_first(dataset: PanopticDataset) -> str:
    image_id = next(iter(dataset.annotations), None)
    return f"image_id {image_id!r}, {_first_name(dataset)!r}, ..."


def renumber(dataset: PanopticDataset, own_ids: Mapping[ImageId, ImageId]) -> PanopticDataset:
    """The images of a dataset that have another image_id, under that one."""
    return replace(
        dataset,
        images={i: dataset.images[own] for i, own in own_ids.items() if own in dataset.images},
        annotations={i: dataset.annotations[own] for i, own in own_ids.items()},
    )
