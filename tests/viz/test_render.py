"""Pictures: colours where the segments are, names that do not cover each other."""

import itertools
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from factories import (
    TOY_SPACE,
    blocky_map,
    box_instances,
    panoptic_truth,
    rle_instances,
    rle_masks,
    semantic_prediction,
)
from PIL import Image, ImageDraw

from fuse.labels import load_space
from fuse.types import Category, Instances, LabelSpace, PanopticPrediction, SegmentInfo
from fuse.viz.drawing import BORDER, DIMMED, MARGIN, TINT
from fuse.viz.render import (
    PANEL_SIDE,
    render_instances,
    render_overview,
    render_panoptic,
    render_semantic,
    save_picture,
)

SPACE = LabelSpace(
    "pictures",
    (
        Category(1, "cat", True, color=(220, 20, 60)),
        Category(2, "sky", False, color=(70, 130, 180)),
    ),
)


@pytest.fixture
def image() -> np.ndarray:
    """uint8 (90, 120, 3) of smooth values."""
    y, x = np.mgrid[:90, :120]
    return np.stack([2 * x, 2 * y, x + y], axis=-1).astype(np.uint8)


def tinted(image: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return (1 - TINT) * image + TINT * np.array(color)


def assert_close(picture: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(picture - expected).max() <= 2


def segment(segment_id: int, category_id: int, score: float | None = None) -> SegmentInfo:
    return SegmentInfo(segment_id, category_id, 1, (0, 0, 1, 1), score=score)


# Corners of the image stay clear of borders and of names, which lie in the segments' middle.
CORNER = (slice(0, 8), slice(0, 8))
OTHER_CORNER = (slice(-8, None), slice(-8, None))


def test_semantic_map_tints_classes_and_dims_void(image):
    label_map = np.zeros((90, 120), dtype=np.int32)
    label_map[:45] = 2
    picture = render_semantic(image, label_map, SPACE)
    assert picture.dtype == np.uint8
    assert_close(picture[CORNER], tinted(image, (70, 130, 180))[CORNER])
    assert_close(picture[OTHER_CORNER], (DIMMED * image)[OTHER_CORNER])
    assert (picture[44] == BORDER).all()


def test_void_alone_is_a_dimmed_image(image):
    picture = render_semantic(image, np.zeros((90, 120), dtype=np.int32), SPACE)
    assert_close(picture, DIMMED * image)


def test_things_of_one_class_differ_and_stuff_keeps_its_color(image):
    panoptic_map = np.ones((90, 120), dtype=np.int32)
    panoptic_map[45:] = 2
    black = np.zeros_like(image)
    cats = render_panoptic(
        black, PanopticPrediction(panoptic_map, (segment(1, 1), segment(2, 1))), SPACE
    )
    skies = render_panoptic(
        black, PanopticPrediction(panoptic_map, (segment(1, 2), segment(2, 2))), SPACE
    )
    assert np.abs(cats[0, 0].astype(int) - cats[-1, -1]).max() > 20
    assert (skies[0, 0] == skies[-1, -1]).all()


def test_segments_of_the_map_without_an_entry_are_void(image):
    panoptic_map = np.full((90, 120), 9, dtype=np.int32)
    panoptic_map[:45] = 3
    prediction = PanopticPrediction(panoptic_map, (segment(3, 2),))
    picture = render_panoptic(image, prediction, SPACE)
    assert_close(picture[OTHER_CORNER], (DIMMED * image)[OTHER_CORNER])


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_best_instance_lies_on_top_in_whatever_order_they_come(image, order):
    masks = np.zeros((2, 90, 120), dtype=bool)
    masks[0, 20:70, 20:100] = True
    masks[1] = True
    scores = np.array([0.9, 0.6])
    instances = Instances(
        boxes=np.zeros((2, 4), dtype=np.float32),
        scores=scores[order],
        category_ids=np.array([1, 1], dtype=np.int32),
        masks=rle_masks(masks[order]),
        size=(90, 120),
    )
    picture = render_instances(np.zeros_like(image), instances, SPACE, score_threshold=0.5)
    # The better one has the first tone of its class: the plain colour.
    assert_close(picture[60:66, 24:30], np.full((6, 6, 3), TINT * np.array((220, 20, 60))))
    assert np.abs(picture[60, 24].astype(int) - picture[80, 110]).max() > 20


@pytest.mark.parametrize(("score_threshold", "is_shown"), [(0.6, True), (0.6000001, False)])
def test_instances_below_the_threshold_are_not_drawn(image, score_threshold, is_shown):
    instances = Instances(
        boxes=np.zeros((1, 4), dtype=np.float32),
        scores=np.array([0.6]),
        category_ids=np.array([1], dtype=np.int32),
        masks=rle_masks(np.ones((1, 90, 120), dtype=bool)),
        size=(90, 120),
    )
    picture = render_instances(image, instances, SPACE, score_threshold=score_threshold)
    dimmed = render_semantic(image, np.zeros((90, 120), dtype=np.int32), SPACE)
    assert np.array_equal(picture, dimmed) is not is_shown


@pytest.fixture
def plates(monkeypatch) -> SimpleNamespace:
    """Boxes and texts of the names that are drawn while a test runs, in order."""
    boxes, texts = [], []
    draw_plate, draw_text = ImageDraw.ImageDraw.rounded_rectangle, ImageDraw.ImageDraw.text

    def record_plate(self, box, *args, **options):
        boxes.append(box)
        draw_plate(self, box, *args, **options)

    def record_text(self, place, text, *args, **options):
        texts.append(text)
        draw_text(self, place, text, *args, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "rounded_rectangle", record_plate)
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record_text)
    return SimpleNamespace(boxes=boxes, texts=texts)


@pytest.mark.parametrize("seed", range(8))
def test_names_never_cover_each_other_nor_leave_the_picture(plates, seed):
    rng = np.random.default_rng(seed)
    truth = panoptic_truth(rng, (300, 400), segments=40, block=40)
    render_panoptic(np.zeros((300, 400, 3), np.uint8), truth, TOY_SPACE)
    instances = box_instances(rng, (300, 400), 20)
    count = len(plates.boxes)
    render_instances(np.zeros((300, 400, 3), np.uint8), instances, TOY_SPACE, score_threshold=0.5)
    assert count > 3
    assert len(plates.boxes) > count
    for picture in (plates.boxes[:count], plates.boxes[count:]):
        for x1, y1, x2, y2 in picture:
            assert 0 <= x1 < x2 <= 400
            assert 0 <= y1 < y2 <= 300
        for a, b in itertools.combinations(picture, 2):
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_names_say_class_and_score_on_their_segment(plates):
    panoptic_map = np.ones((200, 300), dtype=np.int32)
    panoptic_map[:, 100:] = 2
    prediction = PanopticPrediction(panoptic_map, (segment(1, 1, 0.876), segment(2, 2)))
    render_panoptic(np.zeros((200, 300, 3), np.uint8), prediction, SPACE)
    places = dict(zip(plates.texts, plates.boxes, strict=True))
    assert set(places) == {"cat 0.88", "sky"}
    x1, _, x2, _ = places["sky"]
    assert 100 <= x1 < x2 <= 300
    assert places["cat 0.88"][0] < 100


def test_names_of_merged_coco_classes_are_shortened(plates):
    space = load_space("coco_panoptic")
    label_map = np.full((100, 200), 187, dtype=np.int32)  # sky-other-merged
    label_map[:, 100:] = 184  # tree-merged
    render_semantic(np.zeros((100, 200, 3), np.uint8), label_map, space)
    assert sorted(plates.texts) == ["sky", "tree"]


def test_small_thing_is_named_above_itself(plates):
    panoptic_map = np.zeros((200, 300), dtype=np.int32)
    panoptic_map[100:116, 140:160] = 1
    prediction = PanopticPrediction(panoptic_map, (segment(1, 1),))
    render_panoptic(np.zeros((200, 300, 3), np.uint8), prediction, SPACE)
    [(x1, _, x2, y2)] = plates.boxes
    assert y2 <= 100
    assert x1 < 150 < x2


def everything(rng: np.random.Generator, size: tuple[int, int]):
    """Arguments of render_overview, and a ground truth."""
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    instances = box_instances(rng, size, 5)
    fused, truth = panoptic_truth(rng, size), panoptic_truth(rng, size)
    return (image, semantic_prediction(rng, size), instances, fused, TOY_SPACE), truth


@pytest.mark.parametrize("with_truth", [False, True])
def test_overview_has_a_panel_per_stage(with_truth):
    arguments, truth = everything(np.random.default_rng(1), (150, 240))
    picture = render_overview(*arguments, score_threshold=0.5, truth=truth if with_truth else None)
    image = arguments[0]
    top = picture.shape[0] - 150 - MARGIN
    panels = [
        picture[top : top + 150, x : x + 240]
        for x in range(MARGIN, picture.shape[1] - 1, 240 + MARGIN)
    ]
    assert len(panels) == 4 + with_truth
    assert np.array_equal(panels[0], image)
    assert np.array_equal(panels[1], render_semantic(image, arguments[1].label_map, TOY_SPACE))
    assert np.array_equal(
        panels[2], render_instances(image, arguments[2], TOY_SPACE, score_threshold=0.5)
    )
    assert np.array_equal(panels[3], render_panoptic(image, arguments[3], TOY_SPACE))
    if with_truth:
        assert np.array_equal(panels[4], render_panoptic(image, truth, TOY_SPACE))


@pytest.mark.parametrize(
    ("size", "panel_size"),
    [
        pytest.param((2000, 1000), (PANEL_SIDE, PANEL_SIDE // 2), id="large"),
        pytest.param((1, 3000), (1, PANEL_SIDE), id="one row"),
        pytest.param((1, 1), (1, 1), id="one pixel"),
    ],
)
def test_overview_of_any_size(size, panel_size):
    arguments, truth = everything(np.random.default_rng(2), size)
    height, width, _ = render_overview(*arguments, score_threshold=0.5, truth=truth).shape
    assert height - panel_size[0] < 80
    assert width >= 5 * panel_size[1]
    assert width <= max(5 * panel_size[1] + 6 * MARGIN, 1000)


def test_image_with_nothing_on_it(image):
    void = np.zeros((90, 120), dtype=np.int32)
    instances = rle_instances(np.random.default_rng(0), (90, 120), 0)
    picture = render_instances(image, instances, TOY_SPACE, score_threshold=0.5)
    assert np.array_equal(picture, render_panoptic(image, PanopticPrediction(void), TOY_SPACE))
    assert_close(picture, DIMMED * image)


def test_arguments_stay_as_they_were():
    arguments, truth = everything(np.random.default_rng(3), (60, 80))
    image, semantic, _, fused, _ = arguments
    before = [array.copy() for array in (image, semantic.label_map, fused.panoptic_map)]
    for array in (image, semantic.label_map, fused.panoptic_map, truth.panoptic_map):
        array.flags.writeable = False
    render_overview(*arguments, score_threshold=0.5, truth=truth)
    for array, old in zip((image, semantic.label_map, fused.panoptic_map), before, strict=True):
        assert np.array_equal(array, old)


def test_same_picture_twice():
    arguments, truth = everything(np.random.default_rng(4), (60, 80))
    first, second = (
        render_overview(*arguments, score_threshold=0.5, truth=truth) for _ in range(2)
    )
    assert np.array_equal(first, second)


def test_wrong_sizes_and_unknown_categories_are_refused(image):
    with pytest.raises(ValueError, match="is 120 wide, 90 high; the map is 9 wide, 9 high"):
        render_semantic(image, blocky_map(np.random.default_rng(0), (9, 9), [1]), SPACE)
    with pytest.raises(ValueError, match="category_id 77 is not in pictures"):
        render_semantic(image, np.full((90, 120), 77, dtype=np.int32), SPACE)


@pytest.mark.parametrize(("ending", "tolerance"), [("png", 0), ("jpg", 12), ("JPEG", 12)])
def test_saved_picture_reads_back(tmp_path, image, ending, tolerance):
    path = tmp_path / f"a.{ending}"
    save_picture(path, image)
    read_back = np.asarray(Image.open(path)).astype(int)
    assert np.abs(read_back - image).mean() <= tolerance / 4
    assert np.abs(read_back - image).max() <= tolerance
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_picture_with_another_ending_is_refused(tmp_path, image):
    with pytest.raises(ValueError, match=r"a\.tiff: a picture ends in \.jpg, \.jpeg, \.png"):
        save_picture(tmp_path / "a.tiff", image)
    assert not list(tmp_path.iterdir())


def test_no_torch_is_needed_for_pictures():
    code = "import sys, fuse.viz.render; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
