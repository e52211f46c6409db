"""RF-DETR-Seg through Roboflow's own package (Apache-2.0; pip install rfdetr), things only."""

import hashlib
from pathlib import Path

from fuse import Instances, load_space


class RfDetr:
    """As variant one of the package's classes, weights a checkpoint that it trained."""

    def __init__(
        self, device, *, variant="RFDETRSegMedium", weights=None, label_space="coco_things"
    ):
        import rfdetr

        options = {} if weights is None else {"pretrain_weights": weights}
        self._net = getattr(rfdetr, variant)(device=device, **options)
        self.label_space = load_space(label_space)
        # Where it does not name its classes, they are COCO's category ids.
        self._names = {c.category_id: c.name for c in self.label_space.categories}
        content = Path(weights).read_bytes() if weights else variant.encode()
        self.weights_hash = hashlib.sha256(content).hexdigest()

    def predict(self, images, *, score_threshold):
        found = [self._net.predict(i.pixels, threshold=score_threshold) for i in images]
        return [self._read(i.size, one) for i, one in zip(images, found, strict=True)]

    def _read(self, size, detections):
        names = None if "class_name" in detections.data else self._names
        return Instances.from_supervision(detections, self.label_space, names, size=size)
