"""The `instance` stage: trains the Mask R-CNN on people's labels and on the teacher's."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from tiny_training.augment import draw_view, jitter_colour
from tiny_training.evaluate import measure_ap
from tiny_training.imitation import Imitation, Sights, open_teacher
from tiny_training.loop import (
    Training,
    autocast,
    find_device,
    freeze_early_blocks,
    group_parameters,
    normalise,
    speed_up_depthwise,
)
from tiny_training.photos import SURE, Photo, read_image
from tiny_training.targets import Target, draw_objects, to_tensor
from torch import Tensor
from torch.nn import functional
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import project_masks_on_boxes
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops import box_iou

CLASSES = 13
SIDE = 320
SHORT_SIDES = (200, 420)
BATCH = 4
PEAK_LR = 3e-4
WEIGHT_DECAY = 0.03
ROIS_PER_PHOTO = 80
POSITIVE_SHARE = 0.34
MASKS_PER_PHOTO = 10
DRAWN_SHARE = 0.45  # of the photos drawn, those whose masks are a person's
RARE_PHOTO_SHARE = 0.12  # classes on fewer photos than this are drawn more often
EVALUATE_SECONDS = 900.0


class Regions(Protocol):
    """What proposes regions and what judges them, as torchvision's `MaskRCNN` has them."""

    rpn: Any
    roi_heads: Any


def train_instance(
    net: MaskRCNN, photos: list[Photo], root: Path, work: Path, minutes: float, seed: int = 0
) -> None:
    """Train for `minutes` in all, counting earlier runs of the same `work` folder."""
    torch.manual_seed(seed)
    device = find_device(net)
    net.train().to(memory_format=torch.channels_last)
    net.rpn._pre_nms_top_n["training"] = 600
    net.rpn._post_nms_top_n["training"] = 300
    freeze_early_blocks(net.backbone.stages)
    net.add_module("imitation", Imitation().to(device))
    teacher = open_teacher(root)
    optimizer = torch.optim.AdamW(group_parameters(net, net.backbone.stages, PEAK_LR, WEIGHT_DECAY))
    training = Training(net, optimizer, work / "instance.pt", minutes)
    speed_up_depthwise(net)
    held_out = [photo for photo in photos if photo.held_out]
    photos = [photo for photo in photos if not photo.held_out]
    weights = weigh_photos(photos)
    cv2.setNumThreads(1)  # each of the threads draws a view of its own
    pool, draw = ThreadPoolExecutor(torch.get_num_threads()), partial(make_sample, root=root)
    last_evaluation = training.elapsed
    for step in training.steps():
        rng = np.random.default_rng([seed, step])
        drawn = rng.choice(len(photos), BATCH, p=weights)
        samples = list(pool.map(draw, [photos[index] for index in drawn], rng.spawn(BATCH)))
        images = torch.stack([sample[0] for sample in samples])
        targets = [move(sample[1], device) for sample in samples]
        sights = teacher(images) if teacher else None
        training.update(compute_losses(net, images.to(device), targets, sights))
        if training.elapsed - last_evaluation > EVALUATE_SECONDS:
            last_evaluation = training.elapsed
            training.record(measure_ap(training.averaged, held_out, root))
    training.record(measure_ap(training.averaged, held_out, root))


def weigh_photos(photos: list[Photo]) -> np.ndarray:
    """Probability of each photo: fully drawn ones and those with rare classes come more often."""
    holds = np.zeros((len(photos), CLASSES))
    for row, photo in enumerate(photos):
        for labelled in photo.objects:
            if labelled.confidence >= SURE:
                holds[row, labelled.category_id] = 1
    frequency = np.maximum(holds.mean(0), 1e-6)
    repeats = np.maximum(1, np.sqrt(RARE_PHOTO_SHARE / frequency))
    weights = np.maximum((holds * repeats).max(1), 0.5)
    drawn = np.array(
        [photo.complete and all(o.true_mask for o in photo.objects) for photo in photos]
    )
    weights[drawn] *= DRAWN_SHARE / max(weights[drawn].sum(), 1e-9)
    weights[~drawn] *= (1 - DRAWN_SHARE) / max(weights[~drawn].sum(), 1e-9)
    return weights / weights.sum()


def make_sample(photo: Photo, rng: np.random.Generator, root: Path) -> tuple[Tensor, Target]:
    """Draw a view of a photo: pixels (3, SIDE, SIDE) in 0..1 and the objects seen in it."""
    image = read_image(root / photo.file_name)
    view = draw_view(rng, photo.height, photo.width, SIDE, SHORT_SIDES)
    pixels = jitter_colour(rng, view.warp_image(image))
    return to_tensor(pixels), draw_objects(photo, view)


def move(target: Target, device: torch.device) -> Target:
    """The tensors of a target on a device."""
    return {name: tensor.to(device) for name, tensor in target.items()}


def compute_losses(
    net: MaskRCNN, images: Tensor, targets: list[Target], sights: Sights | None
) -> dict[str, Tensor]:
    """Run the net on canvases (N, 3, SIDE, SIDE), compare it with the targets and the teacher."""
    batch = normalise(images)
    with autocast(images.device):
        features = net.backbone(batch)
        objectness, deltas = net.rpn.head(list(features.values()))
    features = {name: level.float().contiguous() for name, level in features.items()}
    losses = compare_objects(net, batch, features, (objectness, deltas), targets)
    return losses | (net.imitation.compare(features, sights) if sights else {})


def compare_objects(
    net: Regions,
    batch: Tensor,
    features: dict[str, Tensor],
    answers: tuple[list[Tensor], list[Tensor]],
    targets: list[Target],
) -> dict[str, Tensor]:
    """Compute the losses of boxes, classes and masks.

    Args:
        net: its `rpn` and `roi_heads` are used.
        batch: (N, 3, H, W).
        features: float32 levels of the pyramid by name.
        answers: objectness and deltas per level, of the region proposal net's head.
        targets: of each image.
    """
    sizes = [(int(batch.shape[2]), int(batch.shape[3]))] * len(batch)
    proposals, losses = propose(net, ImageList(batch, sizes), features, *answers, targets)
    return losses | compare_rois(net, features, proposals, targets, sizes)


def propose(
    net: Regions,
    images: ImageList,
    features: dict[str, Tensor],
    objectness: list[Tensor],
    deltas: list[Tensor],
    targets: list[Target],
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Make the proposals and the losses of the region proposal net.

    Anchors on unsure objects count neither as object nor as background.
    """
    rpn = net.rpn
    anchors = rpn.anchor_generator(images, list(features.values()))
    per_level = [level[0].numel() for level in objectness]
    objectness, deltas = concat_box_prediction_layers(
        [level.float() for level in objectness], [level.float() for level in deltas]
    )
    decoded = rpn.box_coder.decode(deltas.detach(), anchors).view(len(anchors), -1, 4)
    proposals, _ = rpn.filter_proposals(decoded, objectness.detach(), images.image_sizes, per_level)
    sure = [{"boxes": t["boxes"][t["confidence"] >= SURE]} for t in targets]
    labels, matched = rpn.assign_targets_to_anchors(anchors, sure)
    for label, anchor, target in zip(labels, anchors, targets, strict=True):
        unsure = target["boxes"][target["confidence"] < SURE]
        label[(label == 0) & lies_on(anchor, unsure)] = -1
    encoded = rpn.box_coder.encode(matched, anchors)
    object_loss, box_loss = rpn.compute_loss(objectness, deltas, labels, encoded)
    return proposals, {"object": object_loss, "anchor": box_loss}


def lies_on(boxes: Tensor, regions: Tensor) -> Tensor:
    """Tell which boxes (N, 4) lie with more than half of their area on one of the regions."""
    if not len(regions):
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    top_left = torch.maximum(boxes[:, None, :2], regions[None, :, :2])
    bottom_right = torch.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    shared = (bottom_right - top_left).clamp(min=0).prod(-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1).clamp(min=1e-6)
    return (shared / areas[:, None] > 0.5).any(1)


def compare_rois(
    net: Regions,
    features: dict[str, Tensor],
    proposals: list[Tensor],
    targets: list[Target],
    sizes: list[tuple[int, int]],
) -> dict[str, Tensor]:
    """Compute the class, box and mask losses on sampled regions.

    A region on a pseudo-label is asked to answer its class with the label's precision and the
    background with the rest.
    """
    heads = net.roi_heads
    sampled = [sample_regions(p, t) for p, t in zip(proposals, targets, strict=True)]
    regions = [sample[0] for sample in sampled]
    with autocast(regions[0].device):
        pooled = heads.box_roi_pool(features, regions, sizes)
        scores, box_deltas = heads.box_predictor(heads.box_head(pooled))
    scores, box_deltas = scores.float(), box_deltas.float()
    soft = torch.zeros_like(scores)
    row, kept, goals, labels = 0, [], [], []
    for (region, match), target in zip(sampled, targets, strict=True):
        positive = (match >= 0).nonzero()[:, 0]
        found = match[positive]
        confidence = target["confidence"][found]
        soft[row + positive, target["labels"][found]] = confidence
        sure = confidence >= SURE
        positive, found = positive[sure], found[sure]
        kept.append(row + positive)
        labels.append(target["labels"][found])
        goals.append(heads.box_coder.encode([target["boxes"][found]], [region[positive]])[0])
        row += len(region)
    soft[:, 0] = 1 - soft.sum(1)
    rows, classes = torch.cat(kept), torch.cat(labels)
    box_deltas = box_deltas.view(len(scores), CLASSES, 4)[rows, classes]
    box_loss = functional.smooth_l1_loss(box_deltas, torch.cat(goals), beta=1 / 9, reduction="sum")
    return {
        "class": functional.cross_entropy(scores, soft),
        "box": box_loss / max(len(scores), 1),
        "mask": compare_masks(heads, features, sampled, targets, sizes) + scores.sum() * 0.0,
    }


def compare_masks(
    heads: Any,  # noqa: ANN401 - see `Regions`
    features: dict[str, Tensor],
    sampled: list[tuple[Tensor, Tensor]],
    targets: list[Target],
    sizes: list[tuple[int, int]],
) -> Tensor:
    """Compute the mask loss on some regions whose objects people drew; 0 where there are none.

    Pseudo-masks inside true boxes teach nothing that their net does not know (Hu et al.,
    Learning to segment every thing, CVPR 2018: masks are learnt where masks are known).
    """
    regions, goals = [], []
    for (region, match), target in zip(sampled, targets, strict=True):
        rows = (match >= 0).nonzero()[:, 0]
        found = match[rows]
        rows = rows[(target["confidence"][found] >= SURE) & target["drawn"][found]]
        rows = rows[torch.randperm(len(rows), device=rows.device)[:MASKS_PER_PHOTO]]
        regions.append(region[rows])
        goals.append(
            project_masks_on_boxes(target["masks"].float(), region[rows], match[rows], 28)
            if len(rows)
            else region.new_zeros(0, 28, 28)
        )
    if not any(len(region) for region in regions):
        return torch.zeros((), device=regions[0].device)
    with autocast(regions[0].device):
        pooled = heads.mask_roi_pool(features, regions, sizes)
        logits = heads.mask_predictor(heads.mask_head(pooled))[:, 0]
    return functional.binary_cross_entropy_with_logits(logits.float(), torch.cat(goals))


def sample_regions(proposals: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """Sample regions of one photo; answers boxes (N, 4) and the object of each, -1 = background."""
    known = target["confidence"] > 0
    index_of_known = known.nonzero()[:, 0]
    boxes = target["boxes"][known]
    sure = target["confidence"][known] >= SURE
    proposals = torch.cat([proposals, boxes[sure]])
    if len(boxes):
        overlap, match = box_iou(proposals, boxes).max(1)
        match = torch.where(overlap >= 0.5, index_of_known[match], -1)
    else:
        match = torch.full((len(proposals),), -1, device=proposals.device)
    ignored = (match < 0) & lies_on(proposals, target["boxes"][~known])
    positive = (match >= 0).nonzero()[:, 0]
    negative = ((match < 0) & ~ignored).nonzero()[:, 0]
    wanted = int(ROIS_PER_PHOTO * POSITIVE_SHARE)
    positive = positive[torch.randperm(len(positive), device=positive.device)[:wanted]]
    negative = negative[
        torch.randperm(len(negative), device=negative.device)[: ROIS_PER_PHOTO - len(positive)]
    ]
    chosen = torch.cat([positive, negative])
    return proposals[chosen], match[chosen]
