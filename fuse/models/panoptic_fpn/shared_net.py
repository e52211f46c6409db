"""One Panoptic FPN for both branches: the layers of `net` with the rules of `boxes` around them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

from fuse.errors import ModelError
from fuse.labels import load_space
from fuse.models.dense import DensePart, DensePlan, plan_dense, speed_up
from fuse.models.panoptic_fpn import boxes as box_rules
from fuse.models.panoptic_fpn.checkpoint import read_checkpoint, read_header
from fuse.models.panoptic_fpn.designs import DESIGNS, FpnDesign
from fuse.models.panoptic_fpn.images import paste_masks, prepare_images, resized_size
from fuse.models.panoptic_fpn.net import BOX_CELLS, MASK_CELLS, PanopticFpnNet
from fuse.models.runtime import place
from fuse.models.weights.fetching import find_weights
from fuse.models.weights.loading import NetHeader, check_file, hash_files, load_state
from fuse.models.weights.tiny import fold_batch_norm
from fuse.types import Instances, Int32Array, LabelSpace, NamedImage

DETECTRON2_SPACE = "coco_panoptic"


class _KeptFeatures(threading.local):
    """Features that a thread has made for one branch and not yet given to the other.

    Attributes:
        batch: ids of the batch's images.
        of_size: by the ids of images of one size, these images and their features.
    """

    def __init__(self) -> None:
        self.batch: tuple[int, ...] = ()
        self.of_size: dict[tuple[int, ...], tuple[list[NamedImage], list[Tensor]]] = {}


class SharedNet:
    """A Panoptic FPN on a device, for one or both branches.

    Once both branches stand on it, each thread keeps the features of a batch from the branch
    that asks first to the other, as a pipeline does. Whoever asks in another order gets the same
    answers, only later: the features are made again.

    Attributes:
        net: the layers.
        label_space: of its answers.
        thing_ids: category_id of each class of the boxes.
        stuff_ids: category_id of each class of the semantic head; first none, for all things.
        weights_hash: SHA-256 of the checkpoint.
        dense: what runs its wide layers.
        is_shared: whether a second branch stands on it.
    """

    def __init__(
        self,
        state: dict[str, Tensor],
        about: NetHeader,
        path: Path,
        weights_hash: str,
        sizes: tuple[int | None, int | None],
        plan: DensePlan,
    ) -> None:
        self.weights_hash = weights_hash
        self.is_shared = False
        # detectron2 numbers both kinds in the order of COCO's ids (data/datasets/
        # builtin_meta.py), and so do the others.
        self.label_space = find_space(about)
        self.thing_ids, self.stuff_ids = list_category_ids(self.label_space)
        net = build_net(state, about, path)
        self._design = net.design
        fold_batch_norm(net.backbone)
        self.net = place(net, plan.device)
        self.dense = speed_up(_list_parts(self.net), plan)
        self._sizes = (
            sizes[0] or about.min_size or self._design.min_size,
            sizes[1] or about.max_size or self._design.max_size,
        )
        self._kept = _KeptFeatures()

    def resized_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of an image of that size in the input."""
        return resized_size(size, *self._sizes)

    def start_batch(self, images: Sequence[NamedImage]) -> None:
        """Drop what is kept of another batch than this."""
        batch = tuple(id(image) for image in images)
        if batch != self._kept.batch:
            self._kept.batch = batch
            self._kept.of_size.clear()

    def extract_features(self, images: list[NamedImage]) -> list[Tensor]:
        """Levels float32 (N, channels, h, w) of strides 4 to 64 for images of one size."""
        # Nothing else can have these ids: the images are kept with their features.
        key = tuple(id(image) for image in images)
        if key in self._kept.of_size:
            return self._kept.of_size.pop(key)[1]
        batch = prepare_images(
            images,
            self.resized_size(images[0].size),
            self.net.pixel_mean,
            self.net.pixel_std,
            reads_rgb=self._design.reads_rgb,
        )
        features = self.net.extract_features(batch.contiguous(memory_format=torch.channels_last))
        if self.is_shared:
            self._kept.of_size[key] = (images, features)
        return features

    def predict_stuff(self, features: list[Tensor]) -> Tensor:
        """Logits float32 (N, C, h, w) at stride 4, the class of all things first."""
        logits: Tensor = self.net.semantic_head(features)
        return logits

    def find_things(
        self, features: list[Tensor], size: tuple[int, int], score_threshold: float
    ) -> list[Instances]:
        """The instances of each image; size is that of the images."""
        resized = self.resized_size(size)
        logits, deltas = self.net.propose(features)
        anchors = [
            box_rules.make_anchors(grid.shape[2:], level, grid.device, self._design.anchor_sides)
            for level, grid in enumerate(features)
        ]
        found = []
        for index in range(len(features[0])):
            proposals = box_rules.select_proposals(
                [level[index] for level in logits],
                [level[index] for level in deltas],
                anchors,
                resized,
                self._design.proposals,
            )
            levels = [level[index] for level in features]
            found.append(self._detect(levels, proposals, resized, size, score_threshold))
        return found

    def _detect(
        self,
        levels: list[Tensor],
        proposals: Tensor,
        resized: tuple[int, int],
        size: tuple[int, int],
        score_threshold: float,
    ) -> Instances:
        """The instances of one image among its proposals (P, 4)."""
        regions = box_rules.pool_regions(levels, proposals, BOX_CELLS)
        class_logits, deltas = self.net.classify(regions)
        boxes, scores, class_index = box_rules.select_detections(
            class_logits.softmax(dim=1),
            box_rules.decode_boxes(deltas, proposals, box_rules.DELTA_WEIGHTS),
            resized,
            score_threshold,
        )
        probs = self._mask(levels, boxes, class_index)
        in_image = box_rules.rescale_boxes(boxes, resized, size)
        kept = box_rules.has_area(in_image)
        found = in_image[kept].cpu().numpy()
        return Instances(
            boxes=found,
            scores=scores[kept].double().cpu().numpy(),
            category_ids=self.thing_ids[class_index[kept].cpu().numpy()],
            masks=paste_masks(probs[kept].cpu().numpy(), found, size),
            size=size,
        )

    def _mask(self, levels: list[Tensor], boxes: Tensor, class_index: Tensor) -> Tensor:
        """Soft masks float32 (D, 28, 28) of the detections' own classes."""
        regions = box_rules.pool_regions(levels, boxes, MASK_CELLS)
        logits = self.net.segment(regions)
        places = torch.arange(len(boxes), device=boxes.device)
        return logits[places, class_index].sigmoid()


def find_space(about: NetHeader) -> LabelSpace:
    """The label space that a file names; detectron2's name none."""
    return load_space(about.label_space or DETECTRON2_SPACE)


def list_category_ids(space: LabelSpace) -> tuple[Int32Array, Int32Array]:
    """The category_ids of the thing classes, and of the stuff classes with none before them."""
    things = np.array(space.thing_ids, dtype=np.int32)
    return things, np.array([space.none_id, *space.stuff_ids], dtype=np.int32)


def find_design(state: Mapping[str, Tensor], about: NetHeader, path: Path) -> FpnDesign:
    """How the net of a state is built: the file says so, or the depth of its ResNet does.

    Args:
        state: from `read_checkpoint`.
        about: what the file says of itself.
        path: of the weights, for messages.

    Raises:
        ModelError: they belong to another net.
    """
    if about.architecture in DESIGNS:
        return DESIGNS[about.architecture]
    blocks = len({key.split(".")[3] for key in state if key.startswith("backbone.body.layer3.")})
    depths = {6: 50, 23: 101}  # by the blocks of the third stage
    if blocks not in depths:
        first = next(iter(state), "nothing")
        raise ModelError(
            f"{path}: weights of another net; a Panoptic FPN of detectron2 with ResNet-"
            f"{' or '.join(map(str, depths.values()))} has keys like "
            f"'backbone.bottom_up.res4.5.conv1.weight', this file starts with {first!r}"
        )
    return DESIGNS[f"resnet{depths[blocks]}"]


def build_net(state: dict[str, Tensor], about: NetHeader, path: Path) -> PanopticFpnNet:
    """The net with these weights.

    Args:
        state: from `read_checkpoint`; the input's mean and std may be missing.
        about: from `read_header`.
        path: of the weights, for messages.

    Raises:
        ModelError: they belong to another net.
    """
    things, stuff = list_category_ids(find_space(about))
    net = PanopticFpnNet(find_design(state, about, path), len(stuff), len(things))
    load_state(
        net,
        {"pixel_mean": net.pixel_mean, "pixel_std": net.pixel_std, **state},
        source=f"{path} (Panoptic FPN for {len(things)} things, {len(stuff) - 1} stuff)",
    )
    return net


def _list_parts(net: PanopticFpnNet) -> list[DensePart]:
    """The net's wide layers, which run in a fast number format or on another runtime.

    The layers that score pixels, anchors and regions and that move boxes stay in float32, as do
    boxes and pooling: box corners need more than the eight bits of bfloat16.
    """
    grids = ((1, net.design.channels, 80, 112), (1, net.design.channels, 16, 8))
    return [
        DensePart(net, "backbone", ((1, 3, 320, 448), (1, 3, 448, 320))),
        *(DensePart(net.semantic_head.branches, str(branch), grids) for branch in range(4)),
        DensePart(net.rpn_head, "conv"),
        *(DensePart(net, name) for name in ("box_head", "mask_head", "mask_predictor")),
    ]


_NETS: WeakValueDictionary[tuple[str | int | DensePlan | None, ...], SharedNet] = (
    WeakValueDictionary()
)


def share_net(
    weights: str,
    device: str,
    min_size: int | None,
    max_size: int | None,
    precision: str,
    runtime: str = "auto",
) -> SharedNet:
    """The net of these weights and settings, made unless another branch has it.

    Sizes of None are those that the weights were made for.
    """
    path = find_weights("panoptic-fpn", {"weights": weights})
    check_file(path)
    weights_hash = hash_files([path])
    plan = plan_dense("panoptic-fpn", device, precision, runtime)
    key = (weights_hash, min_size, max_size, plan)
    net = _NETS.get(key)
    if net is not None:
        net.is_shared = True
        return net
    state, about = read_checkpoint(path), read_header(path)
    net = SharedNet(state, about, path, weights_hash, (min_size, max_size), plan)
    _NETS[key] = net
    return net
