"""Panoptic FPN as a semantic model and as an instance model.

Each works alone. Where both name the same weights, device and sizes they stand on one net, and
its backbone runs once per image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fuse.models import runtime
from fuse.models.adapters.semantic_net import crop_padding
from fuse.models.panoptic_fpn.boxes import STRIDES
from fuse.models.panoptic_fpn.designs import DESIGNS
from fuse.models.panoptic_fpn.images import label_pixels
from fuse.models.panoptic_fpn.net import PanopticFpnNet
from fuse.models.panoptic_fpn.shared_net import share_net
from fuse.types import Instances, NamedImage, SemanticLogits, SemanticPrediction

PUBLISHED_STUFF, PUBLISHED_THINGS = 54, 80  # classes of detectron2's checkpoints


class PanopticFpnSemantic:
    """The semantic branch: stuff (COCO's 53 classes in detectron2's nets), and void for things.

    Args:
        device: ``cpu``, ``cuda:0``, ...
        weights: a checkpoint that detectron2 publishes by name (``panoptic_fpn_R_50_3x``;
            downloaded to TORCH_HOME), shipped weights by name (``tiny_panoptic``), or a file
            of detectron2's keys or ours.
        exact: answer with finished label maps, upsampled in two steps as detectron2 does: to
            the input, then to the image. Otherwise the answer is logits at stride 4, from which
            the label map is made in one step; it differs in few pixels along borders, and
            classes can still be mapped to another label space before the argmax.
        min_size, max_size: the image's short side becomes min_size pixels unless its long side
            would exceed max_size; by default what the weights were made for.
        precision: see `runtime.autocast`.
        runtime: see `fuse.models.dense.plan_dense`.

    Raises:
        ModelError: the weights are not there or do not fit.
    """

    thread_safe = True

    def __init__(
        self,
        device: str,
        *,
        weights: str,
        exact: bool = False,
        min_size: int | None = None,
        max_size: int | None = None,
        precision: str = "auto",
        runtime: str = "auto",
    ) -> None:
        self._net = share_net(weights, device, min_size, max_size, precision, runtime)
        self.dense = self._net.dense
        self._exact = exact
        self.net = self._net.net
        self.label_space = self._net.label_space
        self.category_ids = self._net.stuff_ids
        self.weights_hash = self._net.weights_hash

    def predict(self, images: Sequence[NamedImage]) -> list[SemanticLogits | SemanticPrediction]:
        """The answer to each image."""
        self._net.start_batch(images)
        return runtime.predict_by_size(images, self._predict_same_size)

    def _predict_same_size(
        self, images: list[NamedImage]
    ) -> list[SemanticLogits | SemanticPrediction]:
        size = images[0].size
        resized = self._net.resized_size(size)
        with torch.inference_mode():
            logits = self._net.predict_stuff(self._net.extract_features(images))
            if self._exact:
                labels = [label_pixels(one, resized, size).cpu().numpy() for one in logits]
                return [SemanticPrediction(self.category_ids[label_map]) for label_map in labels]
            answers = logits.to(torch.float16).cpu().numpy()
        padded = [cells * STRIDES[0] for cells in answers.shape[2:]]
        return [crop_padding(one, size, resized, padded, align_corners=False) for one in answers]


class PanopticFpnInstances:
    """The instance branch, a Mask R-CNN for things (COCO's 80 in detectron2's nets).

    Its masks are pasted into the image by detectron2's rule, so they leave as RLE.

    Args:
        device: ``cpu``, ``cuda:0``, ...
        weights: see `PanopticFpnSemantic`; as are the others.
        min_size, max_size, precision, runtime: as there.

    Raises:
        ModelError: the weights are not there or do not fit.
    """

    thread_safe = True

    def __init__(
        self,
        device: str,
        *,
        weights: str,
        min_size: int | None = None,
        max_size: int | None = None,
        precision: str = "auto",
        runtime: str = "auto",
    ) -> None:
        self._net = share_net(weights, device, min_size, max_size, precision, runtime)
        self.dense = self._net.dense
        self.net = self._net.net
        self.label_space = self._net.label_space
        self.weights_hash = self._net.weights_hash

    def predict(self, images: Sequence[NamedImage], *, score_threshold: float) -> list[Instances]:
        """The instances of each image, best score first; at most 100, all above 0.05."""
        self._net.start_batch(images)

        def predict_same_size(same_size: list[NamedImage]) -> list[Instances]:
            with torch.inference_mode():
                features = self._net.extract_features(same_size)
                return self._net.find_things(features, same_size[0].size, score_threshold)

        return runtime.predict_by_size(images, predict_same_size)


def make_random_state(options: Mapping[str, Any]) -> dict[str, Tensor]:
    """A state dict of the depth that the weights' name says."""
    depth = next(depth for depth in (50, 101) if f"_{depth}_" in str(options["weights"]))
    net = PanopticFpnNet(DESIGNS[f"resnet{depth}"], PUBLISHED_STUFF, PUBLISHED_THINGS)
    return net.state_dict()
