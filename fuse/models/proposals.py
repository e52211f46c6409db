"""What torchvision does to boxes between a net's layers, with the same bits in less time.

On a CPU suppression is a kernel of ours, and only the anchors that score best become boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import ops
from torchvision.models.detection.rpn import RegionProposalNetwork

from fuse.ops.nms import suppress

# torchvision takes each group by itself where there are more boxes; else it moves the groups apart,
# which rounds their corners.
MOST_MOVED = 1000


def suppress_per_group(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """`torchvision.ops.batched_nms`: which boxes overlap no better one of their group.

    Args:
        boxes: (N, 4), xyxy.
        scores: (N,).
        groups: int64 (N,).
        threshold: of the IoU, above which the lower score goes.

    Returns:
        int64 (K,), indices of the kept boxes, best first.
    """
    if (boxes.device.type, boxes.dtype) != ("cpu", torch.float32) or not len(boxes):
        answer: Tensor = ops.batched_nms(boxes, scores, groups, threshold)
        return answer
    if len(boxes) <= MOST_MOVED:
        offsets = groups.to(boxes) * (boxes.max() + 1)
        return _suppress(boxes + offsets[:, None], scores, threshold)
    kept = []
    for group in torch.unique(groups):
        (members,) = (groups == group).nonzero(as_tuple=True)
        kept.append(members[_suppress(boxes[members], scores[members], threshold)])
    indices = torch.cat(kept).sort()[0]
    return indices[scores[indices].sort(descending=True)[1]]


def _suppress(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    order = scores.sort(stable=True, descending=True)[1]
    return order[torch.from_numpy(suppress(boxes[order].numpy(), threshold))]


class RegionProposer(nn.Module):
    """A `RegionProposalNetwork` of torchvision, done faster; for images of one size."""

    def __init__(self, rpn: RegionProposalNetwork) -> None:
        super().__init__()
        self.rpn = rpn

    def forward(
        self,
        images: Any,  # noqa: ANN401 - torchvision's ImageList
        features: dict[str, Tensor],
        _targets: None = None,
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Proposals (K, 4) of each image, best first, and no losses, as torchvision answers."""
        levels = list(features.values())
        logits, deltas = self.rpn.head(levels)
        anchors = self.rpn.anchor_generator(images, levels)[0]  # the same for each image
        of_level = anchors.split([level[0].numel() for level in logits])
        return [
            self._propose(
                [each[i] for each in logits], [each[i] for each in deltas], of_level, size
            )
            for i, size in enumerate(images.image_sizes)
        ], {}

    def _propose(
        self,
        logits: Sequence[Tensor],
        deltas: Sequence[Tensor],
        anchors: Sequence[Tensor],
        size: tuple[int, int],
    ) -> Tensor:
        """The proposals of one image of size (height, width) in the input.

        Args:
            logits: (A, h, w) per level.
            deltas: (4 A, h, w) per level.
            anchors: (h w A, 4) per level.
        """
        found, scores, groups = [], [], []
        for number, (logit, delta, anchor) in enumerate(zip(logits, deltas, anchors, strict=True)):
            objectness = logit.permute(1, 2, 0).reshape(-1)
            moves = delta.reshape(-1, 4, *delta.shape[1:]).permute(2, 3, 0, 1).reshape(-1, 4)
            best, order = objectness.topk(min(self.rpn.pre_nms_top_n(), len(objectness)))
            found.append(self.rpn.box_coder.decode_single(moves[order], anchor[order]))
            scores.append(best)
            groups.append(torch.full_like(order, number))
        boxes = ops.clip_boxes_to_image(torch.cat(found), size)
        score, group = torch.cat(scores).sigmoid(), torch.cat(groups)
        kept = ops.remove_small_boxes(boxes, self.rpn.min_size)
        kept = kept[score[kept] >= self.rpn.score_thresh]
        boxes = boxes[kept]
        best_first = suppress_per_group(boxes, score[kept], group[kept], self.rpn.nms_thresh)
        answer: Tensor = boxes[best_first[: self.rpn.post_nms_top_n()]]
        return answer
