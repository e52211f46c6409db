"""Names of images below the deepest folder that holds all, against `posixpath.commonpath`."""

import posixpath

import pytest

from fuse.io.coco.image_names import name_below_common


@pytest.mark.parametrize("sign", [" ", "!", "#", "+", "-", ".", "0", "a", "é"])
def test_names_stay_whole_beside_a_folder_that_is_called_alike(sign):
    paths = ["/data/train/x.jpg", f"/data/train{sign}extra/y.jpg", "/data/train/sub/z.jpg"]
    names = name_below_common(paths)
    assert names == ["train/x.jpg", f"train{sign}extra/y.jpg", "train/sub/z.jpg"]
    common = posixpath.commonpath([posixpath.dirname(path) for path in paths])
    assert names == [posixpath.relpath(path, common) for path in paths]


def test_images_of_one_folder_are_called_by_their_names():
    assert name_below_common(["/data/x.jpg", "/data/y.jpg"]) == ["x.jpg", "y.jpg"]
    assert name_below_common(["/data/x.jpg"]) == ["x.jpg"]
    assert name_below_common(["/x.jpg", "/data/y.jpg"]) == ["x.jpg", "data/y.jpg"]
