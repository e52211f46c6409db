"""The Mask R-CNN adapter against torchvision called by hand, on checkpoints made on the spot."""

import numpy as np
import pytest
import torch
from torchvision.models import detection

from fuse.errors import ConfigError, ModelError, ModelNotFoundError
from fuse.labels import load_space
from fuse.models.adapters.torchvision_maskrcnn import TorchvisionMaskRCNN
from fuse.models.weights.sources import describe_named
from fuse.ops.masks import paste_mask
from fuse.types import NamedImage

V1 = "maskrcnn_resnet50_fpn"
V2 = "maskrcnn_resnet50_fpn_v2"
V1_FILE = "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"
# A random net finds many instances, and each costs time: small images, few classes.
SIZES = {"min_size": 32, "max_size": 48}
CLASSES = {"label_space": "coco_super", "class_ids": [0, 7, 0, 3]}


def make_net(architecture, classes=4, **arguments):
    torch.manual_seed(0)
    net = getattr(detection, architecture)(
        weights=None, weights_backbone=None, num_classes=classes, **arguments
    )
    net.transform.min_size, net.transform.max_size = (SIZES["min_size"],), SIZES["max_size"]
    return net.eval()


def make_image(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return NamedImage(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def answer_by_hand(net, image):
    with torch.inference_mode():
        return net([torch.from_numpy(image.pixels).permute(2, 0, 1).float() / 255])[0]


def full_masks(instances):
    """bool (N, H, W)."""
    masks = np.zeros((len(instances), *instances.size), dtype=bool)
    for index in range(len(instances)):
        crop, (y, x) = paste_mask(instances, index)
        masks[index, y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    return masks


def check_equal(instances, by_hand, class_ids):
    """The same boxes, scores, categories and pixels; classes without a category are left out."""
    category_ids = np.array(class_ids)[by_hand["labels"]]
    known = category_ids > 0
    assert known.any()
    assert instances.category_ids.tolist() == category_ids[known].tolist()
    np.testing.assert_allclose(instances.boxes, by_hand["boxes"][known], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(instances.scores, by_hand["scores"][known], rtol=1e-4)
    probs = by_hand["masks"][known, 0].numpy()
    # Float noise may carry a pixel at the very threshold to the other side.
    clear = abs(probs - 0.5) > 1e-4
    assert (probs > 0.5).any()
    assert clear.mean() > 0.99
    assert (full_masks(instances) == (probs > 0.5))[clear].all()


@pytest.fixture(scope="module")
def v1_net():
    return make_net(V1)


@pytest.fixture(scope="module")
def v1_file(v1_net, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "v1.pth"
    torch.save({"model": v1_net.state_dict(), "epoch": 3}, path)
    return str(path)


@pytest.fixture(scope="module")
def v1_model(v1_file):
    return TorchvisionMaskRCNN(
        "cpu", weights=v1_file, architecture=V1, precision="float32", **SIZES, **CLASSES
    )


@pytest.fixture(scope="module")
def images():
    return [make_image(64, 80, 1), make_image(90, 60, 2), make_image(64, 80, 3)]


@pytest.fixture(scope="module")
def answers(v1_model, images):
    return v1_model.predict(images, score_threshold=0.05)


@pytest.mark.slow
def test_v1_answers_as_torchvision_does(v1_net, answers, images):
    check_equal(answers[0], answer_by_hand(v1_net, images[0]), CLASSES["class_ids"])


@pytest.mark.slow
def test_v2_answers_as_torchvision_does(tmp_path):
    net, image = make_net(V2), make_image(64, 80)
    torch.save(net.state_dict(), tmp_path / "v2.pth")
    model = TorchvisionMaskRCNN(
        "cpu",
        weights=str(tmp_path / "v2.pth"),
        architecture=V2,
        label_space="coco_super",
        class_ids=[0, 1, 2, 3],
        precision="float32",
        **SIZES,
    )
    (instances,) = model.predict([image], score_threshold=0.05)
    check_equal(instances, answer_by_hand(net, image), [0, 1, 2, 3])


@pytest.mark.slow
def test_a_batch_of_mixed_sizes_answers_as_one_by_one(v1_model, answers, images):
    for image, together in zip(images[1:], answers[1:], strict=True):
        (alone,) = v1_model.predict([image], score_threshold=0.05)
        assert together.size == image.size
        assert together.category_ids.tolist() == alone.category_ids.tolist()
        np.testing.assert_allclose(together.boxes, alone.boxes, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(together.scores, alone.scores, rtol=1e-4)
        # A batch adds up in another order, which random weights make the most of.
        np.testing.assert_allclose(together.masks.probs, alone.masks.probs, atol=1e-3)


@pytest.mark.slow
def test_the_score_floor_cuts_and_changes_nothing_else(v1_model, answers, images):
    scores = answers[0].scores
    gaps = scores[:-1] - scores[1:]
    last = int(gaps.argmax())  # the largest step, so that float noise stays on its side
    floor = float(scores[last] - gaps[last] / 2)
    (above,) = v1_model.predict(images[:1], score_threshold=floor)
    assert above.category_ids.tolist() == answers[0].category_ids[: last + 1].tolist()
    np.testing.assert_allclose(above.scores, scores[: last + 1], rtol=1e-4)
    np.testing.assert_allclose(above.boxes, answers[0].boxes[: last + 1], rtol=1e-4, atol=1e-3)


@pytest.mark.slow
def test_no_instances_is_an_answer(v1_model, images):
    (none,) = v1_model.predict(images[:1], score_threshold=1.0)
    assert len(none) == 0
    assert none.masks.probs.shape == (0, 28, 28)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 49), (49, 1), (1, 48), (1, 1)], ids=str)
def test_images_thinner_than_a_pixel_of_the_input(v1_model, size):
    (instances,) = v1_model.predict([make_image(*size)], score_threshold=0.05)
    assert instances.size == size
    if max(size) > 48:
        assert len(instances) == 0


@pytest.mark.slow
def test_weights_by_name_come_from_torch_home(tmp_path, monkeypatch):
    """The published file of the first version: frozen batch norms without eps or counters."""
    checkpoints = tmp_path / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    state = make_net(V1, classes=91).state_dict()
    kept = {key: state[key] for key in state if not key.endswith("num_batches_tracked")}
    kept["backbone.body.bn1.running_var"] *= 1e-4  # so that an eps of 1e-5 would show
    kept["backbone.body.bn1.weight"] *= 1e-2
    kept["roi_heads.box_predictor.cls_score.weight"] *= 20  # so that it is sure of something
    torch.save(kept, checkpoints / V1_FILE)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    needed = describe_named("torchvision", {"architecture": V1, "weights": "COCO_V1"})
    assert needed.is_present
    assert needed.path == checkpoints / V1_FILE
    assert needed.source.endswith(V1_FILE)

    model = TorchvisionMaskRCNN(
        "cpu", weights="COCO_V1", architecture=V1, precision="float32", **SIZES
    )
    coco = load_space("coco_things")
    assert set(model.category_ids.tolist()) == {0, *coco.by_id}
    assert model.label_space == coco
    image = make_image(64, 80)
    by_hand = getattr(detection, V1)(weights="COCO_V1", weights_backbone=None).eval()
    by_hand.transform.min_size, by_hand.transform.max_size = (32,), 48
    (instances,) = model.predict([image], score_threshold=0.05)
    check_equal(instances, answer_by_hand(by_hand, image), model.category_ids)
    torch.save(kept, tmp_path / "tuned.pth")
    tuned = TorchvisionMaskRCNN(
        **{"device": "cpu", "weights": str(tmp_path / "tuned.pth"), "architecture": V1},
        **{"norm_eps": 0.0, "precision": "float32"},
        **SIZES,
    )
    (same,) = tuned.predict([image], score_threshold=0.05)
    np.testing.assert_array_equal(same.boxes, instances.boxes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param(
            {"architecture": V2},
            ModelError,
            r"another net; 'backbone\.fpn\..*' is missing, 'backbone\.fpn\..*' is unknown "
            rf".*; they are those of architecture = '{V1}'",
            id="weights of another net",
        ),
        pytest.param(
            {"architecture": "maskrcnn"},
            ConfigError,
            f"'maskrcnn' is not known; .*nown are {V1}, {V2}, tiny_instance",
            id="no net",
        ),
        pytest.param({}, ConfigError, "set architecture to one of", id="no architecture"),
        pytest.param(
            {"architecture": V1, **CLASSES, "precision": "int8"},
            ConfigError,
            "precision 'int8' is none of auto",
            id="precision",
        ),
        pytest.param(
            {"architecture": V1, "label_space": "coco_super"},
            ConfigError,
            "has 4 classes, but label space 'coco_super' has 27",
            id="other space",
        ),
        pytest.param(
            {"architecture": V1, **CLASSES, "class_ids": [0, 1]},
            ConfigError,
            "has 4 classes, but class_ids has 2",
            id="too few class_ids",
        ),
        pytest.param(
            {"architecture": V1},
            ConfigError,
            "what its 4 classes are; set label_space",
            id="no space",
        ),
        pytest.param(
            {"architecture": V1, "weights": "COCO_V9"},
            ModelNotFoundError,
            "did you mean 'COCO_V1'. Known are tiny_instance",
            id="unknown name",
        ),
    ],
)
def test_what_does_not_fit_is_named(v1_file, options, error, message):
    with pytest.raises(error, match=message):
        TorchvisionMaskRCNN("cpu", **{"weights": v1_file, **options})


def test_the_shipped_weights_load():
    model = TorchvisionMaskRCNN("cpu", weights="tiny_instance")
    assert model.label_space.name == "coco_super"
    assert model.category_ids.tolist() == list(range(13))
    (instances,) = model.predict([make_image(48, 64)], score_threshold=0.0)
    assert instances.size == (48, 64)
    assert len(model.weights_hash) == 64
