"""BDD100K's bitmasks: what each pixel's four numbers become."""

import numpy as np
import pytest
from dataset_folders import stored_pixels, write_bdd100k, write_png

from fuse.datasets.convert import convert
from fuse.errors import DataError
from fuse.io.coco.panoptic import read_panoptic_json

NAME = "7d06fefd-f7be05a6"
MASK = f"labels/pan_seg/bitmasks/val/{NAME}.png"


def load(folder, tmp_path):
    convert("bdd100k", folder, tmp_path / "gt.json", overwrite=True)
    return read_panoptic_json(tmp_path / "gt.json").load(NAME)


@pytest.mark.parametrize("seed", range(3))
def test_every_pixel_has_its_class(seed, tmp_path):
    folder = write_bdd100k(tmp_path / "in", seed)
    label, flags, high, low = np.moveaxis(stored_pixels(folder / MASK).astype(int), -1, 0)
    image = load(folder, tmp_path)
    kinds = {s.segment_id: (s.category_id, s.iscrowd) for s in image.segments_info} | {0: (0, 0)}
    excused = (flags & 3) > 0
    for y, x in np.ndindex(label.shape):
        is_void = label[y, x] == 0 or (label[y, x] <= 30 and excused[y, x])
        expected = (0, 0) if is_void else (label[y, x], excused[y, x])
        assert kinds[int(image.panoptic_map[y, x])] == expected
    number = high * 256 + low
    objects = {(n, c) for n, c in zip(number[~excused], label[~excused], strict=True) if c > 30}
    things = [s for s in image.segments_info if s.category_id > 30 and not s.iscrowd]
    assert len(things) == len(objects)
    stuff = [s.category_id for s in image.segments_info if s.category_id <= 30]
    assert len(stuff) == len(set(stuff))


def test_a_class_that_is_none_is_named(tmp_path):
    folder = write_bdd100k(tmp_path / "in")
    write_png(folder / MASK, np.full((4, 5, 4), 41, np.uint8))
    with pytest.raises(DataError, match=rf"{NAME}.png: 41 \(red\) is none of BDD100K's 40"):
        load(folder, tmp_path)
    write_png(folder / MASK, np.full((4, 5, 3), 7, np.uint8))
    with pytest.raises(DataError, match=r"is rgb of 8 bits, should be rgba of 8 bits"):
        load(folder, tmp_path)
