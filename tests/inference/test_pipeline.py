"""From nets to panoptic maps: label spaces, batches, and answers that are not what they must be."""

from pathlib import Path

import numpy as np
import pytest

from fuse.errors import FuseWarning, LabelSpaceError, ModelOutputError
from fuse.inference.pipeline import Pipeline, choose_label_map
from fuse.inference.prediction import ImagePrediction
from fuse.inference.presets import ModelConfig
from fuse.io.images import read_image
from fuse.labels import LabelMap, load_space, map_instances, map_labels, map_logits
from fuse.types import (
    BoxMasks,
    Category,
    Instances,
    LabelSpace,
    NamedImage,
    SemanticLogits,
    SemanticPrediction,
)

EXAMPLES = Path(__file__).parents[2] / "examples" / "images"


@pytest.fixture(scope="module")
def tiny():
    return Pipeline.load("tiny", device="cpu")


@pytest.fixture(scope="module")
def images():
    names = ("chelsea.jpg", "china.jpg", "rocket.jpg")  # the last two are of one size
    return [NamedImage(read_image(EXAMPLES / name), name) for name in names]


def test_a_preset_s_name_is_for_load():
    with pytest.raises(TypeError, match=r"of a preset's name or file give Pipeline.load\('tiny'\)"):
        Pipeline("tiny")


def test_a_class_choice_that_the_space_cannot_serve_fails_at_once():
    with pytest.raises(LabelSpaceError, match="'coco_super' has none; cityscapes, vistas_v1 have"):
        Pipeline.load("tiny", ["fusion.class_choice=overlap"], device="cpu")


NO_INSTANCES = Instances(
    boxes=np.zeros((0, 4), dtype=np.float32),
    scores=np.zeros(0),
    category_ids=np.zeros(0, dtype=np.int32),
    masks=BoxMasks(np.zeros((0, 28, 28), dtype=np.float32)),
    size=(2, 3),
)


def logits_of(probs):
    """Logits (C, 1, 1) of one cell over an image of 2 x 3 pixels."""
    values = np.log(np.array(probs)).astype(np.float16)[:, None, None]
    return SemanticLogits.half_pixel(values, (2, 3))


@pytest.mark.parametrize(
    ("probs", "targets", "expected"),
    [
        pytest.param([0.2, 0.5, 0.3], [7, 9, 11], 9, id="one to one"),
        pytest.param([0.3, 0.4, 0.3], [7, 9, 7], 7, id="two rows of one target are summed"),
        pytest.param([0.3, 0.4, 0.3], [0, 9, 0], 9, id="rows without a target are not"),
        pytest.param([0.6, 0.2, 0.2], [0, 9, 9], 0, id="void where such a row is the largest"),
        pytest.param([0.4, 0.3, 0.3], [0, 9, 9], 9, id="but not against a sum"),
    ],
)
def test_label_logits(probs, targets, expected):
    target = map_logits(logits_of(probs), np.array(targets, dtype=np.int32))
    semantic = ImagePrediction(target, NO_INSTANCES).label()
    assert semantic.label_map.shape == (2, 3)
    assert (semantic.label_map == expected).all()


CATS = LabelSpace("cats", (Category(1, "cat", True), Category(4, "lion", True)))
BEASTS = LabelSpace("beasts", (Category(2, "beast", True), Category(3, "fur", False)))


def test_map_labels_renames_and_voids():
    label_map = np.array([[0, 1], [4, 9]], dtype=np.int32)
    mapped = map_labels(SemanticPrediction(label_map), LabelMap(CATS, BEASTS, {1: 2, 4: 0}))
    assert mapped.label_map.tolist() == [[0, 2], [0, 0]]
    assert mapped.label_map.dtype == np.int32


def test_map_instances_drops_what_has_no_counterpart():
    instances = Instances(
        boxes=np.array([[0, 0, 1, 1], [1, 1, 2, 2], [2, 2, 3, 3]], dtype=np.float32),
        scores=np.array([0.9, 0.8, 0.7]),
        category_ids=np.array([4, 1, 4], dtype=np.int32),
        masks=BoxMasks(np.arange(3, dtype=np.float32)[:, None, None] / 3),
        size=(4, 4),
    )
    for no_thing in (0, 3):
        mapped = map_instances(instances, LabelMap(CATS, BEASTS, {1: no_thing, 4: 2}))
        assert len(mapped) == 2
    assert mapped.category_ids.tolist() == [2, 2]
    assert mapped.scores.tolist() == [0.9, 0.7]
    assert mapped.boxes[:, 0].tolist() == [0, 2]
    assert mapped.masks.probs.ravel().tolist() == pytest.approx([0, 2 / 3], abs=1e-3)


def test_tiny_finds_the_cat(tiny, images):
    prediction = tiny(images[0].pixels)
    assert prediction.size == images[0].size
    names = {tiny.space.by_id[s.category_id].name for s in prediction.segments_info if s.score}
    assert names == {"animal"}
    ids, areas = np.unique(prediction.panoptic_map, return_counts=True)
    assert dict(zip(ids.tolist(), areas.tolist(), strict=True)).items() >= {
        (s.segment_id, s.area) for s in prediction.segments_info
    }


@pytest.mark.slow
def test_a_batch_answers_as_one_by_one(tiny, images):
    together = tiny.predict(images)
    for image, raw in zip(images, together, strict=True):
        (alone,) = tiny.predict([image])
        assert raw.instances.category_ids.tolist() == alone.instances.category_ids.tolist()
        np.testing.assert_allclose(raw.instances.boxes, alone.instances.boxes, atol=1)
        np.testing.assert_allclose(raw.instances.scores, alone.instances.scores, atol=0.02)
        same = tiny.to_target(raw).label().label_map == tiny.to_target(alone).label().label_map
        assert same.mean() > 0.99


def test_the_same_image_gives_the_same_bytes(tiny, images):
    first, second = tiny(images[1].pixels), tiny(images[1].pixels)
    assert first.panoptic_map.tobytes() == second.panoptic_map.tobytes()
    assert first.segments_info == second.segments_info


class Replay:
    """A model that gives whatever answers it is made with."""

    def __init__(self, model, answers):
        self._answers = answers
        self.label_space = model.label_space
        self.category_ids = model.category_ids

    def predict(self, images, **options):
        return self._answers


@pytest.fixture(scope="module")
def right(tiny, images):
    """What each net answers to the first image."""
    return {
        "semantic_model": tiny.semantic_model.predict(images[:1]),
        "instance_model": tiny.instance_model.predict(images[:1], score_threshold=0.5),
    }


@pytest.mark.parametrize(
    ("branch", "answers", "message"),
    [
        (
            "semantic_model",
            lambda right: [],
            r"semantic model 'smp': predict returned 0 answers to",
        ),
        ("semantic_model", lambda right: [None], "answered with NoneType, not SemanticLogits or"),
        (
            "instance_model",
            lambda right: right * 2,
            r"model 'torchvision': predict returned 2 answers",
        ),
        ("instance_model", lambda right: [{"boxes": []}], "answered with dict, not Instances"),
        (
            "semantic_model",
            lambda right: [SemanticLogits.half_pixel(right[0].logits, (5, 5))],
            "image 5 wide, 5 high to one 451 wide, 300 high",
        ),
    ],
)
def test_a_wrong_answer_names_the_model(tiny, images, right, monkeypatch, branch, answers, message):
    for name, given in (right | {branch: answers(right[branch])}).items():
        monkeypatch.setattr(tiny, name, Replay(getattr(tiny, name), given))
    with pytest.raises(ModelOutputError, match=message):
        tiny.predict(images[:1])


def test_labels_that_go_through_another_space_are_told():
    model = ModelConfig("mine", {})
    with pytest.warns(FuseWarning, match="from voc to coco_super through coco_panoptic;"):
        label_map = choose_label_map(model, load_space("voc"), load_space("coco_super"))
    assert label_map.through == ("coco_panoptic",)
