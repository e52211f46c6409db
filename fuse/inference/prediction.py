"""What the two nets said of one image, in their own label spaces and in the target's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fuse.errors import describe_misfit
from fuse.ops.argmax import upsample_argmax
from fuse.types import Instances, SemanticLogits, SemanticPrediction, TargetLogits


@dataclass(frozen=True, slots=True, eq=False)
class RawPrediction:
    """What the two nets answered for one image, each in its own label space.

    Attributes:
        semantic: logits, or the label map of a net that has none.
        instances: in the net's order.
    """

    semantic: SemanticLogits | SemanticPrediction
    instances: Instances


@dataclass(frozen=True, slots=True, eq=False)
class ImagePrediction:
    """What the two nets say about one image, in the target label space.

    Attributes:
        semantic: logits, or the label map of a net that has none.
        instances: in the instance net's order; masks of a float16's precision.
    """

    semantic: TargetLogits | SemanticPrediction
    instances: Instances

    def __post_init__(self) -> None:
        if self.semantic.size != self.instances.size:
            raise ValueError(
                describe_misfit("semantic", self.semantic.size, "instances", self.instances.size)
            )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image."""
        return self.instances.size

    def find_category_ids(self) -> set[int]:
        """What the nets may have said of some pixel; 0 = void."""
        semantic = self.semantic
        ids = (
            np.unique(semantic.label_map)
            if isinstance(semantic, SemanticPrediction)
            else semantic.category_ids
        )
        return {*ids.tolist(), *self.instances.category_ids.tolist()}

    def label(self) -> SemanticPrediction:
        """The label map: logits upsampled to the image, the best class of each pixel."""
        if isinstance(self.semantic, SemanticPrediction):
            return self.semantic
        logits = self.semantic.logits
        label_map = upsample_argmax(
            logits.logits,
            logits.size,
            self.semantic.category_ids,
            scale=logits.scale,
            offset=logits.offset,
        )
        return SemanticPrediction(label_map, self.semantic)
