"""The `semantic` stage: trains the Semantic FPN on panoptic truth and on the teacher's sets."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from tiny_training.augment import View, draw_view, jitter_colour, paste_windows
from tiny_training.evaluate import measure_iou
from tiny_training.loop import (
    Training,
    autocast,
    find_device,
    freeze_early_blocks,
    group_parameters,
    normalise,
    speed_up_depthwise,
)
from tiny_training.photos import Array, Photo, read_image, read_label_map
from tiny_training.targets import VOID, draw_classes, draw_sets, to_class_index, to_tensor
from tiny_training.teachers import CLASS_SETS, MOSAIC_CLASSES, StuffLabels
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 16
SIDE = 352
SHORT_SIDES = (256, 540)
LARGEST_TURN = 8.0  # degrees
COLOUR_STRENGTH = 1.4
PASTED_SHARE = 0.4  # of the views; the others keep the scene whole, which tells floor from ground
BATCH = 8
TRUTH_PER_BATCH = 4
IMITATION_WEIGHT = 0.5
TRUTH_WEIGHT = 0.7
UNKNOWN_TO_TEACHER = (3, 7, 9)  # class_index: raw-material, food-stuff, structural
UNKNOWN_WEIGHT = 0.1  # of these beside the teacher's answers; soft labels have them
SOFT_TRUTH_WEIGHT = 0.35
PEAK_LR = 4e-4
WEIGHT_DECAY = 0.03
EVALUATE_SECONDS = 900.0
# Rare classes weigh more: (share of pixels) ** -0.25, at most 2.5 times the mean.
RARITY_EXPONENT = 0.25
MAX_CLASS_WEIGHT = 2.5
# Photos with a teacher are repeated by (COMMON / share of photos with the class) ** 0.5.
PRESENT_SHARE = 0.02  # of a photo from which on a class counts as there
COMMON, RAREST = 0.3, 0.01


def train_semantic(
    net: nn.Module, photos: list[Photo], root: Path, work: Path, minutes: float, seed: int = 0
) -> None:
    """Train for `minutes` in all, counting earlier runs of the same `work` folder."""
    torch.manual_seed(seed)
    device = find_device(net)
    net.train().to(memory_format=torch.channels_last)
    freeze_early_blocks(net.encoder.model)
    imitation = nn.Conv2d(net.segmentation_head[0].in_channels, MOSAIC_CLASSES, 1)
    net.add_module("imitation", imitation.to(device))
    optimizer = torch.optim.AdamW(group_parameters(net, net.encoder, PEAK_LR, WEIGHT_DECAY))
    training = Training(net, optimizer, work / "semantic.pt", minutes)
    speed_up_depthwise(net)
    held_out = [photo for photo in photos if photo.held_out and photo.panoptic]
    sampler = Sampler([photo for photo in photos if not photo.held_out], root, work)
    last_evaluation = training.elapsed
    for step in training.steps():
        drawn = sampler.draw(np.random.default_rng([seed, step]))
        images, classes, taught = (tensor.to(device) for tensor in drawn)
        logits, own = predict_both(net, normalise(images))
        training.update(sampler.losses.compare(logits, own, classes, taught))
        if training.elapsed - last_evaluation > EVALUATE_SECONDS:
            last_evaluation = training.elapsed
            training.record(measure_iou(training.averaged, held_out, root))
    training.record(measure_iou(training.averaged, held_out, root))


@dataclass(frozen=True)
class StuffLosses:
    """The losses of a semantic head, weighed.

    Attributes:
        class_weights: (CLASSES,) of the truth's pixels.
        truth: weight of the truth's loss.
        unknown: see `compare_sets`.
    """

    class_weights: Tensor
    truth: float
    unknown: float

    @classmethod
    def choose(cls, labels: StuffLabels, class_weights: Tensor) -> StuffLosses:
        """Choose the weights by what teaches the images without truth.

        Soft labels know all classes; and what people drew on 280 images, which a net of this size
        learns by heart, counts half beside them.
        """
        if labels.soft is None:
            return cls(class_weights, TRUTH_WEIGHT, UNKNOWN_WEIGHT)
        return cls(class_weights, SOFT_TRUTH_WEIGHT, 1.0)

    def compare(
        self, logits: Tensor, own: Tensor, classes: Tensor, taught: Tensor
    ) -> dict[str, Tensor]:
        """Weigh what a net says of a batch, first of images with truth, by what it should say.

        Args:
            logits: (N, CLASSES, h, w) at stride 4.
            own: what the net thinks the teacher says, (N, MOSAIC_CLASSES, h, w).
            classes: class_index of the first images, see `draw_classes`.
            taught: of the others, see `draw_sets`.
        """
        known = len(classes)
        sets, probs = taught.split([len(CLASS_SETS), MOSAIC_CLASSES], 1)
        class_weights = self.class_weights.to(logits.device)
        truth = compare_truth(logits[:known], classes, class_weights)
        return {
            "truth": self.truth * truth,
            "teacher": compare_sets(logits[known:], sets, self.unknown),
            "imitation": IMITATION_WEIGHT * compare_probs(own[known:], probs),
        }


class Sampler:
    """Draws batches: views of photos with panoptic truth, then of photos with a teacher."""

    def __init__(self, photos: list[Photo], root: Path, work: Path) -> None:
        self.with_truth = [photo for photo in photos if photo.panoptic]
        self.with_teacher = [photo for photo in photos if photo.teacher_row is not None]
        labels = StuffLabels(root, work)
        class_weights, self.truth_odds = weigh_classes(self.with_truth, root)
        self.losses = StuffLosses.choose(labels, class_weights)
        self.teacher_odds = weigh_photos(self.with_teacher, labels)
        self.sample_truth = partial(make_truth_sample, root=root)
        self.sample_taught = partial(make_taught_sample, root=root, labels=labels)
        cv2.setNumThreads(1)  # each of the threads below draws a view of its own
        self.pool = ThreadPoolExecutor(torch.get_num_threads())

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw pixels (BATCH, 3, SIDE, SIDE), and what they should be.

        These are class_index (TRUTH_PER_BATCH, SIDE, SIDE), and of the others what `draw_sets`
        says (N, channels, cells, cells).
        """
        truths, classes = self.draw_views(
            self.sample_truth, self.with_truth, self.truth_odds, TRUTH_PER_BATCH, rng
        )
        others, taught = self.draw_views(
            self.sample_taught, self.with_teacher, self.teacher_odds, BATCH - TRUTH_PER_BATCH, rng
        )
        return torch.cat([truths, others]), classes, taught

    def draw_views(
        self,
        sample: Callable[[Photo, np.random.Generator], tuple[Tensor, Tensor]],
        photos: list[Photo],
        odds: Array,
        count: int,
        rng: np.random.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Draw photos by their odds and a view of each: stacked pixels and targets, mixed."""
        drawn = [photos[index] for index in rng.choice(len(photos), count, p=odds)]
        images, targets = zip(*self.pool.map(sample, drawn, rng.spawn(count)), strict=True)
        return paste_windows(rng, torch.stack(images), torch.stack(targets), PASTED_SHARE)


def weigh_classes(photos: list[Photo], root: Path) -> tuple[Tensor, Array]:
    """Weights of the classes, and probabilities of the photos: rare classes count more."""
    shares = np.zeros((len(photos), CLASSES))
    for row, photo in enumerate(photos):
        classes = to_class_index(read_label_map(photo, root))
        shares[row] = np.bincount(classes[classes != VOID], minlength=CLASSES) / classes.size
    weights = (shares.mean(0) + 1e-4) ** -RARITY_EXPONENT
    weights = np.minimum(weights / weights.mean(), MAX_CLASS_WEIGHT)
    weights[0] = 1.0
    frequency = np.maximum((shares > 0.01).mean(0), 1e-3)
    repeats = np.where(shares > 0.01, frequency**-0.5, 0).max(1)
    return torch.tensor(weights, dtype=torch.float32), repeats / repeats.sum()


def weigh_photos(photos: list[Photo], labels: StuffLabels) -> Array:
    """Probabilities of photos with a teacher: those with rare stuff or complete labels count more.

    Most are of people; the others show what COCO shows.
    """
    shares = np.stack([labels.measure_shares(photo.teacher_row or 0) for photo in photos])
    present = shares[:, 1:] > PRESENT_SHARE
    frequency = np.maximum(present.mean(0), RAREST)
    repeats = np.where(present, (COMMON / frequency) ** 0.5, 0).max(1)
    repeats = np.maximum(repeats, 0.7) * [2.0 if photo.complete else 1.0 for photo in photos]
    probabilities: Array = repeats / repeats.sum()
    return probabilities


def make_truth_sample(photo: Photo, rng: np.random.Generator, root: Path) -> tuple[Tensor, Tensor]:
    """Draw a view of a photo with panoptic truth: pixels and class_index (SIDE, SIDE)."""
    pixels, view = draw_pixels(photo, rng, root)
    return pixels, draw_classes(photo, view, root)


def make_taught_sample(
    photo: Photo, rng: np.random.Generator, root: Path, labels: StuffLabels
) -> tuple[Tensor, Tensor]:
    """Draw a view of a photo with a teacher: pixels, and probabilities (channels, cells, cells)."""
    pixels, view = draw_pixels(photo, rng, root)
    return pixels, draw_sets(photo, view, labels)


def draw_pixels(photo: Photo, rng: np.random.Generator, root: Path) -> tuple[Tensor, View]:
    """Draw a view of a photo: pixels (3, SIDE, SIDE) in 0..1 and the view."""
    view = draw_view(rng, photo.height, photo.width, SIDE, SHORT_SIDES, LARGEST_TURN)
    image = view.warp_image(read_image(root / photo.file_name))
    return to_tensor(jitter_colour(rng, image, COLOUR_STRENGTH)), view


def predict_both(net: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Run the net: its logits at stride 4, and what it thinks the teacher says."""
    with autocast(images.device):
        features = net.decoder(net.encoder(images))
        logits, own = net.segmentation_head[0](features), net.imitation(features)
    return logits.float(), own.float()


def compare_truth(logits: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy with the truth at every second pixel, rare classes weighted."""
    logits = functional.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=False)
    target = classes[:, 1::2, 1::2].clone()
    known = target != VOID
    loss = functional.cross_entropy(
        logits, target, weight=weights, ignore_index=VOID, reduction="sum"
    )
    return loss / weights[target[known]].sum().clamp(min=1.0)


def compare_sets(logits: Tensor, sets: Tensor, unknown_weight: float = 1.0) -> Tensor:
    """Cross-entropy between the teacher's sets and the probability that each set sums up to.

    The teacher never names `UNKNOWN_TO_TEACHER`, so what it says is no evidence against them:
    they count `unknown_weight` in the sum of all probabilities. Else the 3,000 images that it
    labels unlearn what 280 with truth teach.
    """
    offsets = torch.zeros(logits.shape[1], device=logits.device)
    offsets[list(UNKNOWN_TO_TEACHER)] = math.log(unknown_weight)
    log_probs = (logits + offsets.view(1, -1, 1, 1)).log_softmax(1)
    per_set = [
        log_probs[:, list(members)].logsumexp(1) if len(members) > 1 else log_probs[:, members[0]]
        for members in CLASS_SETS
    ]
    return -(sets * torch.stack(per_set, 1)).sum() / sets.sum().clamp(min=1.0)


def compare_probs(logits: Tensor, probs: Tensor) -> Tensor:
    """Cross-entropy with the teacher's own classes, which tell more apart than the sets do.

    Only training has this head. It keeps the features as rich as the teacher's (Hinton et al.,
    Distilling the Knowledge in a Neural Network, 2015).
    """
    return -(probs * logits.log_softmax(1)).sum() / probs.sum().clamp(min=1.0)
