"""The plug-in for Roboflow's package, with objects of its shape; the package is not installed."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from fuse import NamedImage
from fuse.models.output_checks import predict_instances
from fuse.models.registry import create_instance_model

FILE = Path(__file__).parents[2] / "examples" / "plugins" / "rfdetr_nets.py"


def detect(pixels, threshold, data):
    """supervision's Detections: masks bool (N, H, W), here of a dog and a person."""
    masks = np.zeros((2, *pixels.shape[:2]), dtype=bool)
    masks[0, 5:20, 10:30] = masks[1, 15:35, 25:50] = True
    scores = np.array([0.9, 0.2], dtype=np.float32)
    kept = scores >= threshold
    return SimpleNamespace(
        xyxy=np.array([[10, 5, 30, 20], [25, 15, 50, 35]], dtype=np.float32)[kept],
        mask=masks[kept] if kept.any() else None,
        confidence=scores[kept],
        class_id=np.array([18, 1])[kept],
        data={name: np.array(names)[kept] for name, names in data.items()},
    )


@pytest.mark.parametrize("data", [{}, {"class_name": ["dog", "person"]}], ids=["ids", "names"])
def test_what_it_detects_is_instances(monkeypatch, data):
    module = ModuleType("rfdetr")
    made = []

    class RFDETRSegMedium:
        def __init__(self, **options):
            made.append(options)

        def predict(self, pixels, *, threshold):
            return detect(pixels, threshold, data)

    module.RFDETRSegMedium = RFDETRSegMedium
    monkeypatch.setitem(sys.modules, "rfdetr", module)
    model = create_instance_model(f"{FILE}:RfDetr", "cpu", {})
    assert made == [{"device": "cpu"}]
    image = NamedImage(np.zeros((40, 60, 3), dtype=np.uint8))
    (found,) = predict_instances("rfdetr", model, [image], 0.1)
    assert found.category_ids.tolist() == [18, 1]
    assert found.boxes.tolist() == [[10, 5, 30, 20], [25, 15, 50, 35]]
    (one,) = predict_instances("rfdetr", model, [image], 0.5)
    assert one.category_ids.tolist() == [18]
    (none,) = predict_instances("rfdetr", model, [image], 0.95)
    assert len(none) == 0
