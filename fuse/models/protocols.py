"""What a net must offer to be half of a pipeline.

A model may also have ``thread_safe = True``: several threads may then ask it at once, which a
run on a CPU does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fuse.types import (
    Instances,
    Int32Array,
    LabelSpace,
    NamedImage,
    SemanticLogits,
    SemanticPrediction,
)


class SemanticModel(Protocol):
    """A semantic segmentation net with its preprocessing and weights.

    Attributes:
        label_space: the categories it speaks.
        category_ids: int32 (C,), the category_id of each row of its logits; 0 where a row
            means "none of these" and ends as void.
        weights_hash: SHA-256 of the weights as hex, for the record of a run.
    """

    label_space: LabelSpace
    category_ids: Int32Array
    weights_hash: str

    def predict(
        self, images: Sequence[NamedImage]
    ) -> Sequence[SemanticLogits | SemanticPrediction]:
        """The answer to each image, which does not depend on the other images.

        Logits are the rule. A model that has none (it looks up finished label maps, say)
        answers with label maps in its own label space.
        """
        ...


class InstanceModel(Protocol):
    """An instance segmentation net with its preprocessing and weights.

    Attributes:
        label_space: the categories of the ``category_ids`` in its answers.
        weights_hash: SHA-256 of the weights as hex, for the record of a run.
    """

    label_space: LabelSpace
    weights_hash: str

    def predict(
        self, images: Sequence[NamedImage], *, score_threshold: float
    ) -> Sequence[Instances]:
        """The instances in each image, which do not depend on the other images.

        Those below score_threshold need not be found, which spares the net work.
        """
        ...
