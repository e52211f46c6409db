"""The `soften` stage: soft labels, what the stuff teacher and nets at hand think together.

On images that nobody trained on their mean is better than each of them: mean IoU 0.396 where the
teacher alone has 0.374 and the better net 0.360 (choosing set, 60 images). A net that learns from
it learns from the others' mistakes (Hinton et al., Distilling the Knowledge in a Neural Network,
2015).
"""

from pathlib import Path

import cv2
import numpy as np
import segmentation_models_pytorch as smp
import torch
from tiny_training.loop import autocast, normalise
from tiny_training.photos import SOFT_FILE, Array, Photo, read_image
from tiny_training.semantic import CLASSES, UNKNOWN_TO_TEACHER
from tiny_training.targets import to_tensor
from tiny_training.teachers import CLASS_SETS, MOSAIC_CELLS, StuffLabels
from torch.nn import functional

from fuse.models.weights import tiny

TEACHER_SHARE = 0.6
UNKNOWN_RAISE = 3.0  # logits: the nets learnt from a teacher that never names these classes


def write_soft_labels(nets: list[smp.FPN], photos: list[Photo], root: Path, work: Path) -> None:
    """Write SOFT_FILE, a row for each of the teacher's; an unfinished file is gone on with."""
    labels = StuffLabels(root, work)
    shape = (len(labels.answers), MOSAIC_CELLS, MOSAIC_CELLS, CLASSES)
    part = work / f"part-{SOFT_FILE}"
    mode = "r+" if part.exists() else "w+"
    soft = np.lib.format.open_memmap(part, mode, np.uint8, shape)
    taught = [photo for photo in photos if photo.teacher_row is not None]
    for number, photo in enumerate(taught, 1):
        row = photo.teacher_row
        if soft[row].any():  # of the run that was cut off
            continue
        probs = predict_probs(nets, read_image(root / photo.file_name))
        answer = labels.answers[row].astype(np.float32) / 255
        sets = answer @ labels.beliefs.tabulate(answer.mean((0, 1)))
        soft[row] = (255 * blend(probs, sets.transpose(2, 0, 1))).round().transpose(1, 2, 0)
        if number % 100 == 0:
            print(f"soft labels: {number} of {len(taught)} images", flush=True)
    soft.flush()
    part.replace(work / SOFT_FILE)


@torch.inference_mode()
def predict_probs(nets: list[smp.FPN], image: Array) -> Array:
    """Ask nets about an image and its mirror image: mean probabilities (CLASSES, cells, cells)."""
    scale = tiny.SEMANTIC_MIN_SIZE / min(image.shape[:2])
    height, width = (round(side * scale / 32) * 32 for side in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    pixels = normalise(to_tensor(small)[None])
    total = torch.zeros(1, CLASSES, MOSAIC_CELLS, MOSAIC_CELLS)
    for net in nets:
        for flipped in (False, True):
            with autocast(pixels.device):
                batch = pixels.flip(3) if flipped else pixels
                logits = net.segmentation_head[0](net.decoder(net.encoder(batch))).float()
            seen = logits.flip(3) if flipped else logits
            total += functional.interpolate(seen, total.shape[2:], mode="bilinear").softmax(1)
    probs: Array = (total[0] / (2 * len(nets))).numpy()
    return probs


def blend(probs: Array, sets: Array) -> Array:
    """Take the mean of the nets' probabilities and the teacher's.

    Args:
        probs: of the nets, (CLASSES, ...).
        sets: of the teacher, (sets, ...). What it leaves open between classes, or does not say,
            the nets decide.

    Returns:
        (CLASSES, ...), adding up to 1.
    """
    raised = probs.copy()
    raised[list(UNKNOWN_TO_TEACHER)] *= np.exp(UNKNOWN_RAISE)
    raised /= raised.sum(0)
    decided = np.maximum(1 - sets.sum(0), 0) * raised
    for members, said in zip(CLASS_SETS, sets, strict=True):
        chosen = raised[list(members)]
        decided[list(members)] += said * chosen / np.maximum(chosen.sum(0), 1e-6)
    mixed: Array = (1 - TEACHER_SHARE) * raised + TEACHER_SHARE * decided
    return mixed / mixed.sum(0)
