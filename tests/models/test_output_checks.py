"""What a model may answer, and that anything else is an error with its name."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from factories import TOY_SPACE, box_instances, semantic_prediction

from fuse.errors import DataError, ModelError, ModelOutputError
from fuse.models.output_checks import predict_instances, predict_semantic
from fuse.types import (
    BoxMasks,
    Instances,
    NamedImage,
    RleMasks,
    SemanticLogits,
    SemanticPrediction,
)

SIZE = (12, 16)
IMAGES = [NamedImage(np.zeros((*SIZE, 3), dtype=np.uint8))]


def logits(classes=3, size=SIZE):
    return SemanticLogits.half_pixel(np.zeros((classes, 2, 2), dtype=np.float16), size)


def semantic_model(answer):
    ids = np.array([0, 5, 21], dtype=np.int32)

    def predict(images):
        return answer(images) if callable(answer) else answer

    return SimpleNamespace(label_space=TOY_SPACE, category_ids=ids, predict=predict)


def instance_model(answer):
    def predict(images, *, score_threshold):
        return answer(score_threshold) if callable(answer) else answer

    return SimpleNamespace(label_space=TOY_SPACE, predict=predict)


def instances(category_id=3, size=SIZE, counts=b"0", box=(0, 0, 0, 0)):
    return Instances(
        boxes=np.array([box], dtype=np.float32),
        scores=np.ones(1),
        category_ids=np.array([category_id], dtype=np.int32),
        masks=RleMasks(({"size": list(size), "counts": counts},)),
        size=size,
    )


def test_right_answers_pass():
    rng = np.random.default_rng(0)
    for answer in ([logits()], [semantic_prediction(rng, SIZE)]):
        assert predict_semantic("net", semantic_model(answer), IMAGES) is answer
    answer = [
        replace(box_instances(rng, SIZE, 4), masks=BoxMasks(np.full((4, 7, 7), 1.00001, "f4")))
    ]
    assert predict_instances("net", instance_model(answer), IMAGES, 0.5) is answer
    floors = []
    predict_instances(
        "net", instance_model(lambda floor: floors.append(floor) or answer), IMAGES, 0.25
    )
    assert floors == [0.25]


def test_probabilities_of_a_plug_in_are_refused_until_it_says_what_they_are():
    rng = np.random.default_rng(0)
    raw = rng.normal(0, 3, (3, 5, 6))
    probs = (np.exp(raw) / np.exp(raw).sum(0)).astype(np.float16)
    for values in (
        probs,
        np.eye(3, dtype=np.float16)[rng.integers(0, 3, (5, 6))].transpose(2, 0, 1),
    ):
        answer = [SemanticLogits.half_pixel(np.ascontiguousarray(values), SIZE)]
        model = semantic_model(answer)
        with pytest.raises(ModelOutputError, match=r"sum to 1 over the classes.*activation"):
            predict_semantic("net", model, IMAGES)
        model.activation = "none"
        assert predict_semantic("net", model, IMAGES) is answer
    others = [raw, np.abs(raw), raw / 100 + 0.3, np.full((3, 5, 6), 0.5)]
    for values in others:
        answer = [SemanticLogits.half_pixel(values.astype(np.float16), SIZE)]
        assert predict_semantic("net", semantic_model(answer), IMAGES) is answer


def fail(images):
    raise MemoryError("9 GB")


def leave(images):
    sys.exit(3)


def babble(images):
    raise ValueError("Missing keys:\n\t" + "a\n\t" * 1000)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ([], ModelOutputError, "0 answers to 1 images; it must return a list with one answer per"),
        (None, ModelOutputError, "predict returned NoneType to 1 images"),
        (iter([]), ModelOutputError, "list_iterator to 1 images"),
        ([np.zeros(SIZE)], ModelOutputError, "answered with ndarray, not SemanticLogits or"),
        (
            [logits(size=(5, 5))],
            ModelOutputError,
            "image 5 wide, 5 high to one 16 wide, 12",
        ),
        ([logits(4)], ModelOutputError, "answered with 4 classes, but its category_ids has 3"),
        (
            [SemanticPrediction(np.full(SIZE, 7, dtype=np.int32))],
            ModelOutputError,
            "answered with category_id 7, which is not in toy",
        ),
        (fail, ModelError, r"failed: MemoryError: 9 GB \(test_output_checks\.py, line \d+\)$"),
        (leave, ModelError, r"failed: SystemExit: 3 \(test_output"),
        (
            babble,
            ModelError,
            r"failed: ValueError: Missing keys: a a( a)+ \.\.\. \(test_output",
        ),
        (
            lambda images: [SemanticLogits.half_pixel(np.zeros((2, 2), dtype=np.float16), SIZE)],
            ModelError,
            r"failed: ValueError: logits must have 3 axes, got shape \(2, 2\) \(test_output",
        ),
        (
            lambda images: [
                SemanticLogits.half_pixel(np.full((3, 2, 2), np.nan, dtype=np.float16), SIZE)
            ],
            ModelError,
            "failed: ValueError: logits must be finite",
        ),
    ],
)
def test_a_wrong_semantic_answer_names_the_model(answer, error, message):
    with pytest.raises(error, match=f"semantic model 'net'.*{message}"):
        predict_semantic("net", semantic_model(answer), IMAGES)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ([instances()] * 2, ModelOutputError, "2 answers to 1 images"),
        ([{"boxes": []}], ModelOutputError, "answered with dict, not Instances"),
        ([instances(size=(5, 5))], ModelOutputError, "for an image 5 wide, 5 high"),
        ([instances(category_id=4)], ModelOutputError, "category_id 4, which is not in toy"),
        ([instances(category_id=5)], ModelOutputError, "5, but .sky. is stuff in toy; leave out"),
        (
            [instances(box=(5, 5, 3, 9))],
            ModelOutputError,
            r"box 0 is \[5.0, 5.0, 3.0, 9.0\]; boxes",
        ),
        ([instances(counts=b"xx")], ModelOutputError, "mask 0 is wrong: the RLE is cut short or"),
        (
            lambda floor: [replace(instances(), masks=np.ones((1, *SIZE), dtype=bool))],
            ModelError,
            "failed: TypeError: masks must be BoxMasks or RleMasks, got ndarray",
        ),
        (
            lambda floor: [replace(instances(), masks=BoxMasks(np.full((1, 2, 2), 7, np.float32)))],
            ModelError,
            r"failed: ValueError: probs must lie in 0\.\.1",
        ),
        (lambda floor: [instances(category_id=-1)], ModelError, "failed: ValueError: category_ids"),
        (lambda floor: [instances(category_id=0)], ModelOutputError, "with category_id 0, which"),
    ],
)
def test_a_wrong_instance_answer_names_the_model(answer, error, message):
    with pytest.raises(error, match=f"instance model 'net'.*{message}"):
        predict_instances("net", instance_model(answer), IMAGES, 0.5)


def test_an_error_that_a_user_can_mend_keeps_its_own_words():
    def refuse(images):
        raise DataError("truth.json: knows no image 'a.jpg'")

    with pytest.raises(DataError, match=r"^truth\.json: knows no image"):
        predict_semantic("oracle", semantic_model(refuse), IMAGES)
