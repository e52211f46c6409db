"""What a net must offer to be half of a pipeline; docs/plugin.md builds one of each kind.

A model is built as ``Factory(device, **options)``: the device is ``cpu``, ``cuda:0``, ..., the
options are the other keys of the preset's section. It may also have

    thread_safe = True    several threads may call ``predict`` at once, which a run on a CPU does
    net                   its module of torch, whose parameters ``fuse models profile`` counts
    side_files = {}       SHA-256 of further files that decide its answers, by name
    finds_stuff = True    of an instance model: stuff is among its answers, which the rule
                          ``mask-classification`` takes and all others leave out

and its module a function ``describe_weights(options)`` that says, as a
`fuse.models.weights.sources.NeededWeights`, which weights these options need, so that
``fuse fetch`` gets them ahead of time.
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
        label_space: the categories it speaks, which need not be the preset's.
        category_ids: int32 (C,), the category_id of each row of its logits; 0 where a row
            means "none of these" and ends as void. In a space with a category 0 that is 0, and
            -1 means none, as in label maps.
        weights_hash: any text that changes when the net does, as the SHA-256 of the weights; a
            run is continued by the same nets only.
    """

    label_space: LabelSpace
    category_ids: Int32Array
    weights_hash: str

    def predict(
        self, images: Sequence[NamedImage]
    ) -> Sequence[SemanticLogits | SemanticPrediction]:
        """One answer per image, the same whatever else is among the images.

        Logits at the net's own stride are the rule: they are upsampled once, straight to the
        image's size. A model that has none (it looks up finished label maps, say) answers with
        label maps in its own label space.
        """
        ...


class InstanceModel(Protocol):
    """An instance segmentation net with its preprocessing and weights.

    Attributes:
        label_space: the categories of the ``category_ids`` in its answers, which are things.
        weights_hash: as for `SemanticModel`.
    """

    label_space: LabelSpace
    weights_hash: str

    def predict(
        self, images: Sequence[NamedImage], *, score_threshold: float
    ) -> Sequence[Instances]:
        """One answer per image, the same whatever else is among the images.

        Instances below score_threshold need not be found, which spares the net work.
        """
        ...
