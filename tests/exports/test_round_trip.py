"""Out in a tool's form and in again: the same segments, or IoU 0.98 where polygons are."""

import json

import numpy as np
import pytest
from factories import TOY_SPACE
from panoptic_maps import panoptic, write_dataset
from real_data import COCO_ANNOTATIONS, needs_real_data
from tool_files import write_image

from fuse import api
from fuse.cli.export import FORMS as COMMAND_FORMS
from fuse.cli.export import SHAPES as COMMAND_SHAPES
from fuse.errors import DataError, LabelSpaceError
from fuse.exports.export import FORMS, SHAPES, export
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.labels import load_space

STUFF = ["sky", "grass"]
# Form, shapes, the reader of it, and whether it is exact.
TRIPS = {
    "cvat masks": ("cvat", "masks", "cvat", True),
    "cvat polygons": ("cvat", "polygons", "cvat", False),
    "labelme polygons": ("labelme", "polygons", "labelme", False),
    "labelme masks": ("labelme", "masks", "labelme", True),
    "label-studio masks": ("label-studio", "masks", "label-studio", True),
    "label-studio polygons": ("label-studio", "polygons", "label-studio", False),
    "voc": ("voc", "auto", "cvat-masks", True),
    "coco-instances": ("coco-instances", "auto", "coco-instances", True),
    "yolo-seg": ("yolo-seg", "auto", "yolo-seg", False),
}


def draw_scene(seed, size=(120, 160)):
    """Discs over bands of stuff, with a hole and an object in two parts."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    rows = np.zeros(size, dtype=np.int32)
    rows[20:70], rows[70:] = 1, 2
    categories = {1: 5, 2: 21}
    for segment_id in range(3, 7):
        center = rng.integers(20, (size[0] - 20, size[1] - 20))
        distance = np.hypot(y - center[0], x - center[1])
        rows[distance < rng.integers(12, 22)] = segment_id
        categories[segment_id] = int(rng.choice([3, 8]))
    rows[2:14, 5:30] = rows[2:14, 34:60] = 7  # one object in two parts
    rows[5:9, 10:20] = 0  # with a hole
    categories[7] = 8
    present = set(np.unique(rows).tolist())
    return panoptic(rows, {i: c for i, c in categories.items() if i in present})


@pytest.fixture
def scenes(tmp_path):
    images = {f"s{n}": draw_scene(n) for n in range(3)}
    for name in images:
        write_image(tmp_path / "images" / f"{name}.jpg", (120, 160))
    return write_dataset(tmp_path, "scenes", images, TOY_SPACE)


@pytest.mark.parametrize("trip", TRIPS)
def test_out_and_in_again(scenes, tmp_path, trip):
    form, shapes, tool, is_exact = TRIPS[trip]
    ending = FORMS[form].ending or ""
    out = tmp_path / f"out{ending}"
    result = export(scenes, out, to=form, shapes=shapes, stuff=True)
    assert result.images == 3
    options = {"images": tmp_path / "images"} if tool == "yolo-seg" else {}
    api.convert(tool, out, tmp_path / "back.json", stuff=STUFF, **options)
    truth, back = read_panoptic_json(scenes), read_panoptic_json(tmp_path / "back.json")
    for image_id in truth.annotations:
        name = truth.image_name(image_id)
        found = back.load(back.find_image(name))
        ious = match_by_name(truth.load(image_id), truth.space, found, back.space)
        assert min(ious) >= (1 if is_exact else 0.95)  # cut by what lies on top
        assert np.median(ious) >= (1 if is_exact else 0.98)
    assert not list(tmp_path.glob(".*"))


def match_by_name(truth, true_space, found, found_space):
    """The best IoU of each true segment with one of its class's name."""
    ious = []
    for true in truth.segments_info:
        name = true_space.by_id[true.category_id].name
        mask = truth.panoptic_map == true.segment_id
        same = [s for s in found.segments_info if found_space.by_id[s.category_id].name == name]
        masks = [found.panoptic_map == s.segment_id for s in same]
        ious.append(max((mask & m).sum() / (mask | m).sum() for m in masks))
    return ious


@pytest.mark.parametrize("form", FORMS)
def test_the_same_input_gives_the_same_bytes_with_any_threads(scenes, tmp_path, form):
    if form == "cityscapes":
        pytest.skip("has categories of its own")
    names = [tmp_path / f"{n}{FORMS[form].ending or ''}" for n in ("a", "b")]
    for name, workers in zip(names, (1, 3), strict=True):
        export(scenes, name, to=form, workers=workers)
    first, second = (
        [path.read_bytes() for path in sorted(name.rglob("*")) if path.is_file()]
        if name.is_dir()
        else [name.read_bytes()]
        for name in names
    )
    assert first == second


def test_choices_are_those_of_the_command_line():
    assert tuple(FORMS) == COMMAND_FORMS
    assert SHAPES == COMMAND_SHAPES


def test_what_is_there_stays(scenes, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match=r"out exists; give another name"):
        export(scenes, out, to="labelme")
    with pytest.raises(DataError, match=r"cvat is one file, whose name must end in .xml"):
        export(scenes, tmp_path / "a.json", to="cvat")
    assert (out / "mine.txt").read_text() == "mine"


def test_a_damaged_map_leaves_nothing(scenes, tmp_path):
    next((tmp_path / "scenes").glob("*.png")).write_bytes(b"no PNG")
    for form, name in (("labelme", "out"), ("cvat", "out.xml")):
        with pytest.raises(DataError, match="not a panoptic PNG"):
            export(scenes, tmp_path / name, to=form)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob("*out*"))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["../../a.jpg", "b.jpg", "c/d.jpg"], ["a.json", "b.json", "c/d.json"]),
        (["/data/x/a.jpg", "/data/b.jpg", "/data/x/c.jpg"], ["b.json", "x/a.json", "x/c.json"]),
        ([f"https://h/x/{n}.jpg?d=1" for n in "abc"], ["a.json", "b.json", "c.json"]),
    ],
)
def test_names_that_lead_out_give_files_inside(scenes, tmp_path, names, files):
    content = json.loads(scenes.read_text())
    for image, name in zip(content["images"], names, strict=True):
        image["file_name"] = name
    scenes.write_text(json.dumps(content))
    out = tmp_path / "in" / "out"
    out.parent.mkdir()
    export(scenes, out, to="labelme")
    written = sorted(p.relative_to(out).as_posix() for p in out.rglob("*.json"))
    assert written == files
    assert list(out.parent.iterdir()) == [out]
    export(scenes, tmp_path / "tasks.json", to="label-studio")
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert [task["data"]["image"] for task in tasks] == names


def test_cityscapes_needs_its_own_categories(scenes, tmp_path):
    with pytest.raises(LabelSpaceError, match="are of 'scenes', not of Cityscapes"):
        export(scenes, tmp_path / "out", to="cityscapes")


@needs_real_data
@pytest.mark.slow
@pytest.mark.parametrize("form", ["cvat", "labelme", "label-studio"])
def test_polygons_of_real_images_keep_their_masks(tmp_path, form):
    out = tmp_path / f"out{FORMS[form].ending or ''}"
    result = export(COCO_ANNOTATIONS / "panoptic_val2017.json", out, to=form, shapes="polygons")
    assert "polygon-poor" not in {finding.code for finding in result.findings}
    (lost,) = (finding for finding in result.findings if finding.code == "polygon-loss")
    assert "exact are --shapes masks, where the form has them, coco-instances" in str(lost)


def test_every_class_of_coco_has_a_colour_of_its_own():
    from fuse.exports.label_pngs import find_colors

    colors = find_colors(load_space("coco_panoptic"))
    assert len(set(colors.values())) == 133
    assert (0, 0, 0) not in colors.values()
