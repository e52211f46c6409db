"""PQ and Boundary PQ of maps, and the run lengths of exports, ours and those of others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from benchmarks.pairs import make_pairs
from benchmarks.scenes import SPACE, Scene
from pycocotools import mask as coco_mask

from fuse.metrics.boundary import match_boundaries
from fuse.metrics.quality import PanopticQuality
from fuse.ops.segment_rles import encode_segments
from fuse.results.result import PanopticResult
from fuse.types import PanopticPrediction

Packed = tuple[dict[int, np.ndarray[Any, Any]], bytes]
SLOW_PAIRS = 2  # that torchmetrics gets
Works = Iterator[tuple[str, dict[str, list[Callable[[], object]]]]]


def list_works(images: list[Scene]) -> Works:
    """Each work, and by name what does it: a task per pair or image."""
    pairs = [(truth.fused, found.fused) for truth, found in make_pairs(images)[::5]]
    metric = PanopticQuality(space=SPACE)
    contenders: dict[str, list[Callable[[], object]]] = {
        "fuse": [partial(metric.update, pred, truth) for truth, pred in pairs]
    }
    if find_spec("vernier"):
        contenders["vernier"] = [ask_vernier_whole(*pair) for pair in pairs]
        contenders["vernier, arrays read before"] = [
            ask_vernier(*pair, boundary=False) for pair in pairs
        ]
    if find_spec("torchmetrics"):
        contenders["torchmetrics"] = [ask_torchmetrics(*pair) for pair in pairs[:SLOW_PAIRS]]
    yield "PQ of maps in memory", contenders
    contenders = {"fuse": [partial(match_boundaries, *pair) for pair in pairs]}
    if find_spec("vernier"):
        contenders["vernier"] = [ask_vernier(*pair, boundary=True) for pair in pairs]
    yield "Boundary PQ of maps in memory", contenders
    maps = [scene.fused for scene in images]
    yield (
        "RLE of all segments",
        {
            "fuse": [partial(encode, one) for one in maps],
            "pycocotools encode": [partial(encode_one_by_one, one) for one in maps],
        },
    )


def ask_torchmetrics(truth: PanopticPrediction, pred: PanopticPrediction) -> Callable[[], object]:
    """A task of torchmetrics, its tensors made beforehand."""
    from torchmetrics.detection import PanopticQuality as TheirPanopticQuality

    metric = TheirPanopticQuality(
        set(SPACE.thing_ids), set(SPACE.stuff_ids), allow_unknown_preds_category=True
    )
    pair = (PanopticResult.from_prediction(one, SPACE).to_torch()[None] for one in (pred, truth))
    return partial(metric.update, *pair)


def ask_vernier(
    truth: PanopticPrediction, pred: PanopticPrediction, *, boundary: bool
) -> Callable[[], object]:
    """A task of vernier, in strict mode on one thread, its arrays read beforehand."""
    return partial(evaluate_vernier, *read_vernier(pack(truth), pack(pred)), boundary=boundary)


def ask_vernier_whole(truth: PanopticPrediction, pred: PanopticPrediction) -> Callable[[], object]:
    """A task of vernier from arrays to PQ, as `PanopticQuality.update` has it."""
    packed = pack(truth), pack(pred)
    return lambda: evaluate_vernier(*read_vernier(*packed), boundary=False)


def read_vernier(truth: Packed, pred: Packed) -> tuple[Any, Any]:
    """What vernier scores."""
    from vernier import panoptic

    categories = [
        {"id": c.category_id, "name": c.name, "isthing": int(c.isthing)} for c in SPACE.categories
    ]
    dataset = panoptic.Dataset.from_arrays(*truth, json.dumps(categories).encode())
    return dataset, panoptic.Predictions.from_arrays(*pred)


def evaluate_vernier(dataset: Any, predictions: Any, *, boundary: bool) -> object:  # noqa: ANN401
    """Its score."""
    from vernier import panoptic

    scorer = panoptic.Evaluator(parity_mode="strict", boundary=boundary, things_stuff_split=False)
    return scorer.evaluate(dataset, predictions, num_threads=1)


def pack(image: PanopticPrediction) -> Packed:
    """A map and its segments; vernier 0.5.4 wants its pixels column by column (see the tests)."""
    pixels = image.panoptic_map.T.reshape(image.size).astype(np.uint32)
    segments = [
        {
            "id": s.segment_id,
            "category_id": s.category_id,
            "area": s.area,
            "iscrowd": int(s.iscrowd),
            "bbox": list(s.bbox),
        }
        for s in image.segments_info
    ]
    return {1: pixels}, json.dumps({1: segments}).encode()


def encode(image: PanopticPrediction) -> list[bytes]:
    """All segments in one pass."""
    ids = np.array([s.segment_id for s in image.segments_info], dtype=np.int32)
    return encode_segments(image.panoptic_map, ids)


def encode_one_by_one(image: PanopticPrediction) -> list[bytes]:
    """A mask per segment, as scripts do it."""
    return [
        coco_mask.encode(np.asfortranarray(image.panoptic_map == s.segment_id, dtype=np.uint8))[
            "counts"
        ]
        for s in image.segments_info
    ]
