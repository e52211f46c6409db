"""Nets of transformers as a semantic model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fuse.errors import ConfigError, ModelError
from fuse.models.adapters.semantic_net import crop_padding, place_cells
from fuse.models.adapters.transformers_input import InputView
from fuse.models.adapters.transformers_net import NetAnswer, NetOptions, TransformersNet
from fuse.models.adapters.transformers_queries import join_pieces, label_pixels, sum_queries
from fuse.types import Float16Array, NamedImage, SemanticLogits, SemanticPrediction


class TransformersSemantic:
    """A semantic or mask-classification net of transformers, with its own preprocessing.

    Options and errors: see `fuse.models.adapters`; task is OneFormer's, by default ``semantic``.
    Further:
        exact: answer with finished label maps, the masks of a net with queries upsampled before
            they are looked at, see `label_pixels`. Otherwise the answer is logits at the net's own
            stride, from which the label map is made in one step; it differs in few pixels along
            borders, and rules and other label spaces can still read the classes' shares.
    """

    thread_safe = True

    def __init__(
        self,
        device: str,
        *,
        weights: str,
        revision: str | None = None,
        label_space: str | None = None,
        class_ids: Sequence[int] | None = None,
        min_size: int | None = None,
        max_size: int | None = None,
        size: Sequence[int] | None = None,
        task: str | None = None,
        exact: bool = False,
        precision: str = "auto",
        runtime: str = "auto",
    ) -> None:
        options = NetOptions(
            *(weights, revision, label_space, class_ids, min_size, max_size, size, task),
            *(precision, runtime),
        )
        self._net = TransformersNet(device, options, "semantic")
        if self._net.kind == "detections":
            raise ModelError(f"{weights}: finds instances; as a semantic net it says nothing")
        if exact and self._net.kind != "queries":
            raise ConfigError(
                f"{weights}: exact is for nets that answer with masks; the scores of this one are "
                "upsampled once anyway"
            )
        self._exact = exact
        self.net = self._net.net
        self.label_space = self._net.label_space
        self.category_ids = self._net.category_ids
        self.weights_hash = self._net.weights_hash
        self.side_files = self._net.side_files
        self.dense = self._net.dense

    def predict(self, images: Sequence[NamedImage]) -> list[SemanticLogits | SemanticPrediction]:
        """The answer to each image: a label map, or logits with the padding cut off."""
        answers = self._net.answer(images)
        read = self._label if self._exact else self._read
        return [read(image, answer) for image, answer in zip(images, answers, strict=True)]

    def _label(self, image: NamedImage, answer: NetAnswer) -> SemanticPrediction:
        output = answer.output
        with torch.inference_mode():
            class_index = label_pixels(
                output.class_queries_logits.float(),
                output.masks_queries_logits.float(),
                answer.views,
                image.size,
            )
        return SemanticPrediction(self.category_ids[class_index.cpu().numpy()])

    def _read(self, image: NamedImage, answer: NetAnswer) -> SemanticLogits:
        output, view = answer.output, answer.views[0]
        covered = view.padded
        with torch.inference_mode():
            if self._net.kind == "semantic":
                logits = output.logits[0]
            elif self._net.cuts_pieces:
                classes, masks = output.class_queries_logits, output.masks_queries_logits
                logits, covered = join_pieces(classes.float(), masks.float(), answer.views)
            else:
                logits = sum_queries(
                    output.class_queries_logits[0].float(), output.masks_queries_logits[0].float()
                )
            values = _to_float16(logits)
        if self._net.config.model_type == "mobilenet_v2":
            return _place_mobilenet(values, image, view, self._net.config)
        return crop_padding(values, image.size, view.resized, covered, align_corners=False)


def _to_float16(logits: Tensor) -> Float16Array:
    values: Float16Array = logits.to(torch.float16).contiguous().cpu().numpy()
    return values


def _place_mobilenet(
    values: Float16Array,
    image: NamedImage,
    view: InputView,
    config: Any,  # noqa: ANN401 - transformers has a class per architecture
) -> SemanticLogits:
    """Logits of a MobileNetV2, whose cells lie a stride apart and not edge to edge."""
    stride = int(config.output_stride)
    origin = (0, 0)
    if config.tf_padding:
        origin = (find_first_cell(view.padded[0], stride), find_first_cell(view.padded[1], stride))
    return place_cells(values, image.size, view.resized, stride, origin)


def find_first_cell(side: int, stride: int) -> int:
    """The pixel under the first cell of a net with TensorFlow's padding.

    A convolution of stride 2 starts at the first pixel of an odd side and at the second of an even
    one, where TensorFlow pads the far end alone.

    Args:
        side: pixels of the input.
        stride: of the net, a power of two.

    >>> find_first_cell(513, 8), find_first_cell(512, 8)
    (0, 7)
    """
    origin, step = 0, 1
    while step < stride:
        if side % 2 == 0:
            origin += step
        side, step = -(-side // 2), 2 * step
    return origin
