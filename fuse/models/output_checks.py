"""Calling models, and checking what they are and answer before anything trusts it.

Whatever goes wrong inside a model, or with its answer, is an error that names the model.
"""

from __future__ import annotations

import inspect
import textwrap
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np

from fuse.errors import FuseError, ModelError, ModelOutputError, describe_size
from fuse.models.protocols import InstanceModel, SemanticModel
from fuse.ops.class_logits import sum_to_one
from fuse.ops.rle import count_rle_pixels
from fuse.types import (
    Instances,
    LabelSpace,
    NamedImage,
    RleMasks,
    SemanticLogits,
    SemanticPrediction,
)
from fuse.types.label_space import id_to_file, list_file_ids

P = ParamSpec("P")
Answer = TypeVar("Answer")

LONGEST_REASON = 400  # characters; some errors of torch list every key of a net
# Code of others may raise anything, and sys.exit() in it must not end a run of thousands.
ANY_FAILURE = (Exception, SystemExit)


def predict_semantic(
    name: str, model: SemanticModel, images: Sequence[NamedImage]
) -> Sequence[SemanticLogits | SemanticPrediction]:
    """A semantic model's answer to each image, checked.

    Args:
        name: of the model in the preset.
        model: the model.
        images: any number.

    Raises:
        ModelError: the model failed.
        ModelOutputError: it answered with something else than it must.
    """
    who = f"semantic model {name!r}"
    answers = _call(who, model.predict, images)
    _check_kinds(who, answers, (SemanticLogits, SemanticPrediction), images)
    if model.label_space.has_zero:
        answers = [_rename_zero(answer, model.label_space) for answer in answers]
    for answer in answers:
        if isinstance(answer, SemanticPrediction):
            _check_ids(who, np.unique(answer.label_map), model.label_space)
        elif len(answer.logits) != len(model.category_ids):
            raise ModelOutputError(
                f"{who}: answered with {len(answer.logits)} classes, "
                f"but its category_ids has {len(model.category_ids)}"
            )
        elif getattr(model, "activation", None) is None and sum_to_one(answer.logits):
            raise ModelOutputError(
                f"{who}: its answers lie in 0..1 and sum to 1 over the classes, as probabilities "
                'do; say what the net ends in: activation = "softmax" in the preset, or "none" if '
                "these are logits (a plug-in has an attribute of that name, and answers with the "
                "logarithm of its probabilities)"
            )
    return answers


def _rename_zero(
    answer: SemanticLogits | SemanticPrediction, space: LabelSpace
) -> SemanticLogits | SemanticPrediction:
    """An answer whose pixels of category 0 have its id in memory."""
    if isinstance(answer, SemanticLogits):
        return answer
    return SemanticPrediction(space.read_ids(answer.label_map), answer.logits)


def predict_instances(
    name: str, model: InstanceModel, images: Sequence[NamedImage], score_threshold: float
) -> Sequence[Instances]:
    """An instance model's answer to each image, checked, as by `predict_semantic`.

    Instances below score_threshold need not be found.
    """
    who = f"instance model {name!r}"
    answers = _call(who, model.predict, images, score_threshold=score_threshold)
    _check_kinds(who, answers, (Instances,), images)
    for answer in answers:
        _check_instances(who, answer, model.label_space)
        if not getattr(model, "finds_stuff", False):
            _check_things(who, answer, model.label_space)
    return answers


def check_model(kind: str, name: str, model: Any) -> None:  # noqa: ANN401 - whatever a factory made
    """Raise ModelOutputError unless a model has what `fuse.models.protocols` asks for."""
    who = f"{kind} model {name!r}"
    wanted: dict[str, type] = {"label_space": LabelSpace, "weights_hash": str}
    if kind == "semantic":
        wanted["category_ids"] = np.ndarray
    for attribute, wanted_type in wanted.items():
        if not hasattr(model, attribute):
            raise ModelOutputError(f"{who}: has no {attribute}, which docs/plugin.md asks for")
        value = getattr(model, attribute)
        if not isinstance(value, wanted_type):
            raise ModelOutputError(
                f"{who}: its {attribute} must be {wanted_type.__name__}, got {type(value).__name__}"
            )
    if not callable(getattr(model, "predict", None)):
        raise ModelOutputError(f"{who}: has no predict method")
    if kind == "instance":
        return
    ids = model.category_ids
    if ids.ndim != 1 or ids.dtype != np.int32:
        raise ModelOutputError(
            f"{who}: its category_ids must be int32 with one axis, got {ids.dtype} of shape "
            f"{ids.shape}"
        )
    space = model.label_space
    if unknown := set(space.read_ids(ids).tolist()) - {0, *space.by_id}:
        raise ModelOutputError(
            f"{who}: its category_ids have {min(unknown)}, which is no category_id of "
            f"{space.name}; take them from label_space.by_name, {space.none_id} for none"
        )


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


def _call(who: str, method: Callable[P, Answer], *args: P.args, **kwargs: P.kwargs) -> Answer:
    try:
        return method(*args, **kwargs)
    except FuseError:
        raise
    except ANY_FAILURE as err:
        raise ModelError(f"{who} failed: {describe_failure(err, method)}") from err


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
                f"{who}: answered for an image {describe_size(answer.size)} to one "
                f"{describe_size(image.size)}"
            )


def _check_ids(who: str, category_ids: np.ndarray[Any, Any], space: LabelSpace) -> None:
    """Raise ModelOutputError for a category_id that the model's own space lacks; 0 is void."""
    unknown = set(category_ids.tolist()) - {0, *space.by_id}
    if unknown:
        raise ModelOutputError(
            f"{who}: answered with category_id {list_file_ids(unknown)[0]}, which is not in "
            f"{space.name}"
        )


def _check_instances(who: str, answer: Instances, space: LabelSpace) -> None:
    """Raise ModelOutputError for instances of unknown categories, and broken shapes."""
    _check_ids(who, np.unique(answer.category_ids), space)
    swapped = np.flatnonzero((answer.boxes[:, 2:] < answer.boxes[:, :2]).any(axis=1))
    if len(swapped):
        raise ModelOutputError(
            f"{who}: box {swapped[0]} is {answer.boxes[swapped[0]].tolist()}; boxes must be "
            "(x1, y1, x2, y2) with x1 <= x2 and y1 <= y2"
        )
    rles = answer.masks.rles if isinstance(answer.masks, RleMasks) else ()
    for index, rle in enumerate(rles):
        try:
            count_rle_pixels(rle["counts"], answer.size)
        except ValueError as err:
            raise ModelOutputError(f"{who}: mask {index} is wrong: {err}") from err


def _check_things(who: str, answer: Instances, space: LabelSpace) -> None:
    """Raise ModelOutputError for stuff among the instances."""
    stuff = answer.category_ids[np.isin(answer.category_ids, space.stuff_ids)].tolist()
    if stuff:
        name = space.by_id[stuff[0]].name
        raise ModelOutputError(
            f"{who}: answered with category_id {id_to_file(stuff[0])}, but {name!r} is stuff in "
            f"{space.name}; leave out what is no thing"
        )
