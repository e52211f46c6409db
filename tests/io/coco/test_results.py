import json
import struct
import warnings
import zlib

import cv2
import numpy as np
import pytest
from factories import TOY_SPACE, full_masks
from PIL import Image
from pycocotools import mask as coco_mask

from fuse.errors import CocoFormatError, FuseWarning
from fuse.io.coco.results import open_semantic, read_results
from fuse.io.coco.shapes import RleRecord, encode_shape
from fuse.ops.masks import paste_mask

SIZE = (9, 14)
BOX = {"size": [9, 14], "counts": [9, 3, 6, 3, 105]}  # rows 0..2 of columns 1 and 2


def entry(**changes):
    return {"image_id": 5, "category_id": 3, "score": 0.5, "segmentation": BOX} | changes


def write(folder, content):
    path = folder / "results.json"
    path.write_text(json.dumps(content))
    return path


def text_rle(mask):
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def frame(instances, index):
    """One instance's mask over the whole image."""
    full = np.zeros(instances.size, dtype=bool)
    crop, (y, x) = paste_mask(instances, index)
    full[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    return full


def test_instances_round_trip(tmp_path):
    masks = full_masks(np.random.default_rng(0), SIZE, 12)
    entries = [
        entry(image_id=index % 2, segmentation=text_rle(mask), score=index / 12)
        for index, mask in enumerate(masks)
    ]
    results = read_results(write(tmp_path, entries), TOY_SPACE, str)
    for image_id in (0, 1):
        instances = results.load_instances(image_id, SIZE)
        np.testing.assert_array_equal(instances.scores, np.arange(image_id, 12, 2) / 12)
        assert instances.category_ids.tolist() == [3] * 6
        for index, mask in enumerate(masks[image_id::2]):
            np.testing.assert_array_equal(frame(instances, index), mask)
            y, x = np.nonzero(mask)
            box = [x.min(), y.min(), x.max() + 1, y.max() + 1] if len(y) else [0, 0, 0, 0]
            assert instances.boxes[index].tolist() == box
    assert len(results.load_instances(99, SIZE)) == 0


@pytest.mark.parametrize(
    "segmentation",
    [
        BOX,
        text_rle(np.pad(np.ones((3, 2)), ((0, 6), (1, 11)))),
        [[1, 0, 3, 0, 3, 3, 1, 3]],
        [[1, 0, 2, 0, 2, 3, 1, 3], [2, 0, 3, 0, 3, 3, 2, 3]],
    ],
    ids=["counts", "text", "polygon", "two polygons"],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_forms_of_segmentation(tmp_path, segmentation, wrapped):
    entries = [entry(segmentation=segmentation)]
    path = write(tmp_path, {"annotations": entries, "images": []} if wrapped else entries)
    instances = read_results(path, TOY_SPACE, str).load_instances(5, SIZE)
    assert np.argwhere(frame(instances, 0)).tolist() == [[y, x] for y in range(3) for x in (1, 2)]
    assert instances.boxes.tolist() == [[1, 0, 3, 3]]


def test_counts_written_as_python_shows_bytes_are_read(tmp_path):
    rle = text_rle(np.pad(np.ones((3, 2)), ((0, 6), (1, 11))))
    shown = rle | {"counts": str(rle["counts"].encode())}
    assert shown["counts"].startswith("b'")
    results = read_results(write(tmp_path, [entry(segmentation=shown)]), TOY_SPACE, str)
    with pytest.warns(FuseWarning, match=r"as Python shows bytes, .* write counts\.decode\(\)"):
        instances = results.load_instances(5, SIZE)
    assert np.argwhere(frame(instances, 0)).tolist() == [[y, x] for y in range(3) for x in (1, 2)]


@pytest.mark.parametrize("counts", ["b'", "b'ab", "b'a' + 1", "b'\\x00'"])
def test_counts_that_only_look_so_are_named(tmp_path, counts):
    entries = [entry(segmentation={"size": [9, 14], "counts": counts})]
    results = read_results(write(tmp_path, entries), TOY_SPACE, str)
    with pytest.raises(CocoFormatError, match="entry 0: segm"), pytest.warns(FuseWarning):
        results.load_instances(5, SIZE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": 1.5}, r"entry 1: score 1\.5 must lie in 0\.\.1"),
        ({"score": None}, "entry 1: score None must lie"),
        ({"category_id": 4}, "entry 1: category_id 4 is not in toy"),
        ({"segmentation": BOX | {"size": [14, 9]}}, "the RLE is 9 wide, 14 high; the image"),
        ({"segmentation": {"size": [9, 14], "counts": [9, 3]}}, "the counts describe 12 pixels"),
        ({"segmentation": {"size": [9, 14], "counts": "aaaaaaaaaaa"}}, "RLE is cut short or"),
        ({"segmentation": [[1, 0, 3, 0]]}, "at least three points"),
        ({"segmentation": []}, "at least three points"),
        ({"segmentation": [[0, 0, 1e9, 0, 5, 5]]}, "a point more than 140 pixels away"),
        ({"segmentation": {"size": [9, 14], "counts": [-1]}}, r"entry 1: segm.*>= 0.*counts\[0\]"),
        ({"segmentation": "none"}, "entry 1: segmentation: Expected"),
        ({"bbox": [3, 3, -2, 5]}, r"entry 1: bbox: Expected `float` >= 0.0 - at `\$\[2\]`"),
    ],
)
def test_wrong_entries_are_named(tmp_path, changes, message):
    results = read_results(write(tmp_path, [entry(), entry(**changes)]), TOY_SPACE, str)
    with pytest.raises(CocoFormatError, match=message):
        results.load_instances(5, SIZE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": []}, "missing required field `annotations`"),
        ([entry(score="high")], r"Expected `float \| null`.* `\$\[0\]\.score`"),
        ([{"image_id": 5}], r"missing required field `category_id` - at `\$\[0\]`"),
        ([entry(), entry(score=float("nan"))], "entry 1, score is NaN, no number of JSON"),
        ([entry(bbox=[0, 1, float("-inf"), 3])], "entry 0, bbox is Infinity"),
        ({"annotations": [entry(segmentation=[[float("nan")] * 6])]}, "segmentation is NaN"),
    ],
)
def test_wrong_files_are_named(tmp_path, content, message):
    with pytest.raises(CocoFormatError, match=message) as raised:
        read_results(write(tmp_path, content), TOY_SPACE, str)
    assert "results.json is not a COCO result file" in str(raised.value)


def test_instances_below_the_threshold_are_left_out_unseen(tmp_path):
    entries = [entry(score=0.3, segmentation=[]), entry(score=0.5), entry(score=0.7)]
    results = read_results(write(tmp_path, entries), TOY_SPACE, str)
    assert results.load_instances(5, SIZE, score_threshold=0.5).scores.tolist() == [0.5, 0.7]


def test_stuff_masks_keep_their_order_and_leave_things_out(tmp_path):
    whole = {"size": [9, 14], "counts": [0, 126]}
    entries = [entry(category_id=21), entry(), entry(category_id=5, segmentation=whole)]
    results = read_results(write(tmp_path, [*entries, entry(category_id=21)]), TOY_SPACE, str)
    category_ids, masks = results.load_masks(5, SIZE, isthing=False)
    assert category_ids == [21, 5, 21]
    assert [coco_mask.area(rle) for rle in masks.rles] == [6, 126, 6]


def test_stuff_json(tmp_path):
    whole = {"size": [9, 14], "counts": [0, 126]}
    entries = [entry(category_id=5, score=None), entry(category_id=21, segmentation=whole)]
    semantic = open_semantic(write(tmp_path, entries), TOY_SPACE, str)
    label_map = semantic.load_semantic(5, "5.jpg", SIZE).label_map
    expected = np.full(SIZE, 21)
    expected[:3, 1:3] = 5
    np.testing.assert_array_equal(label_map, expected)
    assert not semantic.load_semantic(99, "99.jpg", SIZE).label_map.any()


LABELS = np.array([[0, 3, 5], [200, 21, 8]], dtype=np.uint8)


@pytest.mark.parametrize("place", ["a/b.png", "b.png"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_label_folder(tmp_path, place, kind):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    cv2.imwrite(str(tmp_path / place), LABELS.astype(kind))
    semantic = open_semantic(tmp_path, TOY_SPACE, str).load_semantic(5, "a/b.jpg", (2, 3))
    np.testing.assert_array_equal(semantic.label_map, LABELS)


@pytest.mark.parametrize(
    "name", ["../b.jpg", "%2e%2e/b.jpg", "/b.jpg", "C:\\b.jpg", "a/../../b.jpg"]
)
def test_no_label_png_is_read_outside_the_folder(tmp_path, name):
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "b.png"), LABELS)
    with pytest.raises(CocoFormatError, match="has no"):
        open_semantic(tmp_path / "labels", TOY_SPACE, str).load_semantic(5, name, (2, 3))


def test_a_label_png_of_two_images_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "x.png"), LABELS)
    labels = open_semantic(tmp_path, TOY_SPACE, str)
    labels.refuse_shared(["a/x.jpg", "a/x.jpg", "b/y.jpg", "c/y.jpg"])
    with pytest.raises(CocoFormatError, match=r"x\.png would be of both 'a/x\.jpg' and 'b/x\.jpg'"):
        labels.refuse_shared(["a/x.jpg", "b/x.jpg"])
    (tmp_path / "b").mkdir()
    cv2.imwrite(str(tmp_path / "b" / "x.png"), LABELS)
    labels.refuse_shared(["a/x.jpg", "b/x.jpg"])


def test_a_palette_gives_its_indices(tmp_path):
    image = Image.new("P", (3, 2))
    image.putdata(LABELS.ravel().tolist())
    image.putpalette(bytes(range(255, -1, -1)) * 3)
    image.save(tmp_path / "b.png")
    semantic = open_semantic(tmp_path, TOY_SPACE, str).load_semantic(5, "b.jpg", (2, 3))
    np.testing.assert_array_equal(semantic.label_map, LABELS)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (None, "image_id 5 has no b.png"),
        (LABELS.T, "is 2 wide, 3 high; the image is 3 wide, 2 high"),
        (np.full((2, 3), 255, np.uint8), "255 is no category_id of toy"),
        (
            np.zeros((2, 3, 3), np.uint8),
            "is rgb of 8 bits, should be palette indices or grey of 8 or 16",
        ),
    ],
)
def test_wrong_label_pngs_are_named(tmp_path, pixels, message):
    if pixels is not None:
        cv2.imwrite(str(tmp_path / "b.png"), pixels)
    with pytest.raises(CocoFormatError, match=message):
        open_semantic(tmp_path, TOY_SPACE, str).load_semantic(5, "b.jpg", (2, 3))


def test_fewer_bits_than_eight_are_refused_and_not_stretched(tmp_path):
    """Pillow reads the 1 and 3 of four bits of grey as 17 and 51."""
    rows = b"".join(b"\0" + bytes([0x13, 0x30]) for _ in range(2))
    header = struct.pack(">IIBBBBB", 3, 2, 4, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    (tmp_path / "b.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
            for kind, content in chunks
        )
    )
    assert np.unique(np.array(Image.open(tmp_path / "b.png"))).tolist() == [17, 51]
    with pytest.raises(CocoFormatError, match=r"b\.png: is grey of 4 bits, should be palette"):
        open_semantic(tmp_path, TOY_SPACE, str).load_semantic(5, "b.jpg", (2, 3))


def test_broken_label_pngs_are_named(tmp_path):
    (tmp_path / "b.png").write_bytes(b"no PNG")
    with pytest.raises(CocoFormatError, match=r"b\.png: not a PNG"):
        open_semantic(tmp_path, TOY_SPACE, str).load_semantic(5, "b.jpg", (2, 3))


def test_an_rle_that_ends_early_is_refused():
    """A scorer of another package looks for the missing pixels without an end."""
    mask = np.zeros((6, 7), dtype=np.uint8, order="F")
    mask[2:4, 3] = 1
    counts = coco_mask.encode(mask)["counts"].decode()
    assert encode_shape(RleRecord((6, 7), counts), (6, 7))["counts"] == counts.encode()
    for end in range(1, len(counts)):
        with pytest.raises(ValueError, match="the RLE is cut short"):
            encode_shape(RleRecord((6, 7), counts[:end]), (6, 7))


def test_entries_may_name_their_image(tmp_path):
    names = {"val/a.jpg": 5, "other/a.jpg": 5, "b.jpg": 6}
    own = {"image_id": None, "file_name": "val/a.jpg"}
    path = write(tmp_path, [entry(**own), entry(image_id=6), entry(**own | {"file_name": "c.jpg"})])
    results = read_results(path, TOY_SPACE, names.get)
    assert {i: [place for place, _ in found] for i, found in results.entries.items()} == {
        5: [0],
        6: [1],
        "c.jpg": [2],
    }
    path = write(tmp_path, [entry(**own), entry(**own | {"file_name": "other/a.jpg"})])
    with pytest.raises(CocoFormatError, match=r"val/a.jpg and other/a.jpg are both image 5"):
        read_results(path, TOY_SPACE, names.get)
    with pytest.raises(CocoFormatError, match="entry 0: has neither image_id nor file_name"):
        read_results(write(tmp_path, [entry(image_id=None)]), TOY_SPACE, names.get)


def test_masks_outside_of_their_bbox_are_told(tmp_path):
    mask = np.zeros((30, 40), np.uint8)
    mask[4:10, 5:30] = 1
    code = coco_mask.encode(np.asfortranarray(mask))
    rows = np.diff([0, *(np.flatnonzero(np.diff(mask.reshape(-1))) + 1), mask.size]).tolist()
    entry = {"image_id": 1, "category_id": 3, "score": 0.9, "bbox": [5, 4, 25, 6]}
    for counts, told in ((code["counts"].decode(), False), (rows, True)):
        entry["segmentation"] = {"size": [30, 40], "counts": counts}
        path = tmp_path / f"{told}.json"
        path.write_text(json.dumps([entry]))
        results = read_results(path, TOY_SPACE, lambda _: None)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            results.load_instances(1, (30, 40))
        assert [str(one.message) for one in found] == [
            f"{path}: masks lie outside of their own bbox, and are taken as they are; an RLE "
            "counts along columns, from the top, not along rows"
        ] * told
