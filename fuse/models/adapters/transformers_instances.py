"""Mask-classification nets of transformers (Mask2Former and its kin) as an instance model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from pycocotools import mask as coco_mask
from torch import Tensor

from fuse.errors import ModelError
from fuse.models.adapters.transformers_net import TransformersNet
from fuse.types import Instances, NamedImage, RleMasks

MOST_INSTANCES = 100  # per image, as in COCO's evaluation


class TransformersInstances:
    """A mask-classification net of transformers, with its own preprocessing.

    Options and errors: see `fuse.models.adapters`; categories of stuff are left out.
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
        if not self._net.has_queries:
            raise ModelError(f"{weights}: a semantic net, which finds no instances")
        self.net = self._net.net
        self.label_space = self._net.label_space
        self.category_ids = self._net.category_ids
        self.weights_hash = self._net.weights_hash
        self._is_thing = np.isin(self.category_ids, self.label_space.thing_ids)

    def predict(self, images: Sequence[NamedImage], *, score_threshold: float) -> list[Instances]:
        """Instances of each image that score at least score_threshold, best class score first."""
        return [self._predict(image, score_threshold) for image in images]

    def _predict(self, image: NamedImage, score_threshold: float) -> Instances:
        answer, resized, padded = self._net(image)
        with torch.inference_mode():
            classes = answer.class_queries_logits[0].float().softmax(-1)[:, :-1]
            masks = answer.masks_queries_logits[0].float()
            found = [
                (index, score, _encode(masks[query], image.size, resized, padded))
                for query, index, score in self._rank(classes, masks, score_threshold)
            ]
        found = [each for each in found if coco_mask.area(each[2])]
        boxes = np.array([coco_mask.toBbox(rle) for _, _, rle in found], dtype=np.float32)
        boxes = boxes.reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return Instances(
            boxes=boxes,
            scores=np.array([score for _, score, _ in found], dtype=np.float64),
            category_ids=self.category_ids[[index for index, _, _ in found]],
            masks=RleMasks(tuple(rle for _, _, rle in found)),
            size=image.size,
        )

    def _rank(
        self, classes: Tensor, masks: Tensor, score_threshold: float
    ) -> list[tuple[int, int, float]]:
        """(query, class_index, score) of the best things.

        The score is the class's probability times the mean of the mask's inside itself
        (Mask2Former's instance inference).
        """
        inside = masks > 0
        sureness = (masks.sigmoid() * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
        best = classes.flatten().topk(min(MOST_INSTANCES, classes.numel())).indices
        queries, indices = best // classes.shape[1], best % classes.shape[1]
        scores = (classes.flatten()[best] * sureness[queries]).cpu().double().tolist()
        ranked = zip(queries.tolist(), indices.tolist(), scores, strict=True)
        return [
            (query, index, min(score, 1.0))
            for query, index, score in ranked
            if self._is_thing[index] and score >= score_threshold
        ]


def _encode(
    mask_logits: Tensor, size: tuple[int, int], resized: tuple[int, int], padded: tuple[int, int]
) -> dict[str, Any]:
    """One mask at the net's stride (h, w) as RLE over the image: never more than one in full."""
    whole = F.interpolate(mask_logits[None, None], padded, mode="bilinear", align_corners=False)
    image = F.interpolate(
        whole[..., : resized[0], : resized[1]], size, mode="bilinear", align_corners=False
    )
    mask = (image[0, 0] > 0).cpu().numpy()
    rle: dict[str, Any] = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return rle
