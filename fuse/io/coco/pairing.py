"""Images of one dataset found in another, and called by its image ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fuse.errors import DataError
from fuse.io.coco.panoptic import ImageId, PanopticDataset


def match_images(dataset: PanopticDataset, known: PanopticDataset) -> dict[ImageId, ImageId]:
    """A dataset's own image_id of each image that another one knows, by the other's image_id.

    Images are found by their names; where no name is known, by their image ids.

    Raises:
        DataError: two images are the same one of the other dataset.
    """
    own_ids: dict[ImageId, ImageId] = {}
    for own_id in dataset.annotations:
        name = dataset.image_name(own_id)
        image_id = known.find_image(name)
        if image_id is None:
            continue
        if image_id in own_ids:
            other = dataset.image_name(own_ids[image_id])
            raise DataError(
                f"{dataset.path}: {other} and {name} are both image {image_id!r} of {known.path}"
            )
        own_ids[image_id] = own_id
    return own_ids or {i: i for i in dataset.annotations if i in known.annotations}


def renumber(dataset: PanopticDataset, own_ids: Mapping[ImageId, ImageId]) -> PanopticDataset:
    """The images of a dataset that have another image_id, under that one."""
    return replace(
        dataset,
        images={i: dataset.images[own] for i, own in own_ids.items() if own in dataset.images},
        annotations={i: dataset.annotations[own] for i, own in own_ids.items()},
    )
