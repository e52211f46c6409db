"""Ultralytics' nets (AGPL-3.0; pip install ultralytics): -sem for stuff, -seg for things."""

import hashlib
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from fuse import Instances, RleMasks, SemanticPrediction, load_space


class _Net:
    # A net whose classes are found in the label space by their names.
    def __init__(self, device, weights, label_space, **options):
        from ultralytics import YOLO

        self._net = YOLO(weights)
        self._options = {"device": device, "verbose": False, **options}
        self.label_space = load_space(label_space)
        self.weights_hash = hashlib.sha256(Path(self._net.ckpt_path).read_bytes()).hexdigest()
        known = {name.lower(): c.category_id for name, c in self.label_space.by_name.items()}
        self._ids = np.zeros(256, dtype=np.int32)  # by class; 255 is theirs for no class
        for index, name in self._net.names.items():
            if name.lower() not in known:
                raise ValueError(f"{weights}: its class {name!r} is not in {label_space}")
            self._ids[index] = known[name.lower()]

    def _ask(self, images, **options):
        pixels = [np.ascontiguousarray(image.pixels[:, :, ::-1]) for image in images]  # BGR
        return [self._net.predict(one, **self._options, **options)[0] for one in pixels]


class UltralyticsSemantic(_Net):
    def __init__(self, device, *, weights, label_space="cityscapes", imgsz=1024):
        super().__init__(device, weights, label_space, imgsz=imgsz)
        self.category_ids = np.unique(self._ids)

    def predict(self, images):
        answers = self._ask(images)
        return [SemanticPrediction(self._ids[a.semantic_mask.data.cpu().numpy()]) for a in answers]


class UltralyticsInstances(_Net):
    def __init__(self, device, *, weights, label_space="coco_things", imgsz=640):
        super().__init__(device, weights, label_space, imgsz=imgsz, retina_masks=True)

    def predict(self, images, *, score_threshold):
        answers = self._ask(images, conf=max(score_threshold, 0.01))
        return [self._read(i.size, answer) for i, answer in zip(images, answers, strict=True)]

    def _read(self, size, answer):
        masks = () if answer.masks is None else answer.masks.data  # (N, H, W)
        rles = [coco_mask.encode(np.asfortranarray(m.cpu().numpy() > 0.5, np.uint8)) for m in masks]
        boxes = answer.boxes.cpu().numpy()
        xyxy, scores = boxes.xyxy.reshape(-1, 4).astype(np.float32), boxes.conf.astype(np.float64)
        ids = self._ids[boxes.cls.astype(int)]
        return Instances(xyxy, scores, ids, RleMasks(tuple(rles)), size)
