"""A result: names, arrays, masks, pictures, all held to the map they come from."""

import json
import pickle
import re
import timeit

import numpy as np
import pytest
from factories import TOY_SPACE, panoptic_truth
from PIL import Image

import fuse
from fuse import PanopticResult, Segment
from fuse.errors import DataError, LabelSpaceError
from fuse.types import Category, LabelSpace, PanopticPrediction, SegmentInfo

# 1 is a cat, 4 another, 7 sky; the lower right is void.
MAP = np.array([[1, 1, 7, 7], [1, 4, 4, 7], [0, 4, 4, 0]], dtype=np.int32)
SEGMENTS = (
    SegmentInfo(1, 3, 3, (0, 0, 2, 2), score=0.75),
    SegmentInfo(4, 3, 4, (1, 1, 2, 2), score=0.5),
    SegmentInfo(7, 5, 3, (2, 0, 2, 2)),
)
IMAGE = np.full((3, 4, 3), 200, dtype=np.uint8)


@pytest.fixture
def result():
    return PanopticResult(
        panoptic_map=MAP, segments_info=SEGMENTS, space=TOY_SPACE, image=IMAGE, path="a/b.jpg"
    )


@pytest.fixture
def large():
    rng = np.random.default_rng(3)
    truth = panoptic_truth(rng, (240, 320), segments=9, block=60, crowds=False)
    image = rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)
    return PanopticResult.from_prediction(truth, TOY_SPACE, image=image)


def test_arrays_are_in_the_order_of_the_segments(result):
    assert result.size == (3, 4)
    assert result.class_id.tolist() == [3, 3, 5]
    np.testing.assert_array_equal(result.confidence, [0.75, 0.5, np.nan])
    assert result.xyxy.tolist() == [[0, 0, 2, 2], [1, 1, 3, 3], [2, 0, 4, 2]]
    assert result.area.tolist() == [3, 4, 3]
    assert result.names == {3: "cat", 5: "sky", 8: "dog", 21: "grass", 200: "road"}
    arrays = (result.class_id, result.confidence, result.xyxy, result.area)
    assert [array.dtype.name for array in arrays] == ["int64", "float64", "float32", "int64"]


def test_masks_and_maps_are_those_of_the_panoptic_map(result):
    assert result.mask.dtype == bool
    assert result.mask.shape == (3, 3, 4)
    for row, segment_id in enumerate((1, 4, 7)):
        assert np.array_equal(result.mask[row], segment_id == MAP)
        assert np.array_equal(result[row].mask, segment_id == MAP)
    assert result.semantic_map.tolist() == [[3, 3, 5, 5], [3, 3, 3, 5], [0, 3, 3, 0]]
    assert result.instance_map.tolist() == [[1, 1, 0, 0], [1, 4, 4, 0], [0, 4, 4, 0]]
    assert result.semantic_map.dtype == result.instance_map.dtype == np.int32


def test_it_is_a_sequence_of_segments(result):
    segments = list(result)
    assert len(result) == len(segments) == 3
    assert [segment.name for segment in segments] == ["cat", "cat", "sky"]
    assert all(isinstance(segment, Segment) for segment in segments)
    second = result[1]
    assert (second.id, second.category_id, second.isthing, second.score) == (4, 3, True, 0.5)
    assert (second.area, second.bbox, second.xyxy) == (4, (1, 1, 2, 2), (1, 1, 3, 3))
    assert result[-1].name == "sky"
    assert result[-1].score is None
    assert result[np.int64(0)].id == 1


@pytest.mark.parametrize(
    ("key", "ids"),
    [
        ("cat", [1, 4]),
        ("sky", [7]),
        ("dog", []),
        (np.array([False, True, True]), [4, 7]),
        ([True, False, True], [1, 7]),
        (slice(1, None), [4, 7]),
        ([2, 0], [7, 1]),
        (np.array([], dtype=np.int64), []),
    ],
)
def test_a_part_is_a_result_of_its_segments_alone(result, key, ids):
    part = result[key]
    assert isinstance(part, PanopticResult)
    assert [segment.id for segment in part] == ids
    assert np.array_equal(part.panoptic_map, np.where(np.isin(MAP, ids), MAP, 0))
    assert part.image is result.image
    assert part.path == "a/b.jpg"
    part.plot()


def test_segments_above_a_score(result):
    assert [segment.id for segment in result[result.confidence > 0.6]] == [1]


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (3, IndexError, "there is no segment 3, but 3 of them"),
        (-4, IndexError, "there is no segment -4"),
        ("ctas", LabelSpaceError, "class 'ctas' is not in toy; nearest are 'cat'"),
        (np.array([True]), IndexError, "boolean index did not match"),
    ],
)
def test_a_part_that_is_not_there(result, key, error, message):
    with pytest.raises(error, match=message):
        result[key]


def test_what_cannot_be_a_result():
    with pytest.raises(LabelSpaceError, match="segment 1 has category_id 4, which is not in toy"):
        PanopticResult(
            panoptic_map=MAP, segments_info=(SegmentInfo(1, 4, 1, (0, 0, 1, 1)),), space=TOY_SPACE
        )
    with pytest.raises(ValueError, match=r"image must be uint8 \(3, 4, 3\) as the map, got .*\(2,"):
        PanopticResult(panoptic_map=MAP, space=TOY_SPACE, image=np.zeros((2, 4, 3), np.uint8))


def test_scorers_take_it(result):
    stats = fuse.match_segments(PanopticPrediction(MAP, SEGMENTS), result)
    assert fuse.summarize(stats, TOY_SPACE).all.pq == 1


def test_making_one_is_quick(large):
    prediction = PanopticPrediction(large.panoptic_map, large.segments_info)
    make = timeit.Timer(
        lambda: PanopticResult.from_prediction(prediction, TOY_SPACE, image=large.image)
    )
    assert min(make.repeat(5, 100)) / 100 < 0.2e-3


def test_plot_tints_each_segment_and_dims_void(result):
    picture = result.plot(alpha=1, labels=False)
    assert isinstance(picture, Image.Image)
    assert picture.size == (4, 3)
    assert result.plot(alpha=0, labels=False).getpixel((0, 2)) != (200, 200, 200)
    with pytest.raises(ValueError, match=r"alpha is a share of the colour, 0..1, got 2"):
        result.plot(alpha=2)


def test_alpha_labels_and_boxes_each_change_the_picture(large):
    plain = large.plot(labels=False)
    assert plain.size == (320, 240)
    others = [
        large.plot(labels=False, alpha=0.2),
        large.plot(),
        large.plot(labels=False, boxes=True),
        large.plot(labels=False, alpha=0.55),
    ]
    differ = [np.any(np.asarray(plain) != np.asarray(other)) for other in others]
    assert differ == [True, True, True, False]


def test_alpha_one_hides_the_image_and_alpha_zero_the_colours(large):
    blank = PanopticResult.from_prediction(
        PanopticPrediction(large.panoptic_map, large.segments_info), TOY_SPACE, image=None
    )
    opaque, bare = (np.asarray(r.plot(alpha=1, labels=False)) for r in (large, blank))
    inside = large.panoptic_map > 0
    assert np.array_equal(opaque[inside], bare[inside])
    untinted = np.asarray(large.plot(alpha=0, labels=False))
    same = (untinted == large.image).all(axis=-1)[inside]
    assert same.mean() > 0.9  # all but the borders


def test_save_writes_what_plot_draws(large, tmp_path):
    path = large.save(tmp_path / "a.png")
    assert path == tmp_path / "a.png"
    assert np.array_equal(np.asarray(Image.open(path)), np.asarray(large.plot()))
    assert large.save(str(tmp_path / "a.jpg")).stat().st_size > 1000


def test_save_into_a_missing_folder_says_what_makes_it(result, tmp_path):
    with pytest.raises(DataError, match=r"there is no folder .*mkdir\(parents=True\)"):
        result.save(tmp_path / "none" / "a.png")
    with pytest.raises(ValueError, match=r"a picture ends in \.jpg, \.jpeg, \.png"):
        result.save(tmp_path / "a.gif")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DataError, match=r"folder\.png: cannot be written"):
        result.save(tmp_path / "folder.png")


def test_show_uses_the_viewer_outside_a_notebook(result, monkeypatch):
    shown = []
    monkeypatch.setattr(Image.Image, "show", lambda self: shown.append(self.size))
    result.show()
    assert shown == [(4, 3)]


def test_summary_is_plain_and_json(result):
    first, _, last = result.summary()
    assert first == {
        "id": 1,
        "name": "cat",
        "class": 3,
        "isthing": True,
        "confidence": 0.75,
        "box": {"x1": 0, "y1": 0, "x2": 2, "y2": 2},
        "area": 3,
    }
    assert last["confidence"] is None
    assert json.loads(result.to_json()) == result.summary()


def test_repr_is_one_short_line(result, large):
    assert repr(result) == "PanopticResult(b.jpg, 3x4, 3 segments: 2 cat, sky)"
    assert repr(result["dog"]) == "PanopticResult(b.jpg, 3x4, 0 segments)"
    assert repr(large).count("\n") == 0


def test_html_has_a_picture_and_a_row_per_segment(result):
    html = result._repr_html_()
    assert html.count("<img ") == 1
    assert re.search(r"src='data:image/jpeg;base64,[A-Za-z0-9+/=]+'", html)
    assert html.count("<tr>") == 1 + 3
    for cell in ("<td>cat</td>", "<td>0.75</td>", "<td>33.3%</td>", "<td></td>"):
        assert cell in html
    assert "<script" not in html
    assert "http" not in html


def test_html_shows_names_as_text():
    space = LabelSpace("x", (Category(1, "<b>&'\"", True),))
    result = PanopticResult(
        panoptic_map=np.ones((2, 2), np.int32),
        segments_info=(SegmentInfo(1, 1, 4, (0, 0, 2, 2)),),
        space=space,
        path="<i>.jpg",
    )
    html = result._repr_html_()
    assert "<b>" not in html
    assert "<i>" not in html
    assert "&lt;b&gt;&amp;" in html


def test_html_of_many_segments_is_cut():
    ids = np.arange(1, 41, dtype=np.int32)
    segments = tuple(SegmentInfo(int(i), 3, 1, (0, 0, 1, 1)) for i in ids)
    result = PanopticResult(panoptic_map=ids[None], segments_info=segments, space=TOY_SPACE)
    assert "and 10 more" in result._repr_html_()


def test_it_survives_a_pickle(result):
    copy = pickle.loads(pickle.dumps(result))  # noqa: S301 - our own
    assert np.array_equal(copy.panoptic_map, MAP)
    assert copy.segments_info == SEGMENTS
    assert copy.space == TOY_SPACE
