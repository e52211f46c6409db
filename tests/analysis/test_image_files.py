"""Where the images of a run are, if they are not where it found them."""

from fuse.analysis.image_files import find_images


def test_a_bare_name_is_enough_where_one_image_has_it(tmp_path):
    for name in ("a/x.jpg", "a/y.jpg", "b/y.jpg", "z.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_images(["val/x.jpg", "val/y.jpg", "b/y.jpg", "z.jpg", "n.jpg"], [], tmp_path)
    assert found == {
        "val/x.jpg": tmp_path / "a/x.jpg",
        "b/y.jpg": tmp_path / "b/y.jpg",
        "z.jpg": tmp_path / "z.jpg",
    }
