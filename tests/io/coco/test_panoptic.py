import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from panoptic_maps import SPACE, panoptic, write_dataset

from fuse.errors import CocoFormatError, FuseWarning
from fuse.io.coco.panoptic import (
    ImageRecord,
    annotation_to_json,
    read_panoptic_json,
    segment_from_json,
    segment_to_json,
    write_panoptic_json,
)
from fuse.io.png import write_id_map
from fuse.labels import load_space
from fuse.types import MAX_SEGMENT_ID, SegmentInfo

IMAGE = panoptic([[1, 1, 0], [5, 1, 0]], {1: 1, 5: 7}, crowds={5})


@st.composite
def segments(draw):
    return SegmentInfo(
        segment_id=draw(st.integers(1, MAX_SEGMENT_ID)),
        category_id=draw(st.integers(1, 2**31 - 1)),
        area=draw(st.integers(1, 10**9)),
        bbox=tuple(draw(st.tuples(*[st.integers(0, 10**5)] * 4))),
        iscrowd=draw(st.booleans()),
        score=draw(st.none() | st.floats(0, 1)),
    )


@given(segments())
def test_segment_round_trip(segment):
    assert segment_from_json(json.loads(json.dumps(segment_to_json(segment)))) == segment


def test_segment_to_json_leaks_no_numpy():
    segment = SegmentInfo(
        np.int32(1), np.int64(2), np.int64(3), np.arange(4), np.True_, np.float32(0.5)
    )
    assert json.dumps(segment_to_json(segment)) == (
        '{"id": 1, "category_id": 2, "area": 3, "bbox": [0, 1, 2, 3], "iscrowd": 1, "score": 0.5}'
    )


@pytest.mark.parametrize("change", [{"bbox": [1, 2, 3]}, {"area": "many"}, {"id": None}])
def test_segment_from_json_refuses(change):
    entry = segment_to_json(SegmentInfo(1, 2, 3, (0, 0, 1, 3))) | change
    with pytest.raises(CocoFormatError, match="segments_info entry"):
        segment_from_json(entry)


def write_image(folder, image_id=139):
    """Write IMAGE with `write_panoptic_json`; the path of the JSON."""
    write_panoptic_json(
        folder / "panoptic.json",
        (ImageRecord(image_id, "a/b.jpg", height=2, width=3) for _ in range(1)),
        (annotation_to_json(image_id, "a/b.png", IMAGE.segments_info) for _ in range(1)),
        SPACE,
    )
    (folder / "panoptic/a").mkdir(parents=True, exist_ok=True)
    write_id_map(folder / "panoptic/a/b.png", IMAGE.panoptic_map)
    return folder / "panoptic.json"


def test_written_json(tmp_path):
    assert json.loads(write_image(tmp_path).read_text()) == {
        "images": [{"id": 139, "file_name": "a/b.jpg", "height": 2, "width": 3}],
        "annotations": [
            {
                "image_id": 139,
                "file_name": "a/b.png",
                "segments_info": [segment_to_json(segment) for segment in IMAGE.segments_info],
            }
        ],
        "categories": [
            {
                "id": category.category_id,
                "name": category.name,
                "isthing": int(category.isthing),
                "supercategory": "",
                "color": [128, 128, 128],
            }
            for category in SPACE.categories
        ],
    }


def test_write_empty(tmp_path):
    write_panoptic_json(tmp_path / "panoptic.json", (), (), SPACE)
    content = json.loads((tmp_path / "panoptic.json").read_text())
    assert content["images"] == content["annotations"] == []


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = write_image(tmp_path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_panoptic_json(path, (), [{"image_id": np.int64(1)}], SPACE)
    assert path.read_bytes() == before
    assert {entry.name for entry in tmp_path.iterdir()} == {"panoptic.json", "panoptic"}


@pytest.mark.parametrize("image_id", [139, "frankfurt_000000_000294"])
@pytest.mark.parametrize("as_folder", [True, False])
def test_read_back(tmp_path, image_id, as_folder):
    path = write_image(tmp_path, image_id)
    dataset = read_panoptic_json(tmp_path if as_folder else path)
    assert dataset.space.categories == SPACE.categories
    assert dataset.images == {image_id: ImageRecord(image_id, "a/b.jpg", 2, 3)}
    image = dataset.load(image_id)
    np.testing.assert_array_equal(image.panoptic_map, IMAGE.panoptic_map)
    assert image.segments_info == (
        SegmentInfo(1, 1, area=3, bbox=(0, 0, 2, 2)),
        SegmentInfo(5, 7, area=1, bbox=(0, 1, 1, 1), iscrowd=True),
    )


def test_load_counts_from_the_png_alone(tmp_path):
    segments = [
        {"id": 1, "category_id": 2, "area": 999},
        {"id": 1, "category_id": 1},  # a repeated id: the last counts
        {"id": 0, "category_id": 1},  # 0 is void
        {"id": 33, "category_id": 1},  # no pixels
    ]
    annotations = [{"image_id": 1, "file_name": "1.png", "segments_info": segments}]
    path = write_dataset(tmp_path, "gt", {1: IMAGE}, annotations=annotations)
    image = read_panoptic_json(path).load(1)
    assert image.segments_info == (SegmentInfo(1, 1, area=3, bbox=(0, 0, 2, 2)),)
    np.testing.assert_array_equal(image.panoptic_map, [[1, 1, 0], [0, 1, 0]])


def test_shipped_spaces_are_recognised(tmp_path):
    space = load_space("coco_panoptic")
    path = write_dataset(tmp_path, "gt", {}, space)
    assert read_panoptic_json(path).space is space
    without = [{"id": c.category_id, "name": c.name} for c in space.categories]
    dataset = read_panoptic_json(write_dataset(tmp_path, "other", {}, categories=without))
    assert dataset.space is space
    assert len(dataset.assumed_things) == 133


def test_custom_categories(tmp_path):
    categories = [{"id": 3, "name": "wall", "isthing": False}, {"id": 9, "name": "nut"}]
    dataset = read_panoptic_json(write_dataset(tmp_path, "mine", {}, categories=categories))
    assert dataset.space.name == "mine"
    assert dataset.space.by_id[3].isthing is False
    assert dataset.space.by_id[9].isthing is True
    assert dataset.assumed_things == (9,)


def test_no_images_and_no_categories(tmp_path):
    path = write_dataset(tmp_path, "pred", {7: IMAGE}, images=None, categories=None)
    with pytest.raises(CocoFormatError, match="there is no 'categories'"):
        read_panoptic_json(path)
    dataset = read_panoptic_json(path, default_space=SPACE)
    assert dataset.own_space is None
    assert dataset.image_name(7) == "7.png"


SEGMENT = {"id": 1, "category_id": 1}


def entry(**changes):
    annotation = {"image_id": 1, "file_name": "1.png", "segments_info": [SEGMENT]} | changes
    return {"annotations": [{k: v for k, v in annotation.items() if v is not None}]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": None}, "missing required field `annotations`"),
        (entry(file_name=None), r"missing required field `file_name` - at `\$.annotations\[0\]`"),
        (entry(image_id=[1]), r"Expected `int \| str`.* `\$.annotations\[0\].image_id`"),
        (entry(segments_info=[{"id": 1}]), r"`category_id` - at .*segments_info\[0\]`"),
        (entry(segments_info=[SEGMENT | {"id": -1}]), r">= 0 - at .*segments_info\[0\].id`"),
        (
            entry(segments_info=[SEGMENT | {"id": 2**24}]),
            r"<= 16777215 - at .*segments_info\[0\].id`",
        ),
        (entry(segments_info=[SEGMENT | {"id": 1.5}]), r"got `float` - at .*\[0\].id`"),
        (entry(segments_info=[SEGMENT | {"id": True}]), r"got `bool` - at .*\[0\].id`"),
        (entry(segments_info=[SEGMENT | {"area": "six"}]), r"segments_info\[0\].area`"),
        (
            entry(segments_info=[SEGMENT, SEGMENT | {"area": float("nan")}]),
            r": `\$.annotations\[0\].segments_info\[1\].area` is NaN, no number of JSON",
        ),
        (entry(segments_info=[SEGMENT | {"score": float("-inf")}]), r"\[0\].score` is Infinity"),
        (entry(segments_info=[SEGMENT | {"iscrowd": 2}]), r"<= 1 - at .*\[0\].iscrowd`"),
        (
            entry(segments_info=[SEGMENT, {"id": 2, "category_id": 4}]),
            "image_id 1: segment 2 has category_id 4, which is not in the categories",
        ),
        ({"annotations": entry()["annotations"] * 2}, "annotations: image_id 1 stands twice"),
        (
            {"annotations": [entry(image_id=i)["annotations"][0] for i in (1, 2)]},
            "'1.png' is the PNG of image_id 1 and of 2; each image has its own",
        ),
        ({"images": [{"id": 8}, {"id": 8}]}, "images: image_id 8 stands twice"),
        ({"images": [{"id": 8, "height": 0}]}, r">= 1 - at `\$.images\[0\].height`"),
        ({"categories": []}, "categories: .* has no categories"),
        ({"categories": [{"id": 2**24 - 1, "name": "void"}]}, "does not lie in 0..16777214"),
    ],
)
def test_wrong_entries_are_named(tmp_path, changes, message):
    path = write_dataset(tmp_path, "gt", {}, **changes)
    with pytest.raises(CocoFormatError, match=message) as raised:
        read_panoptic_json(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"[1, 2]", "is not a COCO panoptic JSON: Expected `object`, got `array`"),
        (b'{"annotations": [', "truncated"),
        (b"\x89PNG\r\n", "malformed"),
        ('{"annotations": []}'.encode("utf-16"), "it is text in UTF-16; save it as plain UTF-8"),
        (gzip.compress(b'{"annotations": []}', mtime=0), "it is packed by gzip; unpack it"),
        (b"PK\x03\x04", "it is a zip archive; unpack it"),
        (b'{"annotations": ["\xff"]}', "is not a COCO panoptic JSON"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    (tmp_path / "gt.json").write_bytes(content)
    with pytest.raises(CocoFormatError, match=message):
        read_panoptic_json(tmp_path / "gt.json")


def test_numbers_that_are_text_or_have_a_point_are_read_and_told(tmp_path):
    segment = {"id": "1", "category_id": 7.0, "area": "6", "iscrowd": "0", "score": "0.5"}
    changes = entry(segments_info=[segment]) | {
        "images": [{"id": 1.0, "file_name": "1.jpg", "width": "3", "height": 2.0}]
    }
    path = write_dataset(tmp_path, "gt", {}, **changes)
    with pytest.warns(FuseWarning, match="got `float` - at .*; such numbers are read all the same"):
        dataset = read_panoptic_json(path)
    (found,) = dataset.annotations[1].segments_info
    assert (found.segment_id, found.category_id, found.area, found.score) == (1, 7, 6, 0.5)
    assert not found.iscrowd
    assert (dataset.images[1].height, dataset.images[1].width) == (2, 3)


@pytest.mark.parametrize("score", ["nan", "-inf", "Infinity"])
def test_what_is_no_number_is_none_as_text_either(tmp_path, score):
    path = write_dataset(tmp_path, "gt", {}, **entry(segments_info=[SEGMENT | {"score": score}]))
    with pytest.raises(CocoFormatError, match=r"got `str` - at .*\[0\].score`"):
        read_panoptic_json(path)


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path):
    path = write_dataset(tmp_path, "gt", {}, **entry(segments_info=[SEGMENT]))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert 1 in read_panoptic_json(path).annotations


def test_pngs_whose_names_begin_with_their_folder_are_found(tmp_path):
    path = write_dataset(tmp_path, "gt", {1: IMAGE})

    def rename(content):
        for annotation in content["annotations"]:
            annotation["file_name"] = f"gt/{annotation['file_name']}"

    content = json.loads(path.read_text())
    rename(content)
    path.write_text(json.dumps(content))
    loaded = read_panoptic_json(path).load(1)
    assert np.array_equal(loaded.panoptic_map, IMAGE.panoptic_map)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(CocoFormatError, match=r"gt\.json: cannot be read \(No such file"):
        read_panoptic_json(tmp_path / "gt.json")
    with pytest.raises(CocoFormatError, match=r"is no run and has no panoptic\.json; give the out"):
        read_panoptic_json(tmp_path)
    path = write_dataset(tmp_path, "gt", {})
    with pytest.raises(CocoFormatError, match=r"its folder of PNGs .*nowhere does not exist"):
        read_panoptic_json(path, tmp_path / "nowhere")
    annotations = entry()["annotations"]
    dataset = read_panoptic_json(write_dataset(tmp_path, "pred", {}, annotations=annotations))
    with pytest.raises(CocoFormatError, match=r"1\.png"):
        dataset.load(1)


def test_png_dir_elsewhere(tmp_path):
    path = write_dataset(tmp_path, "gt", {1: IMAGE})
    (tmp_path / "gt").rename(tmp_path / "pngs")
    image = read_panoptic_json(path, tmp_path / "pngs").load(1)
    np.testing.assert_array_equal(image.panoptic_map, IMAGE.panoptic_map)


@pytest.mark.parametrize(
    ("file_name", "image_id"),
    [
        ("val2017/139.jpg", 139),
        ("139.jpg", 139),
        ("139.png", 139),
        ("my/images/139.JPEG", 139),
        ("my\\images\\139.jpg", 139),
        ("a/x.jpg", 1),
        ("b/x.jpg", 2),
        ("x.jpg", None),  # two images have that name
        ("c/y.png", 4),
        ("y.webp", None),  # two have that stem
        ("z.jpg", None),
        ("no annotation.jpg", None),
    ],
)
def test_find_image(tmp_path, file_name, image_id):
    names = {139: "val2017/139.jpg", 1: "a/x.jpg", 2: "b/x.jpg", 3: "c/y.jpg", 4: "d/y.png"}
    annotations = [{"image_id": i, "file_name": f"{i}.png", "segments_info": []} for i in names]
    images = [{"id": i, "file_name": name} for i, name in names.items()]
    images.append({"id": 77, "file_name": "no annotation.jpg"})
    path = write_dataset(tmp_path, "gt", {}, annotations=annotations, images=images)
    assert read_panoptic_json(path).find_image(file_name) == image_id


def test_folders_parted_as_windows_does_are_found(tmp_path):
    path = write_dataset(tmp_path, "gt", {5: IMAGE})
    content = json.loads(path.read_text())
    content["annotations"][0]["file_name"] = "val\\5.png"
    path.write_text(json.dumps(content))
    (tmp_path / "gt" / "val").mkdir()
    (tmp_path / "gt" / "5.png").rename(tmp_path / "gt" / "val" / "5.png")
    assert (read_panoptic_json(path).load(5).panoptic_map == IMAGE.panoptic_map).all()


def test_instances_given_for_panoptic_segments_are_told_apart(tmp_path):
    path = tmp_path / "instances.json"
    entry = {"id": 1, "image_id": 5, "category_id": 1, "bbox": [0, 0, 1, 1], "segmentation": []}
    path.write_text(json.dumps({"images": [], "annotations": [entry], "categories": []}))
    with pytest.raises(CocoFormatError, match="these are instances, not panoptic segments"):
        read_panoptic_json(path)
    with pytest.raises(CocoFormatError, match=r"fuse convert coco-instances .*instances\.json -o"):
        read_panoptic_json(path)


def test_a_png_of_another_size_than_its_json_says_is_told_once(tmp_path):
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 2, "width": 4} for i in (1, 2)]
    entries = [entry(image_id=i, file_name=f"{i}.png")["annotations"][0] for i in (1, 2)]
    path = write_dataset(tmp_path, "gt", {}, images=images, annotations=entries)
    for i in (1, 2):
        write_id_map(tmp_path / "gt" / f"{i}.png", np.ones((2, 3), np.int32))
    dataset = read_panoptic_json(path)
    match = r"1.png is 3 wide, 2 high; its image in .*gt.json is 4 wide, 2 high; the PNG counts"
    with pytest.warns(FuseWarning, match=match) as told:
        sizes = [dataset.load(i).size for i in (1, 2)]
    assert sizes == [(2, 3)] * 2
    assert len(told) == 1


def test_a_lost_json_of_a_run_is_missed_with_what_to_do(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "records.jsonl").write_text("")
    with pytest.raises(CocoFormatError, match=r"panoptic.json: .*; fuse run --resume .* writes it"):
        read_panoptic_json(tmp_path)
