"""The `panoptic` stage: trains one net for things and stuff, a Panoptic FPN.

Kirillov et al., Panoptic Feature Pyramid Networks, CVPR 2019, section 3.2: the loss is
lambda_i (class + box + mask) + lambda_s semantic, on the same views. The parts are those of the
two trainings beside it; regions are pooled and anchors laid by the rules the net is run with.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import torch
from tiny_training import instance, semantic
from tiny_training.augment import draw_view, jitter_colour
from tiny_training.imitation import Imitation, open_teacher
from tiny_training.loop import (
    Training,
    autocast,
    find_device,
    freeze_early_blocks,
    group_parameters,
    normalise,
    speed_up_depthwise,
)
from tiny_training.photos import Array, Photo, read_image
from tiny_training.targets import Target, draw_classes, draw_objects, draw_sets, to_tensor
from tiny_training.teachers import MOSAIC_CLASSES, StuffLabels
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork

from fuse.models.panoptic_fpn import boxes as box_rules
from fuse.models.panoptic_fpn.net import BOX_CELLS, MASK_CELLS, PanopticFpnNet

SIDE = 352
SHORT_SIDES = (230, 500)
COLOUR_STRENGTH = 1.2
BATCH = 6
TRUTH_PER_BATCH = 2  # views with panoptic truth; the others have objects and a stuff teacher
PEAK_LR = 3e-4
WEIGHT_DECAY = 0.03
TRAINED_PROPOSALS = (600, 300)  # before and after suppression
EVALUATE_SECONDS = 2400.0

View = tuple[Tensor, Target, Tensor]


def train_panoptic(
    net: PanopticFpnNet,
    photos: list[Photo],
    root: Path,
    work: Path,
    minutes: float,
    weights: tuple[float, float],
    name: str,
    evaluate: Callable[[PanopticFpnNet], dict[str, float]],
    seed: int = 0,
) -> None:
    """Train for `minutes` in all, counting earlier runs of the same `work` folder.

    Args:
        net: in which `backbone.stages` is a small encoder.
        photos: all, those of the choosing set too.
        root: data root.
        work: holds the stuff teacher's file; the checkpoint is put there.
        minutes: of training.
        weights: of the instance losses and of the semantic loss, lambda_i and lambda_s.
        name: of the checkpoint, without suffix.
        evaluate: figures of the averaged net.
        seed: of everything that is drawn.
    """
    torch.manual_seed(seed)
    device = find_device(net)
    net.train().to(memory_format=torch.channels_last)
    freeze_early_blocks(net.backbone.stages)
    net.add_module("imitation", Imitation().to(device))
    stuff_imitation = nn.Conv2d(net.semantic_head.predictor.in_channels, MOSAIC_CLASSES, 1)
    net.add_module("stuff_imitation", stuff_imitation.to(device))
    teacher, regions = open_teacher(root), make_regions(net)
    optimizer = torch.optim.AdamW(group_parameters(net, net.backbone.stages, PEAK_LR, WEIGHT_DECAY))
    training = Training(net, optimizer, work / f"{name}.pt", minutes)
    speed_up_depthwise(net)
    sampler = Sampler([photo for photo in photos if not photo.held_out], root, work)
    last_evaluation = training.elapsed
    for step in training.steps():
        views = sampler.draw(np.random.default_rng([seed, step]))
        images = torch.stack([view[0] for view in views])
        losses = compute_losses(net, regions, images.to(device), views, sampler.losses)
        sights = teacher(images) if teacher else None
        training.update(weigh_losses(net, losses, sights, weights))
        if training.elapsed - last_evaluation > EVALUATE_SECONDS:
            last_evaluation = training.elapsed
            training.record(evaluate(training.averaged))
    training.record(evaluate(training.averaged))


def compute_losses(
    net: PanopticFpnNet,
    regions: instance.Regions,
    images: Tensor,
    views: list[View],
    stuff_losses: semantic.StuffLosses,
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Run the net on canvases; answers its levels, the instance and the semantic losses."""
    device = images.device
    batch = normalise(images)
    with autocast(device):
        levels = net.backbone(batch)
        objectness, deltas = net.rpn_head(list(levels.values()))
        merged = net.semantic_head.merge_levels(list(levels.values()))
        logits, own = net.semantic_head.predictor(merged), net.stuff_imitation(merged)
    levels = {name: level.float().contiguous() for name, level in levels.items()}
    targets = [instance.move(view[1], device) for view in views]
    instance_losses = instance.compare_objects(
        regions, batch, levels, (objectness, deltas), targets
    )
    logits, own = logits.float(), own.float()
    classes = torch.stack([view[2] for view in views[:TRUTH_PER_BATCH]]).to(device)
    taught = torch.stack([view[2] for view in views[TRUTH_PER_BATCH:]]).to(device)
    semantic_losses = stuff_losses.compare(logits, own, classes, taught)
    return levels, instance_losses, semantic_losses


def weigh_losses(
    net: PanopticFpnNet,
    losses: tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]],
    sights: Any,  # noqa: ANN401 - `Sights` or None
    weights: tuple[float, float],
) -> dict[str, Tensor]:
    """Weigh the losses of both tasks; the box teacher's belong to the instances."""
    levels, of_things, of_stuff = losses
    if sights:
        of_things |= net.imitation.compare(levels, sights)
    return {name: weights[0] * loss for name, loss in of_things.items()} | {
        name: weights[1] * loss for name, loss in of_stuff.items()
    }


class AnchorLayer(nn.Module):
    """Lays the anchors of a net's design, where torchvision has its `AnchorGenerator`."""

    def __init__(self, sides: Sequence[int]) -> None:
        super().__init__()
        self.sides = sides

    def forward(self, images: ImageList, levels: list[Tensor]) -> list[Tensor]:
        """Anchors (A, 4) of all levels, the same for each image."""
        device = levels[0].device
        anchors = [
            box_rules.make_anchors(level.shape[2:], index, device, self.sides)
            for index, level in enumerate(levels)
        ]
        return [torch.cat(anchors)] * len(images.image_sizes)


def make_regions(net: PanopticFpnNet) -> instance.Regions:
    """See a Panoptic FPN as torchvision sees a Mask R-CNN, by the rules of `box_rules`."""
    anchors = AnchorLayer(net.design.anchor_sides)
    before, after = ({"training": count, "testing": count} for count in TRAINED_PROPOSALS)
    overlap = box_rules.PROPOSAL_OVERLAP
    rpn: Any = RegionProposalNetwork(
        anchors, net.rpn_head, 0.7, 0.3, 256, 0.5, before, after, overlap
    )
    heads = SimpleNamespace(
        box_roi_pool=make_pool(BOX_CELLS),
        mask_roi_pool=make_pool(MASK_CELLS),
        box_head=net.box_head,
        box_predictor=lambda pooled: put_background_first(*net.box_predictor(pooled)),
        box_coder=BoxCoder(box_rules.DELTA_WEIGHTS),
        mask_head=net.mask_head,
        mask_predictor=net.mask_predictor,
    )
    parts: Any = SimpleNamespace(rpn=rpn, roi_heads=heads)
    return parts


def make_pool(cells: int) -> Callable[..., Tensor]:
    """Pool the regions of each image of a batch, one image after the other."""

    def pool(levels: dict[str, Tensor], regions: list[Tensor], _: object) -> Tensor:
        values = list(levels.values())
        return torch.cat(
            [
                box_rules.pool_regions([level[index] for level in values], boxes, cells)
                for index, boxes in enumerate(regions)
            ]
        )

    return pool


def put_background_first(logits: Tensor, deltas: Tensor) -> tuple[Tensor, Tensor]:
    """Turn (P, K + 1) with the background last, and (P, K, 4), into torchvision's order."""
    moved = functional.pad(deltas, (0, 0, 1, 0)).flatten(1)
    return torch.cat([logits[:, -1:], logits[:, :-1]], 1), moved


class Sampler:
    """Draws batches: views of images with panoptic truth, then of images with a stuff teacher."""

    def __init__(self, photos: list[Photo], root: Path, work: Path) -> None:
        self.root = root
        self.with_truth = [photo for photo in photos if photo.panoptic]
        self.taught = [photo for photo in photos if photo.teacher_row is not None]
        self.labels = StuffLabels(root, work)
        class_weights, truth_odds = semantic.weigh_classes(self.with_truth, root)
        self.losses = semantic.StuffLosses.choose(self.labels, class_weights)
        taught_odds = semantic.weigh_photos(self.taught, self.labels)
        self.truth_odds = share_odds(truth_odds, instance.weigh_photos(self.with_truth))
        self.taught_odds = share_odds(taught_odds, instance.weigh_photos(self.taught))
        cv2.setNumThreads(1)  # each of the threads below draws a view of its own
        self.pool = ThreadPoolExecutor(torch.get_num_threads())

    def draw(self, rng: np.random.Generator) -> list[View]:
        """Draw BATCH views: pixels (3, SIDE, SIDE), objects, and classes or sets."""
        others = BATCH - TRUTH_PER_BATCH
        truth = rng.choice(len(self.with_truth), TRUTH_PER_BATCH, p=self.truth_odds)
        taught = rng.choice(len(self.taught), others, p=self.taught_odds)
        drawn = [self.with_truth[row] for row in truth] + [self.taught[row] for row in taught]
        return list(self.pool.map(self.make_view, drawn, rng.spawn(BATCH)))

    def make_view(self, photo: Photo, rng: np.random.Generator) -> View:
        """Draw a view of an image."""
        view = draw_view(rng, photo.height, photo.width, SIDE, SHORT_SIDES)
        image = view.warp_image(read_image(self.root / photo.file_name))
        pixels = to_tensor(jitter_colour(rng, image, COLOUR_STRENGTH))
        stuff = (
            draw_classes(photo, view, self.root)
            if photo.panoptic
            else draw_sets(photo, view, self.labels)
        )
        return pixels, draw_objects(photo, view), stuff


def share_odds(stuff: Array, things: Array) -> Array:
    """Draw half of the images for their stuff and half for their things."""
    odds: Array = (stuff / stuff.sum() + things / things.sum()) / 2
    return odds
