"""Nets of transformers with masks (Mask2Former and its kin, RF-DETR) as an instance model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from pycocotools import mask as coco_mask
from torch import Tensor

from fuse.errors import ConfigError, ModelError
from fuse.models.adapters.transformers_input import InputView
from fuse.models.adapters.transformers_net import NetAnswer, NetOptions, TransformersNet
from fuse.models.adapters.transformers_queries import (
    Found,
    rank_detections,
    rank_queries,
    rank_segments,
)
from fuse.types import BoxMasks, Instances, NamedImage, RleMasks

RIM = 1  # cells around a grid, so that masks reach the image's edge


class TransformersInstances:
    """A net of transformers with masks, with its own preprocessing.

    Options and errors: see `fuse.models.adapters`; of them task is OneFormer's, by default
    ``instance``. Further:
        segments: ``things`` answers with instances; ``all`` with every mask that is something,
            stuff too, under its best class, for the rule ``mask-classification``.
        exact: with ``segments = "all"``: masks leave as upsampled to the input, as the nets' own
            code has them before it looks at the image, in place of the net's own grid. Masks of
            things are always upsampled so.

    Attributes:
        finds_stuff: whether stuff is among its answers.
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
        segments: Literal["things", "all"] = "things",
        exact: bool = False,
        precision: str = "auto",
        runtime: str = "auto",
    ) -> None:
        options = NetOptions(
            *(weights, revision, label_space, class_ids, min_size, max_size, size, task),
            *(precision, runtime),
        )
        self.finds_stuff = segments == "all"
        self._net = TransformersNet(device, options, "panoptic" if self.finds_stuff else "instance")
        if self._net.kind == "semantic":
            raise ModelError(f"{weights}: a semantic net, which finds no instances")
        if self._net.cuts_pieces:
            raise ModelError(
                f"{weights}: its preprocessing cuts an image into pieces (do_split_image), over "
                "which an object may lie; take a checkpoint for instances or panoptic maps"
            )
        if self.finds_stuff and self._net.kind != "queries":
            raise ConfigError(f'{weights}: finds things only; leave segments = "all" out')
        if exact and not self.finds_stuff:
            raise ConfigError(f'{weights}: exact is for segments = "all"; leave it out')
        self._exact = exact
        self.net = self._net.net
        self.label_space = self._net.label_space
        self.category_ids = self._net.category_ids
        self.weights_hash = self._net.weights_hash
        self.side_files = self._net.side_files
        self.dense = self._net.dense
        self._is_thing = np.isin(self.category_ids, self.label_space.thing_ids).tolist()

    def predict(self, images: Sequence[NamedImage], *, score_threshold: float) -> list[Instances]:
        """Instances of each image that score at least score_threshold, best class score first."""
        answers = self._net.answer(images)
        return [
            self._read(image, answer, score_threshold)
            for image, answer in zip(images, answers, strict=True)
        ]

    def _read(self, image: NamedImage, answer: NetAnswer, score_threshold: float) -> Instances:
        output, view = answer.output, answer.views[0]
        with torch.inference_mode():
            if self._net.kind == "detections":
                masks = output.pred_masks[0].float()
                ranked = rank_detections(output.logits[0].float(), self._is_thing, score_threshold)
                grid = (masks.shape[1], masks.shape[2])  # which its own code upsamples at once
                return self._as_rles(image, masks, ranked, InputView(resized=grid, padded=grid))
            classes = output.class_queries_logits[0].float()
            masks = output.masks_queries_logits[0].float()
            if self.finds_stuff:
                ranked = rank_segments(classes, score_threshold)
                none = self.label_space.none_id
                ranked = [found for found in ranked if self.category_ids[found[1]] != none]
                return self._as_soft_masks(image, masks, ranked, view)
            ranked = rank_queries(classes, masks, self._is_thing, score_threshold)
            return self._as_rles(image, masks, ranked, view)

    def _as_rles(
        self, image: NamedImage, masks: Tensor, ranked: Sequence[Found], view: InputView
    ) -> Instances:
        """Instances with hard masks, those without a pixel left out."""
        encoded = [(each, _encode(masks[each[0]], image.size, view)) for each in ranked]
        found = [(each, rle) for each, rle in encoded if coco_mask.area(rle)]
        boxes = np.array([coco_mask.toBbox(rle) for _, rle in found], dtype=np.float32)
        boxes = boxes.reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return Instances(
            boxes=boxes,
            scores=np.array([score for (_, _, score), _ in found], dtype=np.float64),
            category_ids=self.category_ids[[index for (_, index, _), _ in found]],
            masks=RleMasks(tuple(rle for _, rle in found)),
            size=image.size,
        )

    def _as_soft_masks(
        self, image: NamedImage, masks: Tensor, ranked: Sequence[Found], view: InputView
    ) -> Instances:
        """Instances with a grid over the input as soft masks, over one box that holds the image."""
        masks = masks[[query for query, _, _ in ranked]]
        if self._exact and ranked:
            masks = F.interpolate(masks[None], view.padded, mode="bilinear")[0]
        rows, columns = masks.shape[1:]
        cells = max(rows, columns) + 2 * RIM  # a soft mask is square
        right, below = cells - RIM - columns, cells - RIM - rows
        # Padded with the channels in front, as torch pads no image without channels otherwise.
        probs = F.pad(masks[:, None].sigmoid(), (RIM, right, RIM, below), mode="replicate")[:, 0]
        # Image pixels per cell; the grid covers the input, the image a part of that.
        step_y = view.padded[0] / rows * image.size[0] / view.resized[0]
        step_x = view.padded[1] / columns * image.size[1] / view.resized[1]
        box = [-RIM * step_x, -RIM * step_y, (cells - RIM) * step_x, (cells - RIM) * step_y]
        return Instances(
            boxes=np.array([box] * len(ranked), dtype=np.float32).reshape(-1, 4),
            scores=np.array([score for _, _, score in ranked], dtype=np.float64),
            category_ids=self.category_ids[[index for _, index, _ in ranked]],
            masks=BoxMasks(probs.cpu().numpy()),
            size=image.size,
        )


def _encode(mask_logits: Tensor, size: tuple[int, int], view: InputView) -> dict[str, Any]:
    """One mask at the net's stride (h, w) as RLE over the image: never more than one in full."""
    whole = F.interpolate(
        mask_logits[None, None], view.padded, mode="bilinear", align_corners=False
    )
    inside = whole[..., : view.resized[0], : view.resized[1]]
    image = F.interpolate(inside, size, mode="bilinear", align_corners=False)
    mask = (image[0, 0] > 0).cpu().numpy()
    rle: dict[str, Any] = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return rle
