"""Two steps of each training, the second one resumed, on images made on the spot."""

import json
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

SCRIPTS = Path(__file__).parents[2] / "scripts"
SIDE = 64  # of the views
HEIGHT, WIDTH = 60, 80
PERSON, SKY, WALL = 1, 26, 23  # of coco_super
MOMENT = 1e-4  # minutes: less than any step takes


@pytest.fixture(autouse=True, scope="module")
def scripts_are_found():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        yield


@pytest.fixture
def short_views(monkeypatch):
    from tiny_training import instance, panoptic, semantic

    for module in (instance, panoptic, semantic):
        monkeypatch.setattr(module, "SIDE", SIDE)
        monkeypatch.setattr(module, "SHORT_SIDES", (50, 90))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data root with images, a panoptic truth and the class names of the stuff teacher."""
    from tiny_training.teachers import INDOORS

    root = tmp_path_factory.mktemp("data")
    for folder in ("weights", "truth", "images"):
        (root / folder).mkdir()
    (root / "weights/labels.json").write_text(json.dumps({"ade20k32": list(INDOORS)}))
    rng = np.random.default_rng(0)
    for number in range(4):
        image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        cv2.imwrite(str(root / f"images/{number}.png"), image)
    ids = np.ones((HEIGHT, WIDTH), np.uint8)
    ids[30:], ids[10:40, 20:50] = 2, 3
    red = cv2.merge([ids * 0, ids * 0, ids])  # OpenCV's order is blue, green, red
    cv2.imwrite(str(root / "truth/0.png"), red)
    return root


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A work folder with what the stuff teacher says of three images."""
    folder = tmp_path_factory.mktemp("work")
    answers = np.random.default_rng(0).integers(0, 9, (3, 128, 128, 32), np.uint8)
    np.save(folder / "semantic_teacher.npy", answers)
    return folder


def make_photos():
    """One image with panoptic truth, two with objects, one of them held out, one with boxes."""
    from tiny_training.photos import LabelledObject, Photo, encode_mask

    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:40, 20:50] = 1
    photos = []
    for number in range(4):
        person = LabelledObject(PERSON, [20, 10, 50, 40], encode_mask(mask), 1.0, number != 3)
        crowd = LabelledObject(PERSON, [0, 0, 9, 9], encode_mask(mask * 0), 0.0)
        photo = Photo(f"images/{number}.png", HEIGHT, WIDTH, "images", number == 2, complete=True)
        photo.objects = [person, crowd]
        photo.teacher_row = number - 1 if number else None
        photos.append(photo)
    photos[0].panoptic, photos[0].segments = "truth/0.png", {1: SKY, 2: WALL, 3: PERSON}
    return photos


def start_net(kind):
    from tiny_training import shipping

    torch.manual_seed(0)
    return shipping.start_panoptic_net(kind, shipping.WEIGHTS, None)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["instance", "semantic", "panoptic"])
def test_a_training_moves_and_resumes(kind, data, work, short_views):
    from tiny_training.instance import train_instance
    from tiny_training.panoptic import train_panoptic
    from tiny_training.semantic import train_semantic
    from tiny_training.shipping import WEIGHTS, load_net

    photos, checkpoint = make_photos(), work / f"{kind}.pt"
    if kind == "semantic":
        photos[0].held_out = False

    def train(minutes):
        if kind == "panoptic":
            task, figures = (1.0, 0.5), {"pq": 1.0}
            train_panoptic(
                start_net(kind), photos, data, work, minutes, task, kind, lambda _: figures
            )
        else:
            stage = {"instance": train_instance, "semantic": train_semantic}[kind]
            stage(load_net(kind, WEIGHTS), photos, data, work, minutes)
        return torch.load(checkpoint, weights_only=True)

    first = train(MOMENT)
    second = train(first["elapsed"] / 60 + MOMENT)
    assert (first["step"], second["step"]) == (1, 2)
    moved = [
        key for key, value in first["net"].items() if not torch.equal(value, second["net"][key])
    ]
    assert len(moved) > 50
    assert all(value.isfinite().all() for value in second["averaged"].values())
    curve = [json.loads(line) for line in checkpoint.with_suffix(".jsonl").read_text().splitlines()]
    assert [line["step"] for line in curve] == [1, 2]  # figures at the end of each run
    curve_keys = {"instance": "segm_ap", "semantic": "minutes", "panoptic": "pq"}
    assert curve_keys[kind] in curve[-1]


@pytest.mark.slow
def test_soft_labels_are_gone_on_with_and_learnt_from(data, work, tmp_path, short_views):
    from tiny_training.photos import SOFT_FILE
    from tiny_training.semantic import SOFT_TRUTH_WEIGHT, Sampler
    from tiny_training.shipping import WEIGHTS, load_net
    from tiny_training.soft_labels import write_soft_labels
    from tiny_training.targets import FIRST_STUFF_ID

    shutil.copy(work / "semantic_teacher.npy", tmp_path)
    photos, nets = make_photos(), [load_net("semantic", WEIGHTS)]
    write_soft_labels(nets, photos, data, tmp_path)
    soft = np.load(tmp_path / SOFT_FILE)
    assert soft.shape == (3, 128, 128, 16)
    np.testing.assert_allclose(soft.sum(3, dtype=int), 255, atol=8)  # each of 16 is rounded
    unfinished = soft.copy()
    unfinished[1:] = 0
    np.save(tmp_path / f"part-{SOFT_FILE}", unfinished)
    write_soft_labels(nets, photos, data, tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / SOFT_FILE), soft)

    photos[0].held_out = False
    sure = np.zeros_like(soft)
    sure[..., SKY - FIRST_STUFF_ID + 1] = 255
    np.save(tmp_path / SOFT_FILE, sure)
    sampler = Sampler(photos, data, tmp_path)
    assert sampler.losses.truth == SOFT_TRUTH_WEIGHT
    _, _, taught = sampler.draw(np.random.default_rng(0))
    said = taught[:, :16].sum((0, 2, 3)).nonzero().flatten().tolist()
    assert said == [0, SKY - FIRST_STUFF_ID + 1]  # objects lie over it


@pytest.mark.slow
def test_an_adopted_mask_rcnn_answers_as_before(tmp_path):
    from tiny_training.panoptic import put_background_first
    from tiny_training.shipping import WEIGHTS, load_net, start_panoptic_net

    name = "tiny_instance.safetensors"
    (tmp_path / name).symlink_to(WEIGHTS / name)
    ours, theirs = start_panoptic_net("panoptic", tmp_path, None), load_net("instance", WEIGHTS)
    images = torch.rand(1, 3, 64, 96)
    regions = torch.rand(5, 96, 7, 7)
    with torch.inference_mode():
        expected, found = theirs.backbone(images), ours.backbone(images)
        for name, level in expected.items():
            torch.testing.assert_close(found[name], level)
        heads = theirs.roi_heads
        scores, deltas = heads.box_predictor(heads.box_head(regions))
        our_scores, our_deltas = put_background_first(*ours.classify(regions))
    torch.testing.assert_close(our_scores, scores)
    torch.testing.assert_close(our_deltas[:, 4:], deltas[:, 4:])


@pytest.mark.slow
def test_packed_data_is_small_and_trains(data, work, tmp_path, monkeypatch, short_views):
    from tiny_training import packing
    from tiny_training.photos import load_photos, read_label_map
    from tiny_training.semantic import Sampler

    monkeypatch.setattr(packing, "CONTEXT_FILES", ("weights/labels.json",))
    monkeypatch.setattr(packing, "LONG_SIDE", 40)
    packing.pack_data(make_photos(), data, work, tmp_path, 1.0)
    with zipfile.ZipFile(tmp_path / packing.PACKED_FILE) as packed:
        packed.extractall(tmp_path)
    photos = load_photos(tmp_path / "work/labels.json")
    assert len(photos) == 4
    with_truth = next(photo for photo in photos if photo.panoptic)
    assert (with_truth.height, with_truth.width) == (30, 40)
    assert with_truth.objects[0].box == [10.0, 5.0, 25.0, 20.0]
    assert (read_label_map(with_truth, tmp_path / "data")[5:20, 10:25] == PERSON).all()
    sampler = Sampler(photos, tmp_path / "data", tmp_path / "work")
    images, classes, taught = sampler.draw(np.random.default_rng(0))
    assert images.shape[-2:] == classes.shape[-2:] == (SIDE, SIDE)
    assert taught.isfinite().all()
    packing.pack_data(make_photos(), data, work, tmp_path, 1e-6)
    with zipfile.ZipFile(tmp_path / packing.PACKED_FILE) as packed:
        assert json.loads(packed.read("work/labels.json")) == []
