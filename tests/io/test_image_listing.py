"""Which images are meant, and what their maps are called."""

import os
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fuse.errors import DataError
from fuse.io.listing import describe_unread, list_images, png_names

# -- which files ---------------------------------------------------------------------------


def make_files(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def names_of(*inputs: object, leave_out: Path | None = None) -> list[str]:
    return [
        image.relative_name
        for image in list_images(list(map(str, inputs)), leave_out=leave_out).images
    ]


def test_folder_is_searched_to_any_depth_for_images_alone(tmp_path):
    make_files(tmp_path, "b.JPG", "a.jpeg", "deep/er/c.PnG", "notes.txt", "mask.npy", "jpg")
    make_files(tmp_path, ".hidden.jpg", ".cache/d.jpg", "._b.JPG")
    assert names_of(tmp_path) == ["a.jpeg", "b.JPG", "deep/er/c.PnG"]


@pytest.mark.parametrize(
    "ending",
    [
        "jpg",
        "jpeg",
        "jpe",
        "jfif",
        "png",
        "bmp",
        "tif",
        "tiff",
        "webp",
        "gif",
        "ppm",
        "JPG",
        "Tif",
        "mpo",
        "pnm",
        "apng",
        "dib",
        "jpf",
    ],
)
def test_usual_endings_count_in_any_case(tmp_path, ending):
    make_files(tmp_path, f"image.{ending}")
    assert names_of(tmp_path) == [f"image.{ending}"]


def test_file_given_by_name_is_taken_whatever_its_ending(tmp_path):
    make_files(tmp_path, "image.dat", ".hidden.jpg")
    assert names_of(tmp_path / "image.dat", tmp_path / ".hidden.jpg") == [
        ".hidden.jpg",
        "image.dat",
    ]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["a.jpg"]),
        ("*", ["a.jpg", "sub/b.jpg", "sub/c.png"]),
        ("**/*.jpg", ["a.jpg", "sub/b.jpg"]),
        ("**", ["a.jpg", "sub/b.jpg", "sub/c.png"]),
        ("**/s*", ["sub/b.jpg", "sub/c.png"]),
        ("s?b/*.[jp]*", ["sub/b.jpg", "sub/c.png"]),
    ],
)
def test_glob_names_from_its_fixed_part_and_searches_matched_folders(tmp_path, pattern, expected):
    make_files(tmp_path, "a.jpg", "sub/b.jpg", "sub/c.png", "notes.txt")
    assert names_of(tmp_path / pattern) == expected


def test_existing_name_with_brackets_is_no_glob(tmp_path):
    make_files(tmp_path, "trip [1].jpg", "trip 1.jpg", "album [2]/a.jpg")
    assert names_of(tmp_path / "trip [1].jpg") == ["trip [1].jpg"]
    assert names_of(tmp_path / "album [2]") == ["a.jpg"]


def test_image_reached_twice_counts_once_and_keeps_the_first_name(tmp_path):
    make_files(tmp_path, "sub/a.jpg", "b.jpg")
    assert names_of(tmp_path, tmp_path / "sub", tmp_path / "sub/a.jpg", f"{tmp_path}/*.jpg") == [
        "b.jpg",
        "sub/a.jpg",
    ]


def test_images_that_would_share_a_name_are_named_from_their_common_folder(tmp_path):
    make_files(tmp_path, "train/1.jpg", "val/1.jpg", "val/x/2.jpg")
    images = list_images([str(tmp_path / "train"), str(tmp_path / "val")]).images
    assert [(image.relative_name, image.path) for image in images] == [
        (name, tmp_path / name) for name in ("train/1.jpg", "val/1.jpg", "val/x/2.jpg")
    ]


def test_order_of_inputs_does_not_change_the_order_of_images(tmp_path):
    make_files(tmp_path, "one/b.jpg", "two/a.jpg", "c.jpg")
    inputs = [tmp_path / "two", tmp_path / "c.jpg", tmp_path / "one"]
    assert names_of(*inputs) == names_of(*reversed(inputs)) == ["a.jpg", "b.jpg", "c.jpg"]


def test_link_loops_end_and_linked_folders_count_once(tmp_path):
    make_files(tmp_path, "images/a/1.jpg", "elsewhere/2.jpg")
    (tmp_path / "images/a/loop").symlink_to(tmp_path / "images")
    (tmp_path / "images/0_link").symlink_to(tmp_path / "images/a")
    (tmp_path / "images/far").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "images/broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "images/itself").symlink_to(tmp_path / "images/itself")
    assert names_of(tmp_path / "images") == ["a/1.jpg", "broken.jpg", "far/2.jpg"]
    assert names_of(f"{tmp_path}/images/**/*.jpg") == ["a/1.jpg", "broken.jpg", "far/2.jpg"]


def test_output_folder_inside_an_input_is_left_out(tmp_path):
    make_files(tmp_path, "a.jpg", "out/panoptic/a.png", "outside.jpg")
    assert names_of(tmp_path, leave_out=tmp_path / "out") == ["a.jpg", "outside.jpg"]
    assert names_of(tmp_path, leave_out=tmp_path / "new") == [
        "a.jpg",
        "out/panoptic/a.png",
        "outside.jpg",
    ]


def test_a_glob_takes_no_run_for_images(tmp_path):
    make_files(tmp_path, "a.jpg", "sub/b.jpg", *(f"out/{n}" for n in ("run.json", "records.jsonl")))
    make_files(tmp_path, "out/panoptic/a.png")
    assert names_of(f"{tmp_path}/*") == ["a.jpg", "sub/b.jpg"]
    assert names_of(tmp_path / "out") == ["panoptic/a.png"]  # who names it means it


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("missing", r"missing: there is no such file or folder"),
        ("missing*.jpg", r"missing\*\.jpg: no file or folder matches"),
        ("empty", r"no images in .*empty: looked for files ending in .*\.jpeg .*hidden"),
        ("*.txt", r"no images in .*: looked for"),
        ("**/*.webp", r"webp: no file or folder matches"),
    ],
)
def test_inputs_without_images_are_named(tmp_path, given, message):
    make_files(tmp_path, "notes.txt", "empty/notes.txt")
    with pytest.raises(DataError, match=message):
        list_images([str(tmp_path / given)])


def test_empty_path_does_not_mean_the_current_folder():
    with pytest.raises(DataError, match="an empty path was given"):
        list_images([""])


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read every folder")
def test_unreadable_folder_is_an_error_instead_of_a_gap(tmp_path):
    make_files(tmp_path, "a.jpg", "locked/b.jpg")
    (tmp_path / "locked").chmod(0)
    with pytest.raises(DataError, match=r"locked: folder cannot be read"):
        list_images([str(tmp_path)])
    (tmp_path / "locked").chmod(0o700)


# -- names of maps -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        pytest.param(["a.jpg", "b.JPEG", "c.x.png"], ["a.png", "b.png", "c.x.png"], id="plain"),
        pytest.param(["x/a.jpg", "y/a.jpg"], ["x/a.png", "y/a.png"], id="folders"),
        pytest.param(["a.jpg", "a.png", "b.jpg"], ["a.jpg.png", "a.png.png", "b.png"], id="clash"),
        pytest.param(["IMG.jpg", "img.png"], ["IMG.jpg.png", "img.png.png"], id="case"),
        pytest.param(
            ["a.jpg", "a.png", "a.jpg.bmp"],
            ["a.jpg.png", "a.png.png", "a.jpg.bmp.png"],
            id="kept name meets a short one",
        ),
        pytest.param(["no_ending"], ["no_ending.png"], id="no ending"),
        pytest.param(["x.jpg", "X.png/b.jpg"], ["x.jpg.png", "X.png/b.png"], id="folder as map"),
        pytest.param(["x.png", "x.jpg/b.jpg"], ["x.png.png", "x.jpg/b.png"], id="picture"),
        pytest.param(["x.png", "x.npz/b.jpg"], ["x.png.png", "x.npz/b.png"], id="folder as kept"),
    ],
)
def test_map_names(images, expected):
    assert png_names(images) == expected


@given(
    st.lists(
        st.from_regex(r"([abA](\.png)?/)?[abA](\.(jpg|png|JPG))?(\.(bmp|png))?", fullmatch=True),
        unique_by=str.casefold,
        max_size=12,
    )
)
def test_no_two_images_share_a_map_and_folders_stay(images):
    folders = {str(folder).casefold() for image in images for folder in Path(image).parents}
    taken = (f"{image}{ending}".casefold() for image in images for ending in ("", ".png"))
    assume(not folders & set(taken))  # no disk has the first, and the second leaves no name
    names = png_names(images)
    assert len({name.casefold() for name in names}) == len(images)
    assert not folders & {name.casefold() for name in names}
    for image, name in zip(images, names, strict=True):
        assert Path(name).parent == Path(image).parent
        assert name in (f"{image}.png", Path(image).with_suffix(".png").as_posix())


def test_a_map_without_a_name_left_is_refused():
    with pytest.raises(DataError, match=r"would be called x\.jpg\.png, as a folder"):
        png_names(["x.jpg", "x.png/a.jpg", "x.jpg.png/b.jpg"])


@pytest.mark.parametrize("name", ["../a.jpg", "x/../../a.jpg", "/etc/a.jpg", "", "."])
def test_names_that_lead_out_of_the_folder_are_refused(name):
    with pytest.raises(DataError, match="not a path inside a folder"):
        png_names(["fine.jpg", name])


def test_what_a_folder_holds_beside_images_is_counted_by_ending(tmp_path):
    names = ("a.jpg", "b.TGA", "c.tga", "labels.json", "LICENSE", ".hidden", "._a.jpg", "Thumbs.db")
    for name in (*names, "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", ".ipynb_checkpoints/a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    listing = list_images([str(tmp_path)])
    assert [image.relative_name for image in listing.images] == ["a.jpg"]
    assert listing.unread == {"": 1, ".json": 1, ".tga": 2}
    assert describe_unread(listing.unread) == "1 without an ending, 1 .json, 2 .tga"


def test_files_that_a_glob_does_not_mean_are_not_counted(tmp_path):
    for name in ("a/1.jpg", "a/1.json", "b/2.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list_images([str(tmp_path / "a" / "*")]).unread == {".json": 1}
    assert list_images([str(tmp_path / "**" / "*.jpg")]).unread == {}


def test_who_reads_heic_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("fuse.io.listing.list_endings", lambda: (".jpg",))
    (tmp_path / "a.HEIC").touch()
    with pytest.raises(DataError, match=r"pip install 'panoptic-fuse\[heif\]'"):
        list_images([str(tmp_path)])
