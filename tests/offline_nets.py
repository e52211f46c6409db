"""Stand-ins for what the recipes would fetch: random weights, and libraries that are not installed.

`install` makes them part of the process that runs a recipe. The nets of torchvision, transformers
and segmentation-models-pytorch are their own; of ultralytics, SAM and detectron2 the answers
have the shapes of theirs.
"""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import torch

NAMES = ("person", "bicycle", "car", "chair")
STREET = ("road", "sidewalk", "building", "sky", "person", "car")


def install(folder: Path) -> None:
    """Make the stand-ins, with an image and weights in the folder."""
    from PIL import Image

    examples = Path(__file__).parents[1] / "examples" / "images"
    with Image.open(examples / "china.jpg") as image:
        image.reduce(2).save(folder / "street.jpg")
    for name, members in (
        ("ultralytics", {"YOLO": Yolo}),
        (
            "segment_anything",
            {
                "SamAutomaticMaskGenerator": MaskGenerator,
                "sam_model_registry": {"vit_b": lambda checkpoint: None},
            },
        ),
        ("detectron2", {}),
        ("detectron2.data", {"MetadataCatalog": SimpleNamespace(get=lambda name: METADATA)}),
        ("detectron2.engine", {"DefaultPredictor": lambda config: predict_detectron2}),
        ("my_nets", {"config": None, "label_map": make_label_map}),
    ):
        module = ModuleType(name)
        vars(module).update(members)
        sys.modules[name] = module


METADATA = SimpleNamespace(thing_classes=list(NAMES))


def make_masks(size):
    """Two boxes: bool tensor (2, H, W)."""
    masks = torch.zeros(2, *size, dtype=torch.bool)
    masks[0, size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = True
    masks[1, size[0] // 2 :, size[1] // 2 :] = True
    return masks


def make_label_map(image):
    return np.full(image.shape[:2], 187)  # sky-other-merged


class Yolo:
    """Answers as a model of ultralytics, which letterboxes to a side of 640."""

    def __init__(self, weights):
        self.is_semantic = "-sem" in weights

    def __call__(self, path, *, retina_masks=False):
        from PIL import Image

        with Image.open(path) as image:
            size = image.size[::-1]
        if self.is_semantic:
            classes = torch.arange(size[0])[:, None].expand(size) * len(STREET) // size[0]
            mask = SimpleNamespace(data=classes)
            return [
                SimpleNamespace(
                    semantic_mask=mask,
                    boxes=None,
                    masks=None,
                    orig_shape=size,
                    names=dict(enumerate(STREET)),
                )
            ]
        boxes = Boxes(cls=torch.tensor([0.0, 3.0]), conf=torch.tensor([0.9, 0.8]))
        masks = SimpleNamespace(data=make_masks(size).float())
        assert retina_masks
        return [
            SimpleNamespace(boxes=boxes, masks=masks, orig_shape=size, names=dict(enumerate(NAMES)))
        ]


class Boxes(SimpleNamespace):
    def __len__(self):
        return len(self.cls)


class MaskGenerator:
    """Answers as SAM's."""

    def __init__(self, model):
        pass

    def generate(self, image):
        masks = make_masks(image.shape[:2]).numpy()
        return [
            {"segmentation": mask, "area": int(mask.sum()), "predicted_iou": 1.01 - 0.1 * n}
            for n, mask in enumerate(masks)
        ]


def predict_detectron2(image):
    """Answers as a DefaultPredictor."""
    size = image.shape[:2]
    found = SimpleNamespace(
        image_size=size,
        pred_masks=make_masks(size),
        pred_classes=torch.tensor([0, 2]),
        scores=torch.tensor([0.9, 0.8]),
    )
    return {"instances": found}


def _tiny_mask2former():
    """A Mask2Former of COCO's classes that is small enough to be made on the spot."""
    from transformers import Mask2FormerConfig, SwinConfig

    from fuse import load_space

    names = [category.name for category in load_space("coco_panoptic").categories]
    swin = SwinConfig(
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    return Mask2FormerConfig(
        backbone_config=swin,
        hidden_dim=32,
        feature_size=32,
        mask_feature_size=32,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=10,
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
    )


def install_published(folder: Path) -> None:
    """Random weights where torchvision's, transformers' and the reader's own would be read."""
    import segmentation_models_pytorch as smp
    from torchvision.models._api import WeightsEnum
    from torchvision.models.detection import maskrcnn_resnet50_fpn_v2
    from transformers import (
        AutoImageProcessor,
        Mask2FormerForUniversalSegmentation,
        Mask2FormerImageProcessor,
    )

    torch.manual_seed(0)
    smp.Unet("resnet18", encoder_weights=None, classes=133).save_pretrained(folder / "my/coco-net")

    def make_mask_rcnn(weights: WeightsEnum, **_: object) -> dict[str, torch.Tensor]:
        return maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None).state_dict()

    WeightsEnum.get_state_dict = make_mask_rcnn
    processor = Mask2FormerImageProcessor(size={"height": 64, "width": 96})
    AutoImageProcessor.from_pretrained = staticmethod(lambda name: processor)
    Mask2FormerForUniversalSegmentation.from_pretrained = staticmethod(
        lambda name: Mask2FormerForUniversalSegmentation(_tiny_mask2former())
    )
