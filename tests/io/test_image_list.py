"""Names of images from a file or from stdin."""

import os
from io import BytesIO, TextIOWrapper

import pytest

from fuse.errors import DataError
from fuse.io.image_list import read_image_list
from fuse.io.listing import list_images


def read(path, content, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return read_image_list(path, **options)


def names_of(listed, **options):
    return [image.relative_name for image in list_images([], listed=listed, **options).images]


@pytest.fixture
def folder(tmp_path):
    for name in ("lists/a.jpg", "lists/sub/b.jpg", "lists/sub/two\nlines.jpg", "elsewhere/c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    "content",
    [
        b"a.jpg\nsub/b.jpg\n",
        b"a.jpg\r\nsub/b.jpg",
        b"\xef\xbb\xbf\n\na.jpg\n./sub//b.jpg\n",
        b"sub/../a.jpg\nsub/b.jpg\n",
        b".\\a.jpg\r\nsub\\b.jpg\r\n",
    ],
)
def test_names_are_relative_to_the_file(folder, content, monkeypatch):
    monkeypatch.chdir("/")
    assert names_of(read(folder / "lists/names", content)) == ["a.jpg", "sub/b.jpg"]


def test_nul_ends_names_with_any_sign_in_them(folder):
    listed = read(folder / "lists/names", b"sub/two\nlines.jpg\0a.jpg\0", null=True)
    assert names_of(listed) == ["a.jpg", "sub/two\nlines.jpg"]


def test_stdin_is_relative_to_the_working_directory(folder, monkeypatch):
    monkeypatch.chdir(folder / "lists")
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"a.jpg\nsub/b.jpg\n")))
    assert names_of(read_image_list("-")) == ["a.jpg", "sub/b.jpg"]


@pytest.mark.parametrize("given", ["../elsewhere/c.jpg", "{}/elsewhere/c.jpg"])
def test_images_outside_are_named_from_the_folder_of_all(folder, given):
    line = given.format(folder)
    listed = read(folder / "lists/names", f"a.jpg\n{line}\n".encode())
    assert names_of(listed) == ["elsewhere/c.jpg", "lists/a.jpg"]
    assert names_of(read(folder / "lists/names", line.encode())) == ["c.jpg"]


def test_absolute_names_below_the_list_are_named_as_relative_ones(folder):
    listed = read(folder / "lists/names", f"{folder}/lists/sub/b.jpg\na.jpg\n".encode())
    assert names_of(listed) == ["a.jpg", "sub/b.jpg"]


def test_the_same_image_again_is_told(folder):
    (folder / "lists/link").symlink_to(folder / "lists/sub")
    listed = read(folder / "lists/names", b"sub/b.jpg\na.jpg\na.jpg\nlink/b.jpg\n")
    listing = list_images([str(folder / "elsewhere")], listed=listed)
    assert [image.relative_name for image in listing.images] == ["a.jpg", "c.jpg", "sub/b.jpg"]
    assert listing.doubled == ["a.jpg", "link/b.jpg"]


def test_a_missing_image_stays_in_the_list(folder):
    assert names_of(read(folder / "lists/names", b"a.jpg\ngone.jpg\n")) == ["a.jpg", "gone.jpg"]


def test_urls_are_taken_as_they_are(tmp_path):
    listed = read(tmp_path / "names", b"s3://bucket/x/a.jpg\ns3://bucket/x/y/b.jpg\n")
    images = list_images([], listed=listed).images
    assert [(image.relative_name, image.path) for image in images] == [
        ("a.jpg", "s3://bucket/x/a.jpg"),
        ("y/b.jpg", "s3://bucket/x/y/b.jpg"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n\r\n", "names no image"),
        (b"x.jpg\ny.jpg\n", r"none of its 2 images is there, first .*/x\.jpg; names count from"),
        ("a.jpg\n".encode("utf-16"), "save it as UTF-8 if it is UTF-16"),
        (b"a.jpg\0sub/b.jpg\0", "give -0"),
        (b"a.jpg\ns3://bucket/a.jpg\n", "both files and URLs"),
        (b"out/a.jpg\na.jpg\n", "lies in the output folder"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused(folder, content, message):
    with pytest.raises(DataError, match=message):
        names_of(read(folder / "lists/names", content), leave_out=folder / "lists/out")


def test_a_list_that_cannot_be_read_is_told(tmp_path):
    for source in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(DataError, match="the list cannot be read"):
            read_image_list(source)


@pytest.mark.slow
def test_a_million_names(tmp_path):
    (tmp_path / "0").mkdir()
    (tmp_path / "0/0.jpg").touch()
    names = [f"{i // 1000}/{i}.jpg" for i in range(1_000_000)]
    listed = read(tmp_path / "names", os.fsencode("\n".join([*names, names[7]])))
    listing = list_images([], listed=listed)
    assert (len(listing.images), listing.doubled) == (1_000_000, ["0/7.jpg"])
