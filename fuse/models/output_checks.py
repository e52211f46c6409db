"""Asking a model, and checking what it answers before anything trusts it.

Whatever goes wrong inside a model, or with its answer, is an error that names the model.
"""

from __future__ import annotations

import inspect
import textwrap
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from fuse.errors import FuseError, ModelError, ModelOutputError
from fuse.models.protocols import InstanceModel, SemanticModel
from fuse.ops.rle import count_rle_pixels
from fuse.types import (
    Float32Array,
    Instances,
    Int32Array,
    LabelSpace,
    NamedImage,
    RleMasks,
    SemanticLogits,
    SemanticPrediction,
)

Answer = TypeVar("Answer")

LONGEST_REASON = 400  # characters; some errors of torch list every key of a net
# Code of others may raise anything, and sys.exit() in it must not end a run of thousands.
ANY_FAILURE = (Exception, SystemExit)


def predict_semantic(
    name: str, model: SemanticModel, images: Sequence[NamedImage]
) -> Sequence[SemanticLogits | SemanticPrediction]:
    """What a semantic model says of images.

    Args:
        name: of the model in the preset.
        model: the model.
        images: any number.

    Raises:
        ModelError: the model failed.
        ModelOutputError: it answered with something else than it must.
    """
    who = f"semantic model {name!r}"
    answers = _ask(who, model.predict, lambda: model.predict(images))
    _check_kinds(who, answers, (SemanticLogits, SemanticPrediction), images)
    for answer in answers:
        if isinstance(answer, SemanticPrediction):
            _check_ids(who, np.unique(answer.label_map), model.label_space)
        elif len(answer.logits) != len(model.category_ids):
            raise ModelOutputError(
                f"{who}: answered with {len(answer.logits)} classes, "
                f"but its category_ids has {len(model.category_ids)}"
            )
    return answers


def predict_instances(
    name: str, model: InstanceModel, images: Sequence[NamedImage], score_threshold: float
) -> Sequence[Instances]:
    """What an instance model says of images.

    Args:
        name: of the model in the preset.
        model: the model.
        images: any number.
        score_threshold: instances below it need not be found.

    Raises:
        ModelError: the model failed.
        ModelOutputError: it answered with something else than it must.
    """
    who = f"instance model {name!r}"
    answers = _ask(
        who, model.predict, lambda: model.predict(images, score_threshold=score_threshold)
    )
    _check_kinds(who, answers, (Instances,), images)
    for answer in answers:
        _check_ids(who, np.unique(answer.category_ids), model.label_space)
        _check_things(who, answer.category_ids, model.label_space)
        _check_corners(who, answer.boxes)
        if isinstance(answer.masks, RleMasks):
            _check_codes(who, answer.masks, answer.size)
    return answers


def describe_failure(err: BaseException, code: object) -> str:
    """What code of others raised, on one line, and at which of its own lines.

    Args:
        err: as caught.
        code: a class or function of the file whose lines are meant, or that file.

    >>> describe_failure(ValueError("no weights:\\n\\t'fc.bias'"), predict_semantic)
    "ValueError: no weights: 'fc.bias'"
    """
    reason = textwrap.shorten(str(err), LONGEST_REASON, placeholder=" ...")
    message = f"{type(err).__name__}: {reason}" if reason else type(err).__name__
    file = code if isinstance(code, str) else getattr(inspect.getmodule(code), "__file__", None)
    lines = [
        line
        for frame, line in traceback.walk_tb(err.__traceback__)
        if file and frame.f_code.co_filename == file
    ]
    return f"{message} ({Path(file).name}, line {lines[-1]})" if file and lines else message


def _ask(who: str, code: object, call: Callable[[], Answer]) -> Answer:
    try:
        return call()
    except FuseError:
        raise
    except ANY_FAILURE as err:
        raise ModelError(f"{who} failed: {describe_failure(err, code)}") from err


def _check_kinds(
    who: str,
    answers: object,
    kinds: tuple[type[Any], ...],
    images: Sequence[NamedImage],
) -> None:
    """Raise ModelOutputError unless there is one answer of a right kind and size per image."""
    if not isinstance(answers, Sequence) or len(answers) != len(images):
        got = f"{len(answers)} answers" if isinstance(answers, Sequence) else type(answers).__name__
        raise ModelOutputError(
            f"{who}: predict returned {got} to {len(images)} images; it must return a list with "
            "one answer per image"
        )
    for answer, image in zip(answers, images, strict=True):
        if not isinstance(answer, kinds):
            names = " or ".join(kind.__name__ for kind in kinds)
            raise ModelOutputError(f"{who}: answered with {type(answer).__name__}, not {names}")
        if tuple(answer.size) != image.size:
            raise ModelOutputError(
                f"{who}: answered for size {answer.size} to an image of {image.size}"
            )


def _check_ids(who: str, category_ids: np.ndarray[Any, Any], space: LabelSpace) -> None:
    """Raise ModelOutputError for a category_id that the model's own space lacks; 0 is void."""
    unknown = set(category_ids.tolist()) - {0, *space.by_id}
    if unknown:
        raise ModelOutputError(
            f"{who}: answered with category_id {min(unknown)}, which is not in {space.name}"
        )


def _check_things(who: str, category_ids: Int32Array, space: LabelSpace) -> None:
    """Raise ModelOutputError for an instance of stuff."""
    stuff = category_ids[np.isin(category_ids, space.stuff_ids)].tolist()
    if stuff:
        name = space.by_id[stuff[0]].name
        raise ModelOutputError(
            f"{who}: answered with category_id {stuff[0]}, but {name!r} is stuff in {space.name}; "
            "leave out what is no thing"
        )


def _check_corners(who: str, boxes: Float32Array) -> None:
    """Raise ModelOutputError for a box whose second corner lies before its first."""
    turned = np.flatnonzero((boxes[:, 2:] < boxes[:, :2]).any(axis=1))
    if len(turned):
        raise ModelOutputError(
            f"{who}: box {turned[0]} is {boxes[turned[0]].tolist()}; boxes must be "
            "(x1, y1, x2, y2) with x1 <= x2 and y1 <= y2"
        )


def _check_codes(who: str, masks: RleMasks, size: tuple[int, int]) -> None:
    """Raise ModelOutputError for a run-length code that describes no mask of the image."""
    for index, rle in enumerate(masks.rles):
        try:
            count_rle_pixels(rle["counts"], size)
        except ValueError as err:
            raise ModelOutputError(f"{who}: mask {index} is wrong: {err}") from err
