"""Images behind URLs, in fsspec's own file systems."""

import shutil
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest

from fuse.errors import DataError, ImageReadError
from fuse.io.images import read_image
from fuse.io.listing import list_images
from fuse.io.remote import is_url

IMAGE = Path(__file__).parents[2] / "examples" / "images" / "rocket.jpg"


@pytest.fixture
def bucket():
    """A file system in memory with a few images and other files."""
    files = fsspec.filesystem("memory")
    content = IMAGE.read_bytes()
    for name in ("a.jpg", "trip/b.JPG", "trip/2026/c.jpeg", ".hidden/d.jpg", "trip/.e.jpg"):
        files.pipe_file(f"/bucket/{name}", content)
    files.pipe_file("/bucket/notes.txt", b"no image")
    files.pipe_file("/bucket/empty.png", b"")
    files.pipe_file("/other/a.jpg", content)
    yield "memory://bucket"
    for folder in ("/bucket", "/other"):
        files.rm(folder, recursive=True)


def names(*given):
    return [image.relative_name for image in list_images(list(given)).images]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", ["a.jpg", "empty.png", "trip/2026/c.jpeg", "trip/b.JPG"]),
        ("/", ["a.jpg", "empty.png", "trip/2026/c.jpeg", "trip/b.JPG"]),
        ("/trip", ["2026/c.jpeg", "b.JPG"]),
        ("/trip/b.JPG", ["b.JPG"]),
        ("/*.jpg", ["a.jpg"]),
        ("/**/*.jp*g", ["a.jpg", "trip/2026/c.jpeg"]),
    ],
)
def test_folders_files_and_globs(bucket, given, expected):
    assert names(bucket + given) == expected


@pytest.mark.parametrize("given", ["images [1]", "images [1]/a?.jpg"])
def test_a_name_with_signs_of_a_glob_is_a_name(tmp_path, given):
    folder = tmp_path / "images [1]"
    folder.mkdir()
    shutil.copy(IMAGE, folder / "a?.jpg")
    assert names(f"file://{tmp_path}/{given}") == ["a?.jpg"]


@pytest.mark.parametrize(
    ("inside", "expected"),
    [("", ["a.jpg", "trip/b.jpg"]), ("*.jpg", ["a.jpg"]), ("trip", ["b.jpg"])],
)
@pytest.mark.parametrize("scheme", ["", "file://", "memory://"])
def test_images_in_an_archive(tmp_path, inside, expected, scheme):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in ("a.jpg", "trip/b.jpg", "notes.txt"):
            archive.write(IMAGE, name)
    where = f"{scheme}{tmp_path}/all.zip"
    if scheme == "memory://":
        fsspec.filesystem("memory").pipe_file(where, (tmp_path / "all.zip").read_bytes())
    listed = list_images([f"zip://{inside}::{where}"]).images
    assert [image.relative_name for image in listed] == expected
    np.testing.assert_array_equal(read_image(listed[0].path), read_image(IMAGE))


def test_an_archive_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match=r"none\.zip: cannot be listed"):
        list_images([f"zip://*.jpg::{tmp_path}/none.zip"])


def test_images_of_one_name_are_named_apart(bucket):
    assert names("memory://bucket/a.jpg", "memory://other") == ["bucket/a.jpg", "other/a.jpg"]
    assert names(bucket, f"{bucket}/trip") == names(bucket)  # each once


def test_urls_and_paths_go_together(bucket):
    assert names(f"{bucket}/trip", str(IMAGE)) == ["2026/c.jpeg", "b.JPG", "rocket.jpg"]


def test_the_pixels_are_those_of_the_file(bucket):
    image = next(image for image in list_images([bucket]).images if image.relative_name == "a.jpg")
    np.testing.assert_array_equal(read_image(image.path), read_image(IMAGE))
    np.testing.assert_array_equal(read_image(IMAGE.as_uri()), read_image(IMAGE))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("memory://bucket/nowhere", "nowhere: there is no such file or folder"),
        ("memory://bucket/*.gif", "no such file or folder"),
        ("nonsense://bucket", r"nonsense://bucket: cannot be listed \(Protocol not known"),
        ("memory://bucket/notes.txt", "no images in memory://bucket/notes.txt"),
    ],
)
def test_what_cannot_be_listed_says_so(bucket, given, message):
    with pytest.raises(DataError, match=message):
        list_images([given])


def test_a_missing_package_is_named(monkeypatch):
    def refuse(protocol):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "get_filesystem_class", refuse)
    with pytest.raises(DataError, match=r"Install s3fs .*pip install 'panoptic-fuse\[s3\]'"):
        list_images(["s3://bucket/images"])


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere.jpg", "cannot be read"), ("empty.png", "the file is empty")]
)
def test_what_cannot_be_read_says_so(bucket, name, message):
    with pytest.raises(ImageReadError, match=f"{bucket}/{name}: {message}"):
        read_image(f"{bucket}/{name}")


@pytest.mark.parametrize("given", ["a.jpg", "C://images", "/a/b", "x:y", ""])
def test_other_paths_are_no_urls(given):
    assert not is_url(given)
