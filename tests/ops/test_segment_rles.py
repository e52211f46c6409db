"""Run lengths of all segments at once: as pycocotools has them, and as Label Studio's own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from fuse.ops.segment_rles import decode_brush, encode_brushes, encode_segments

MAPS = hnp.arrays(
    np.int32,
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    elements=st.sampled_from([0, 3, 9, 2**24 - 1]),
)


@given(MAPS)
def test_equals_pycocotools(panoptic_map):
    ids = np.array([9, 2**24 - 1, 3, 4], dtype=np.int32)
    for segment_id, code in zip(ids.tolist(), encode_segments(panoptic_map, ids), strict=True):
        mask = np.asfortranarray(panoptic_map == segment_id, dtype=np.uint8)
        assert code == coco_mask.encode(mask)["counts"]


def test_long_runs_equal_pycocotools():
    panoptic_map = np.zeros((700, 900), dtype=np.int32)
    panoptic_map[5:600, 100:800] = 1
    panoptic_map[300, 300] = 0
    [code] = encode_segments(panoptic_map, np.array([1], dtype=np.int32))
    assert code == coco_mask.encode(np.asfortranarray(panoptic_map == 1, dtype=np.uint8))["counts"]


class BitReader:
    """Bits of a list of bytes, highest first, as text: slow and plain."""

    def __init__(self, code):
        self.bits = "".join(f"{byte:08b}" for byte in code)

    def read(self, count):
        taken, self.bits = self.bits[:count], self.bits[count:]
        return int(taken, 2)


def slow_decode(code):
    """As Label Studio's converter describes the code."""
    reader, values = BitReader(code), []
    total, word = reader.read(32), reader.read(5) + 1
    lengths = [reader.read(4) + 1 for _ in range(4)]
    while len(values) < total:
        is_run, count = reader.read(1), reader.read(lengths[reader.read(2)]) + 1
        values += (
            [reader.read(word)] * count if is_run else [reader.read(word) for _ in range(count)]
        )
    assert len(reader.bits) < 8, "more bytes than the values take"
    return np.array(values)


@given(MAPS)
def test_brush_codes_are_read_by_the_published_way(panoptic_map):
    ids = np.array([9, 3], dtype=np.int32)
    for segment_id, code in zip(ids.tolist(), encode_brushes(panoptic_map, ids), strict=True):
        expected = np.where(panoptic_map == segment_id, 255, 0)
        rgba = slow_decode(code.tolist()).reshape(*panoptic_map.shape, 4)
        np.testing.assert_array_equal(rgba, expected[..., None].repeat(4, axis=2))
        np.testing.assert_array_equal(decode_brush(code, panoptic_map.shape), expected)


def test_long_brush_runs():
    panoptic_map = np.zeros((500, 600), dtype=np.int32)
    panoptic_map[100:400] = 1
    [code] = encode_brushes(panoptic_map, np.array([1], dtype=np.int32))
    np.testing.assert_array_equal(decode_brush(code, (500, 600)) > 0, panoptic_map == 1)


# The first bytes of a file that Label Studio wrote: a dataset card on the Hugging Face hub,
# alkzar90/cell_benchmark, label_JSON.json, of an image of 3332 x 2527.
PUBLISHED_HEAD = [2, 1, 233, 240, 57, 27, 255, 255, 255, 0, 255, 255, 224, 31, 255, 252, 3]


def test_the_head_of_a_published_file():
    reader = BitReader(PUBLISHED_HEAD)
    assert reader.read(32) == 3332 * 2527 * 4
    panoptic_map = np.zeros((2527, 3332), dtype=np.int32)
    panoptic_map[-1, -1] = 1
    [code] = encode_brushes(panoptic_map, np.array([1], dtype=np.int32))
    assert code[: len(PUBLISHED_HEAD)].tolist() == PUBLISHED_HEAD
    with pytest.raises(ValueError, match="cut short or damaged"):
        decode_brush(np.array(PUBLISHED_HEAD, dtype=np.uint8), (2527, 3332))


def test_brush_codes_of_another_size_are_refused():
    [code] = encode_brushes(np.ones((4, 5), dtype=np.int32), np.array([1], dtype=np.int32))
    with pytest.raises(ValueError, match="has 80 values; the image, 5 wide, 5 high, has 100"):
        decode_brush(code, (5, 5))
    for length in range(len(code)):
        with pytest.raises(ValueError, match="cut short"):
            decode_brush(code[:length], (4, 5))


def test_values_that_are_no_runs_are_read():
    bits = f"{12:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}" + "0" + "01" + f"{11:04b}"
    bits += "".join(f"{value:08b}" for value in [0, 0, 0, 9, 0, 0, 0, 0, 1, 2, 3, 4])
    bits += "0" * (-len(bits) % 8)
    code = np.array([int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)], dtype=np.uint8)
    assert decode_brush(code, (1, 3)).tolist() == [[9, 0, 4]]
