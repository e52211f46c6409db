"""PNGs of a panoptic JSON that lie elsewhere, or hold their ids otherwise, than they should."""

import shutil

import cv2
import numpy as np
import pytest
from panoptic_maps import panoptic, write_dataset

from fuse import api
from fuse.errors import CocoFormatError, DataError, FuseWarning
from fuse.io.coco.panoptic import read_panoptic_json

TRUTH = panoptic([1, 1, 1, 0, 300, 300], {1: 1, 300: 7})


@pytest.fixture
def gt(tmp_path):
    return write_dataset(tmp_path, "gt", {5: TRUTH})


def swap(folder):
    for png in folder.glob("*.png"):
        cv2.imwrite(str(png), cv2.imread(str(png))[..., ::-1])


@pytest.mark.parametrize("name", ["gt", "PNGs"])
def test_pngs_one_folder_too_deep_are_found_and_told(gt, name):
    folder = gt.with_suffix("")
    folder.rename(folder.with_name("aside"))
    folder.mkdir()
    folder.with_name("aside").rename(folder / name)
    with pytest.warns(FuseWarning, match=rf"lie one folder deeper, and are read there: .*{name}"):
        dataset = read_panoptic_json(gt)
    np.testing.assert_array_equal(dataset.load(5).panoptic_map, TRUTH.panoptic_map)


def test_two_such_folders_are_not_chosen_from(gt):
    folder = gt.with_suffix("")
    (png,) = list(folder.iterdir())
    for name in ("a", "b"):
        (folder / name).mkdir()
        shutil.copy(png, folder / name)
    png.unlink()
    with pytest.raises(CocoFormatError, match="cannot be read"):
        read_panoptic_json(gt).load(5)


def test_an_archive_in_place_of_the_folder_is_named(gt):
    folder = gt.with_suffix("")
    shutil.make_archive(str(folder), "zip", folder)
    shutil.rmtree(folder)
    with pytest.raises(CocoFormatError, match=r"gt is still packed: unpack .*gt\.zip beside"):
        read_panoptic_json(gt)
    with pytest.raises(CocoFormatError, match=r"is still packed: unpack .*gt\.zip"):
        read_panoptic_json(gt, folder.with_suffix(".zip"))


@pytest.mark.parametrize("side", ["gt", "pred"])
@pytest.mark.parametrize("official", [False, True])
def test_red_and_blue_swapped_are_named(tmp_path, gt, side, official):
    pred = write_dataset(tmp_path, "pred", {5: TRUTH})
    swap(tmp_path / side)
    what = "ground-truth" if side == "gt" else "predicted"
    message = rf"1 {what} PNGs whose red and blue are swapped, first image_id 5, segment 1, .* BGR"
    with pytest.raises(DataError, match=message):
        api.evaluate(gt, pred, official=official)


def test_red_and_blue_swapped_are_refused_where_maps_are_read(gt):
    swap(gt.with_suffix(""))
    with pytest.raises(CocoFormatError, match=r"\.png: red and blue are swapped; write it as RGB"):
        read_panoptic_json(gt).load(5)


def test_ids_that_read_the_same_both_ways_are_no_matter(tmp_path):
    grey = panoptic([65793, 65793, 512], {65793: 1, 512: 7})  # (1, 1, 1) and (0, 2, 0)
    gt = write_dataset(tmp_path, "gt", {5: grey})
    swap(gt.with_suffix(""))
    np.testing.assert_array_equal(read_panoptic_json(gt).load(5).panoptic_map, grey.panoptic_map)
