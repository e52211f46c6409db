"""Which class occludes which, counted in ground truth: tables for the rule ``pairs``.

Masks of instances overlap; a panoptic map says to which of the two the shared pixels belong.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable

import numpy as np

from fuse.errors import DataError, FuseWarning
from fuse.io.coco.panoptic import ImageId, PanopticDataset, read_panoptic_json
from fuse.io.coco.results import ResultsFile, read_results
from fuse.io.csv_files import PairCount, write_pairs
from fuse.io.files import StrPath, to_path
from fuse.labels import LabelMap, find_label_map, load_space, map_panoptic
from fuse.ops.mask_overlaps import count_shared
from fuse.ops.rle import decode_rles
from fuse.ops.segments import label_segments
from fuse.threads import count_steps, map_threads

# Outlines drawn by hand touch where objects do; that is no overlap.
MIN_SHARE = 0.1  # of the smaller mask

Wins = Counter[tuple[int, int]]  # (category_id above, category_id below) -> overlaps


def pairs(
    gt: StrPath,
    instances: StrPath,
    out: StrPath,
    *,
    gt_dir: StrPath | None = None,
    label_space: str | None = None,
    min_count: int = 1,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[PairCount, ...]:
    """Count which class lies on which, and write the table.

    Each two instances of different classes whose masks overlap count once, for the class
    that has more of the pixels they share (as Yang et al. 2020, SOGNet, read the overlaps
    that they train on).

    Args:
        gt: COCO panoptic JSON.
        instances: COCO instances of the same images, with outlines that overlap: COCO's own
            instances_train2017.json, not masks cut from the panoptic PNGs.
        out: the CSV.
        gt_dir: PNGs of gt, where they are not in the folder of its name.
        label_space: count in these classes, where a map leads there.
        min_count: pairs seen less often are left out.
        workers: threads, by default one per processor.
        on_progress: called with the images done and the images in all.

    Returns:
        The commonest pairs first; a class that lies above and below equally often is no pair.

    Raises:
        DataError: the instances are of other images, none overlap, or no pair is left.
        LabelSpaceError: no map leads to that label space.
        FuseError: see `read_panoptic_json` and `read_results`.
    """
    truth = read_panoptic_json(gt, gt_dir)
    annotated = read_results(to_path(instances), truth.space, truth.find_image)
    target = load_space(label_space) if label_space else truth.space
    label_map = find_label_map(truth.space, target)
    if label_map.through:
        warnings.warn(FuseWarning(f"{gt}: {label_map.describe_way()}"), stacklevel=2)
    images = [i for i in truth.annotations if i in annotated.entries]
    if not images:
        raise DataError(f"{instances} has no instances of the images of {gt}")
    wins: Wins = Counter()
    step = count_steps(on_progress, len(images))
    with map_threads(
        lambda i: _count_image(i, truth, annotated, label_map), images, workers, on_result=step
    ) as counted:
        for of_image in counted:
            wins += of_image
    names = {category.category_id: category.name for category in target.categories}
    found = [
        PairCount(names[above], names[below], count, wins[below, above])
        for (above, below), count in wins.items()
        if count > wins[below, above] and count + wins[below, above] >= min_count
    ]
    if not wins:
        raise DataError(
            f"{instances}: no instances of two classes overlap; take outlines that do, "
            "not masks cut from the panoptic PNGs"
        )
    if not found:
        raise DataError(
            f"{instances}: of no two classes one lies on the other more often than under it, in at "
            f"least {min_count} overlaps; take more images or a smaller least count"
        )
    found.sort(key=lambda pair: (-pair.wins - pair.losses, pair.above, pair.below))
    write_pairs(to_path(out), found)
    return tuple(found)


def _count_image(
    image_id: ImageId, truth: PanopticDataset, annotated: ResultsFile, label_map: LabelMap
) -> Wins:
    """The class that is above in each overlap of one image."""
    panoptic = map_panoptic(truth.load(image_id), label_map)
    labels = label_segments(
        panoptic.panoptic_map,
        np.array([s.segment_id for s in panoptic.segments_info], dtype=np.int32),
        np.array([s.category_id for s in panoptic.segments_info], dtype=np.int32),
    )
    source_ids, masks = annotated.load_masks(image_id, panoptic.size, isthing=True)
    category_ids = np.array([label_map.target_ids[i] for i in source_ids], dtype=np.int32)
    runs = decode_rles([rle["counts"] for rle in masks.rles], panoptic.size)
    shared, own = count_shared(runs, category_ids, labels)
    areas = np.diagonal(shared)
    is_overlap = shared > MIN_SHARE * np.minimum(areas[:, np.newaxis], areas)
    differs = category_ids[:, np.newaxis] != category_ids
    is_known = (category_ids[:, np.newaxis] > 0) & (category_ids > 0)
    above, below = np.nonzero(is_overlap & differs & is_known & (own > own.T))
    return Counter(zip(category_ids[above].tolist(), category_ids[below].tolist(), strict=True))
