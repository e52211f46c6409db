"""Ask detectron2 0.6 itself what a Panoptic FPN with random weights sees: a reference for tests.

The tests make the same weights and images and hold `fuse.models.panoptic_fpn` to the answers in
`tests/reference/detectron2_answers.npz`, which this script writes. It is only needed when torch
draws other random numbers. detectron2 is on PyPI as the source of a copy, whose Python runs
without its compiled part: a Panoptic FPN takes RoIAlign and NMS from torchvision.

    pip install yacs fvcore iopath omegaconf hydra-core tabulate cloudpickle termcolor
    pip download --no-deps --no-build-isolation --no-binary :all: pb1-detectron2==0.6
    tar xf pb1-detectron2-0.6.tar.gz
    python scripts/ask_detectron2.py pb1-detectron2-0.6
"""

from __future__ import annotations

import argparse
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch

ROOT = Path(__file__).parents[1]
ANSWERS = ROOT / "tests/reference/detectron2_answers.npz"
CONFIG = "detectron2/model_zoo/configs/COCO-PanopticSegmentation/panoptic_fpn_R_50_3x.yaml"
STUFF_AREA = 100  # pixels; the images are small
IMAGES = 2


def build_net(source: Path, state: dict[str, torch.Tensor]) -> Any:  # noqa: ANN401 - detectron2 has no types
    """detectron2's own net with these weights."""
    sys.path.insert(0, str(source))
    PIL.Image.LINEAR = PIL.Image.BILINEAR  # type: ignore[attr-defined]  # its name before Pillow 10
    import detectron2

    detectron2._C = sys.modules["detectron2._C"] = types.ModuleType("detectron2._C")
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model

    config = get_cfg()
    config.merge_from_file(str(source / CONFIG))
    config.MODEL.DEVICE, config.MODEL.WEIGHTS = "cpu", ""
    config.MODEL.PANOPTIC_FPN.COMBINE.STUFF_AREA_LIMIT = STUFF_AREA
    net = build_model(config).eval()
    net.load_state_dict(state)
    return net


def ask(net: Any, image: np.ndarray[Any, Any], shortest: int, longest: int) -> dict[str, Any]:  # noqa: ANN401 - as above
    """What the net says of an RGB image, read as its predictor reads one."""
    from detectron2.data.transforms import ResizeShortestEdge

    bgr = image[:, :, ::-1]
    resize = ResizeShortestEdge([shortest, shortest], longest).get_transform(bgr)
    pixels = torch.as_tensor(resize.apply_image(bgr).astype("float32").transpose(2, 0, 1).copy())
    with torch.inference_mode():
        (found,) = net([{"image": pixels, "height": image.shape[0], "width": image.shape[1]}])
    things = found["instances"]
    panoptic, segments = found["panoptic_seg"]
    rows = [(s["id"], s["isthing"], s["category_id"]) for s in segments]
    return {
        "labels": found["sem_seg"].argmax(0).numpy().astype(np.uint8),
        "boxes": things.pred_boxes.tensor.numpy(),
        "scores": things.scores.numpy(),
        "classes": things.pred_classes.numpy(),
        "masks": np.packbits(things.pred_masks.numpy(), axis=-1),
        "panoptic": panoptic.numpy().astype(np.uint8),
        "segments": np.array(rows, dtype=np.int64).T,
    }


def main() -> None:
    """Write the answers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path, help="folder of detectron2's source")
    source = parser.parse_args().source
    sys.path.insert(0, str(ROOT / "tests"))
    from panoptic_fpn_weights import SIZES, make_images, make_state

    images = make_images()
    state = make_state(images)
    net = build_net(source, state)
    answers = {"weights": np.float64(sum(t.double().abs().sum() for t in state.values()))}
    for place, image in enumerate(images[:IMAGES]):
        answer = ask(net, image.pixels, SIZES["min_size"], SIZES["max_size"])
        answers |= {f"{name}{place}": array for name, array in answer.items()}
    np.savez_compressed(ANSWERS, **answers)
    print(f"{ANSWERS.relative_to(ROOT)}: {ANSWERS.stat().st_size} bytes")


if __name__ == "__main__":
    main()
