"""Nets of transformers as a semantic model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fuse.models.adapters.semantic_net import crop_padding
from fuse.models.adapters.transformers_net import TransformersNet
from fuse.types import NamedImage, SemanticLogits

LEAST_SCORE = 1e-6  # whose logarithm is still far from float16's smallest


class TransformersSemantic:
    """A semantic or mask-classification net of transformers, with its own preprocessing.

    Options and errors: see `fuse.models.adapters`.
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
        precision: str = "auto",
    ) -> None:
        self._net = TransformersNet(device, weights, revision, label_space, class_ids, precision)
        self.net = self._net.net
        self.label_space = self._net.label_space
        self.category_ids = self._net.category_ids
        self.weights_hash = self._net.weights_hash

    def predict(self, images: Sequence[NamedImage]) -> list[SemanticLogits]:
        """Logits of each image at the net's own stride, the padding cut off."""
        return [self._predict(image) for image in images]

    def _predict(self, image: NamedImage) -> SemanticLogits:
        answer, resized, padded = self._net(image)
        with torch.inference_mode():
            if self._net.has_queries:
                logits = sum_queries(
                    answer.class_queries_logits[0].float(), answer.masks_queries_logits[0].float()
                )
            else:
                logits = answer.logits[0]
            values = logits.to(torch.float16).contiguous().cpu().numpy()
        return crop_padding(values, image.size, resized, padded, align_corners=False)


def sum_queries(class_logits: Tensor, mask_logits: Tensor) -> Tensor:
    """Scores per class and cell from queries, as logits (C, h, w).

    The score of a class is the sum over queries of the probability that the query is of the
    class times that of its mask (Cheng et al. 2021, *Per-Pixel Classification is Not All You
    Need*, section 3.4). Its logarithm is the logit, so that a softmax gives back the share.

    Args:
        class_logits: (Q, C + 1), the last column is "no object".
        mask_logits: (Q, h, w).
    """
    classes = class_logits.softmax(-1)[:, :-1]
    scores = torch.einsum("qc,qhw->chw", classes, mask_logits.sigmoid())
    return scores.clamp(min=LEAST_SCORE).log()
