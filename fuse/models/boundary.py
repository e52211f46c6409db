"""Asking a model, and checking what it answers before anything trusts it.

Whatever goes wrong inside a model, or with its answer, is an error that names the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from fuse.errors import FuseError, ModelError, ModelOutputError
from fuse.models.protocols import InstanceModel, SemanticModel
from fuse.types import Instances, LabelSpace, Photo, SemanticLogits, SemanticPrediction

Answer = TypeVar("Answer")


def ask_semantic(
    name: str, model: SemanticModel, photos: Sequence[Photo]
) -> Sequence[SemanticLogits | SemanticPrediction]:
    """What a semantic model says of photos.

    Args:
        name: of the model in the preset.
        model: the model.
        photos: any number.

    Raises:
        ModelError: the model failed.
        ModelOutputError: it answered with something else than it must.
    """
    who = f"semantic model {name!r}"
    answers = _ask(who, lambda: model.predict(photos))
    _check_kinds(who, answers, (SemanticLogits, SemanticPrediction), photos)
    for answer in answers:
        if isinstance(answer, SemanticPrediction):
            _check_ids(who, np.unique(answer.label_map), model.label_space)
        elif len(answer.logits) != len(model.class_ids):
            raise ModelOutputError(
                f"{who}: answered with {len(answer.logits)} classes, "
                f"but its class_ids has {len(model.class_ids)}"
            )
    return answers


def ask_instances(
    name: str, model: InstanceModel, photos: Sequence[Photo], score_floor: float
) -> Sequence[Instances]:
    """What an instance model says of photos.

    Args:
        name: of the model in the preset.
        model: the model.
        photos: any number.
        score_floor: instances below it need not be found.

    Raises:
        ModelError: the model failed.
        ModelOutputError: it answered with something else than it must.
    """
    who = f"instance model {name!r}"
    answers = _ask(who, lambda: model.predict(photos, score_floor=score_floor))
    _check_kinds(who, answers, (Instances,), photos)
    for answer in answers:
        _check_ids(who, np.unique(answer.category_ids), model.label_space)
    return answers


def _ask(who: str, predict: Callable[[], Answer]) -> Answer:
    try:
        return predict()
    except FuseError:
        raise
    except Exception as err:  # a model may raise anything
        raise ModelError(f"{who} failed: {type(err).__name__}: {err}") from err


def _check_kinds(
    who: str,
    answers: object,
    kinds: tuple[type[Any], ...],
    photos: Sequence[Photo],
) -> None:
    """Raise ModelOutputError unless there is one answer of a right kind and size per photo."""
    if not isinstance(answers, Sequence) or len(answers) != len(photos):
        got = f"{len(answers)} answers" if isinstance(answers, Sequence) else type(answers).__name__
        raise ModelOutputError(f"{who}: {got} to {len(photos)} photos")
    for answer, photo in zip(answers, photos, strict=True):
        if not isinstance(answer, kinds):
            names = " or ".join(kind.__name__ for kind in kinds)
            raise ModelOutputError(f"{who}: answered with {type(answer).__name__}, not {names}")
        if tuple(answer.size) != photo.size:
            raise ModelOutputError(
                f"{who}: answered for size {answer.size} to a photo of {photo.size}"
            )


def _check_ids(who: str, category_ids: np.ndarray[Any, Any], space: LabelSpace) -> None:
    """Raise ModelOutputError for a category_id that the model's own space lacks; 0 is void."""
    unknown = set(category_ids.tolist()) - {0, *space.by_id}
    if unknown:
        raise ModelOutputError(
            f"{who}: answered with category_id {min(unknown)}, which is not in {space.name}"
        )
