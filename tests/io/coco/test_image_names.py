"""Names of images, against `pathlib`; below a folder that holds all, against `posixpath`."""

import posixpath
from pathlib import PurePosixPath
from unicodedata import normalize
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuse.io.coco.image_names import name_below_common, name_keys


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


PARTS = st.text(alphabet="aZ0_-.%é /\\", min_size=1, max_size=8)


@given(name=st.lists(PARTS, min_size=1, max_size=3).map("/".join))
@example(name="val2017/000000000139.jpg")
@example(name="00139.png")
@example(name="a.b.png")
@example(name=".png")
def test_keys_of_a_name_are_those_of_its_path(name):
    path = PurePosixPath(normalize("NFC", unquote(name.replace("\\", "/"))))
    stem = PurePosixPath(name.replace("\\", "/")).stem
    number = int(stem) if stem and set(stem) <= set("0123456789") else None
    assert name_keys(name) == (str(path), path.name, path.stem, number)
