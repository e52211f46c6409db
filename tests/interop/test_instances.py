"""Instances of other libraries' answers: the masks they say, the classes by name."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from factories import TOY_SPACE
from torchvision.models.detection import maskrcnn_resnet50_fpn
from transformers import MaskFormerImageProcessor
from transformers_nets import make_image, make_maskformer

from fuse import Instances, PanopticQuality, SemanticPrediction
from fuse.errors import LabelSpaceError
from fuse.ops.masks import paste_mask
from fuse.types import RleMasks

supervision = pytest.importorskip("supervision")

NAMES = ["cat", "dog", None]


def unpack(instances):
    """bool (N, H, W)."""
    assert isinstance(instances.masks, RleMasks)
    masks = np.zeros((len(instances), *instances.size), dtype=bool)
    for index in range(len(instances)):
        crop, (top, left) = paste_mask(instances, index)
        masks[index, top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return masks


def make_masks(count=3, size=(9, 12)):
    rng = np.random.default_rng(0)
    masks = np.zeros((count, *size), dtype=bool)
    for mask in masks:
        y, x = rng.integers(0, 6, 2)
        mask[y : y + 3, x : x + 4] = True
    return masks


MASKS = make_masks()
SCORES = np.array([0.9, 0.5, 0.25])


def check(instances, masks=MASKS, scores=SCORES, ids=(3, 8, 3)):
    assert np.array_equal(unpack(instances), masks)
    assert instances.scores.tolist() == pytest.approx(list(scores))
    assert instances.category_ids.tolist() == list(ids)
    assert instances.size == masks.shape[1:]
    for box, mask in zip(instances.boxes.tolist(), masks, strict=True):
        y, x = np.nonzero(mask)
        assert box == [x.min(), y.min(), x.max() + 1, y.max() + 1]


@pytest.mark.parametrize(
    "masks",
    [MASKS, list(MASKS), MASKS.astype(np.uint8), torch.from_numpy(MASKS), MASKS.astype(float)],
    ids=["array", "list", "uint8", "tensor", "0.0 and 1.0"],
)
def test_masks_of_every_kind(masks):
    check(Instances.from_masks(masks, torch.from_numpy(SCORES), ["cat", "dog", "cat"], TOY_SPACE))


@pytest.mark.slow
def test_a_mask_rcnn_of_torchvision():
    torch.manual_seed(0)
    net = maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=3, min_size=64, max_size=96
    ).eval()
    net.roi_heads.score_thresh = 0.0
    with torch.inference_mode():
        (output,) = net([torch.rand(3, 60, 90)])
    assert len(output["scores"])
    instances = Instances.from_torchvision(output, TOY_SPACE, ["__background__", "cat", "dog"])
    assert np.array_equal(unpack(instances), output["masks"][:, 0].numpy() > 0.5)
    assert instances.scores.tolist() == pytest.approx(output["scores"].tolist())
    ids = {1: 3, 2: 8}
    assert instances.category_ids.tolist() == [ids[i] for i in output["labels"].tolist()]
    none = {key: value[:0] for key, value in output.items()}
    assert len(Instances.from_torchvision(none, TOY_SPACE, NAMES)) == 0
    assert Instances.from_torchvision(none, TOY_SPACE, NAMES).size == (60, 90)


def test_instances_of_detectron2():
    found = SimpleNamespace(
        image_size=(9, 12),
        pred_masks=torch.from_numpy(MASKS),
        pred_classes=torch.tensor([0, 1, 0]),
        scores=torch.from_numpy(SCORES),
        pred_boxes=SimpleNamespace(tensor=torch.zeros(3, 4)),
    )
    check(Instances.from_detectron2(found, TOY_SPACE, NAMES))
    check(Instances.from_detectron2({"instances": found}, TOY_SPACE, NAMES))
    found.image_size = (9, 13)
    with pytest.raises(ValueError, match=r"pred_masks must be of the image's size \(9, 13\)"):
        Instances.from_detectron2(found, TOY_SPACE, NAMES)


@pytest.mark.parametrize("binary", [False, True])
def test_a_maskformer_of_transformers(binary):
    torch.manual_seed(3)
    net, _ = make_maskformer()
    processor = MaskFormerImageProcessor(size={"height": 64, "width": 96})
    image = make_image()
    with torch.inference_mode():
        answer = net(**processor(images=image.pixels, return_tensors="pt"))
    (output,) = processor.post_process_instance_segmentation(
        answer, threshold=0.0, target_sizes=[image.size], return_binary_maps=binary
    )
    if output["segmentation"] is None or not len(output["segments_info"]):
        pytest.skip("the random net found nothing")
    names = dict.fromkeys(range(net.config.num_labels), "cat")
    instances = Instances.from_transformers(output, TOY_SPACE, names)
    assert len(instances) == len(output["segments_info"])
    for mask, segment in zip(unpack(instances), output["segments_info"], strict=True):
        if not binary:
            assert np.array_equal(mask, output["segmentation"].numpy() == segment["id"])
    if binary:
        assert np.array_equal(unpack(instances), output["segmentation"].numpy() > 0)


def test_of_a_panoptic_output_it_is_the_things():
    output = {
        "segmentation": torch.tensor([[1, 1, 2, 3]]),
        "segments_info": [
            {"id": 1, "label_id": 5, "score": 0.9},
            {"id": 2, "label_id": 6, "score": 0.8},
            {"id": 3, "label_id": 7, "score": 0.7},
        ],
    }
    instances = Instances.from_transformers(output, TOY_SPACE, {5: "cat", 6: "sky", 7: "dog"})
    assert instances.category_ids.tolist() == [3, 8]
    assert unpack(instances).astype(int).tolist() == [[[1, 1, 0, 0]], [[0, 0, 0, 1]]]


def test_detections_of_supervision():
    detections = supervision.Detections(
        xyxy=np.zeros((3, 4)),
        mask=MASKS,
        confidence=SCORES,
        class_id=np.array([7, 9, 7]),
        data={"class_name": np.array(["cat", "dog", "cat"])},
    )
    check(Instances.from_supervision(detections, TOY_SPACE))
    check(Instances.from_supervision(detections, TOY_SPACE, {7: "cat", 9: "dog"}, size=(9, 12)))
    with pytest.raises(ValueError, match=r"the image is \(9, 13\), its masks are \(9, 12\)"):
        Instances.from_supervision(detections, TOY_SPACE, size=(9, 13))
    detections.data = {}
    with pytest.raises(LabelSpaceError, match=r"what is class 7\? Give names"):
        Instances.from_supervision(detections, TOY_SPACE)
    detections.confidence = None
    with pytest.raises(ValueError, match=r"set detections\.confidence"):
        Instances.from_supervision(detections, TOY_SPACE, {7: "cat", 9: "dog"})
    detections.mask = None
    with pytest.raises(ValueError, match="detections have boxes, but no masks; detect with"):
        Instances.from_supervision(detections, TOY_SPACE)


def test_no_detections_of_supervision():
    empty = supervision.Detections.empty()
    assert Instances.from_supervision(empty, TOY_SPACE, size=(9, 12)).size == (9, 12)
    with pytest.raises(ValueError, match=r"there are no detections; give size=\(height, width\)"):
        Instances.from_supervision(empty, TOY_SPACE)


def make_ultralytics(masks, size, names=None):
    """Results as ultralytics has them."""
    boxes = SimpleNamespace(cls=torch.tensor([0.0, 1.0, 0.0]), conf=torch.from_numpy(SCORES))
    boxes = type("Boxes", (), {**vars(boxes), "__len__": lambda self: len(self.cls)})()
    return SimpleNamespace(
        boxes=boxes,
        masks=None if masks is None else SimpleNamespace(data=masks),
        names=names or {0: "cat", 1: "dog"},
        orig_shape=size,
    )


def test_results_of_ultralytics_at_the_size_of_the_image():
    result = make_ultralytics(torch.from_numpy(MASKS), (9, 12))
    check(Instances.from_ultralytics(result, TOY_SPACE))
    check(
        Instances.from_ultralytics(result, TOY_SPACE, ["dog", None]),
        MASKS[[0, 2]],
        SCORES[[0, 2]],
        (8, 8),
    )


@pytest.mark.parametrize("size", [(480, 640), (333, 500), (640, 427), (1080, 1920)])
def test_results_of_ultralytics_lose_their_letterbox(size):
    """Letterboxed as the net sees an image: scaled, in the middle of bars, at a side of 640."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    masks = np.stack(
        [
            (abs(y - cy * height) < 0.2 * height) & (abs(x - cx * width) < 0.15 * width)
            for cy, cx in ((0.3, 0.3), (0.5, 0.6), (0.7, 0.8))
        ]
    )
    gain = min(640 / height, 640 / width)
    new = round(height * gain), round(width * gain)
    boxed = np.zeros((3, 640, 640), dtype=np.float32)
    top, left = (round((640 - side) / 2 - 0.1) for side in new)
    for mask, target in zip(masks, boxed, strict=True):
        scaled = cv2.resize(mask.astype(np.float32), new[::-1]) > 0.5
        target[top : top + new[0], left : left + new[1]] = scaled
    found = unpack(
        Instances.from_ultralytics(make_ultralytics(torch.from_numpy(boxed), size), TOY_SPACE)
    )
    for one, other in zip(found, masks, strict=True):
        assert (one & other).sum() / (one | other).sum() > 0.98


def test_results_of_ultralytics_without_masks():
    with pytest.raises(ValueError, match=r"take a model that segments \(-seg\)"):
        Instances.from_ultralytics(make_ultralytics(None, (9, 12)), TOY_SPACE)
    nothing = SimpleNamespace(boxes=[], masks=None, names={}, orig_shape=(9, 12))
    assert Instances.from_ultralytics(nothing, TOY_SPACE).size == (9, 12)


@pytest.mark.parametrize(
    ("masks", "scores", "classes", "error", "message"),
    [
        (MASKS, SCORES, ["cat", "dgo", "cat"], LabelSpaceError, "'dgo' .* nearest are 'dog'"),
        (MASKS, SCORES, ["cat", "sky", "cat"], LabelSpaceError, "class 'sky' is stuff in toy"),
        (MASKS, SCORES, ["cat"], ValueError, "got 3 masks, 3 scores and 1 classes"),
        (MASKS, SCORES[:2], ["cat", "dog", "cat"], ValueError, "3 masks, 2 scores"),
        (MASKS, SCORES, "cat", TypeError, "classes must be a name per mask, got one text"),
        (MASKS * 0.7, SCORES, ["cat"] * 3, ValueError, "of probabilities give masks > 0.5"),
        (
            MASKS[0],
            SCORES,
            ["cat"] * 3,
            ValueError,
            r"masks must be \(N, H, W\), got",
        ),
        (MASKS, SCORES * 100, ["cat"] * 3, ValueError, r"scores must lie in 0\.\.1, got 25\.\.90"),
        (MASKS[0], SCORES[:1], ["cat"], ValueError, r"of one mask give masks\[None\]"),
        ([MASKS[0], MASKS[1][:5]], SCORES[:2], ["cat"] * 2, ValueError, r"\(5, 12\) and \(9, 12\)"),
        (MASKS, SCORES, [3, 3, 8], TypeError, r"got 3; of category ids give \[space.by_id\[i\]"),
    ],
)
def test_what_is_wrong_is_told(masks, scores, classes, error, message):
    with pytest.raises(error, match=message):
        Instances.from_masks(masks, scores, classes, TOY_SPACE)


def test_a_number_without_a_name_and_a_name_that_the_space_lacks():
    output = {
        "labels": torch.tensor([1, 2]),
        "scores": torch.tensor([0.9, 0.8]),
        "masks": torch.ones(2, 1, 4, 5),
    }
    with pytest.raises(LabelSpaceError, match="names has no class 2, but 2 others"):
        Instances.from_torchvision(output, TOY_SPACE, ["cat", "dog"])
    with pytest.raises(LabelSpaceError, match="in names give class 2 one of the space, or None"):
        Instances.from_torchvision(output, TOY_SPACE, ["x", "dog", "cats"])
    assert len(Instances.from_torchvision(output, TOY_SPACE, ["x", "dog", None])) == 1
    with pytest.raises(TypeError, match=r"names must be a list, or a dict .*got 4"):
        Instances.from_torchvision(output, TOY_SPACE, 4)
    with pytest.raises(ValueError, match=r"mask_threshold must lie in 0\.\.1, got 50"):
        Instances.from_torchvision(output, TOY_SPACE, NAMES, mask_threshold=50)
    del output["masks"]
    with pytest.raises(TypeError, match=r"torchvision Mask R-CNN has 'masks', got dict; it has la"):
        Instances.from_torchvision(output, TOY_SPACE, NAMES)


def test_the_answer_to_a_batch_in_place_of_one_images():
    for read in (Instances.from_torchvision, Instances.from_ultralytics):
        with pytest.raises(
            TypeError, match=r"got list; give the output of one image, outputs\[0\]"
        ):
            read([{}], TOY_SPACE, NAMES)


def test_the_name_of_a_space_in_its_place():
    with pytest.raises(TypeError, match=r"got 'toy'; fuse.load_space\('toy'\)"):
        Instances.from_masks(MASKS, SCORES, ["cat"] * 3, "toy")
    with pytest.raises(TypeError, match=r"got 'toy'; fuse.load_space\('toy'\)"):
        SemanticPrediction.from_label_map(np.zeros((4, 4), np.int32), "toy")
    with pytest.raises(TypeError, match=r"got 'toy'; fuse.load_space\('toy'\)"):
        PanopticQuality(space="toy")
