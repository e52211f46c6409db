"""Predictions of other tools in place of a net, found by the image's name."""

import json

import numpy as np
import pytest
from factories import full_masks
from PIL import Image
from pycocotools import mask as coco_mask

from fuse.errors import CocoFormatError, DataError
from fuse.labels import load_space
from fuse.models.adapters.precomputed import PrecomputedInstances, PrecomputedLabelMaps
from fuse.types import NamedImage

SIZE = (20, 28)
SPACE = "coco_super"


def image_of(name):
    return NamedImage(np.zeros((*SIZE, 3), dtype=np.uint8), name)


def rle_of(mask):
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(SIZE), "counts": rle["counts"].decode()}


@pytest.fixture
def label_map():
    return np.random.default_rng(0).choice([0, 1, 13, 27], SIZE).astype(np.uint8)


@pytest.fixture
def instance_file(tmp_path):
    """Two images; the first has three instances."""
    masks = full_masks(np.random.default_rng(3), SIZE, 4)
    masks[:, 5:9, 5:9] = True
    entries = [
        {"image_id": image_id, "category_id": category, "score": score, "segmentation": rle_of(m)}
        for (image_id, category, score), m in zip(
            [(12, 1, 0.9), (12, 3, 0.4), (34, 2, 0.8), (12, 1, 0.5)], masks, strict=True
        )
    ]
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(entries))
    return path, masks


def test_label_maps_from_pngs(tmp_path, label_map):
    (tmp_path / "trip").mkdir()
    Image.fromarray(label_map).save(tmp_path / "trip" / "a.png")
    Image.fromarray(label_map[::-1]).save(tmp_path / "b.png")
    model = PrecomputedLabelMaps("cpu", path=str(tmp_path), label_space=SPACE)
    first, second = model.predict([image_of("trip/a.jpg"), image_of("deep/b.jpeg")])
    assert (first.label_map == label_map).all()
    assert (second.label_map == label_map[::-1]).all()
    assert model.label_space == load_space(SPACE)
    with pytest.raises(CocoFormatError, match=r"has no c\.png"):
        model.predict([image_of("c.jpg")])
    before = model.weights_hash
    Image.fromarray(label_map).save(tmp_path / "b.png")
    assert PrecomputedLabelMaps("cpu", path=str(tmp_path), label_space=SPACE).weights_hash != before


def test_label_maps_from_a_result_file(tmp_path, label_map):
    entries = [
        {"image_id": 12, "category_id": int(c), "segmentation": rle_of(label_map == c)}
        for c in np.unique(label_map)
        if c
    ]
    (tmp_path / "stuff.json").write_text(json.dumps(entries))
    model = PrecomputedLabelMaps("cpu", path=str(tmp_path / "stuff.json"), label_space=SPACE)
    known, empty = model.predict([image_of("val/000000000012.jpg"), image_of("13.jpg")])
    assert (known.label_map == label_map).all()
    assert not empty.label_map.any()


def test_instances_by_the_number_in_the_name(instance_file):
    path, masks = instance_file
    model = PrecomputedInstances("cpu", path=str(path), label_space=SPACE)
    found, none = model.predict(
        [image_of("000000000012.jpg"), image_of("99.jpg")], score_threshold=0.5
    )
    assert found.scores.tolist() == [0.9, 0.5]
    assert found.category_ids.tolist() == [1, 1]
    for rle, mask in zip(found.masks.rles, masks[[0, 3]], strict=True):
        assert (coco_mask.decode(rle) == mask).all()
    assert len(none) == 0
    assert none.size == SIZE


def test_instances_by_a_list_of_images(instance_file, tmp_path):
    path, _ = instance_file
    images = [
        {"id": 12, "file_name": "trip/a.jpg", "height": SIZE[0], "width": SIZE[1]},
        {"id": 34, "file_name": "b.jpg", "height": SIZE[0], "width": SIZE[1]},
    ]
    (tmp_path / "images.json").write_text(json.dumps({"images": images}))
    model = PrecomputedInstances(
        "cpu", path=str(path), label_space=SPACE, images=str(tmp_path / "images.json")
    )
    found = model.predict([image_of("trip/a.jpg"), image_of("sub/b.jpg")], score_threshold=0.0)
    assert [len(instances) for instances in found] == [3, 1]
    with pytest.raises(DataError, match=r"images\.json: does not list c\.jpg"):
        model.predict([image_of("c.jpg")], score_threshold=0.0)


def test_a_name_without_a_number_needs_a_list(instance_file):
    path, _ = instance_file
    model = PrecomputedInstances("cpu", path=str(path), label_space=SPACE)
    with pytest.raises(DataError, match=r"cat\.jpg: is no number; set images"):
        model.predict([image_of("cat.jpg")], score_threshold=0.5)
    with pytest.raises(CocoFormatError, match=r"none\.json"):
        PrecomputedInstances("cpu", path="none.json", label_space=SPACE)


def test_names_that_lead_out_count_from_the_folder_of_all_listed(tmp_path, label_map):
    images = [
        {"id": i, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
        for i, name in enumerate(["../a/x.jpg", "../b/x.jpg"])
    ]
    (tmp_path / "images.json").write_text(json.dumps({"images": images}))
    for folder, labels in (("a", label_map), ("b", label_map[::-1])):
        (tmp_path / "labels" / folder).mkdir(parents=True)
        Image.fromarray(labels).save(tmp_path / "labels" / folder / "x.png")
    options = {"path": str(tmp_path / "labels"), "label_space": SPACE}
    model = PrecomputedLabelMaps("cpu", images=str(tmp_path / "images.json"), **options)
    first, second = model.predict([image_of("../a/x.jpg"), image_of("../b/x.jpg")])
    assert (first.label_map == label_map).all()
    assert (second.label_map == label_map[::-1]).all()
    with pytest.raises(CocoFormatError, match=r"'\.\./a/x\.jpg' has no"):  # without the others
        PrecomputedLabelMaps("cpu", **options).predict([image_of("../a/x.jpg")])


def test_stuff_that_names_its_image(tmp_path, label_map):
    entries = [
        {"file_name": f"datasets/val/{name}.jpg", "category_id": 13, "segmentation": rle_of(mask)}
        for name, mask in (("000000000012", label_map == 13), ("dog", label_map == 1))
    ]
    path, images = tmp_path / "stuff.json", tmp_path / "images.json"
    path.write_text(json.dumps(entries))
    listed = {"id": 3, "file_name": "dog.jpg", "height": SIZE[0], "width": SIZE[1]}
    images.write_text(json.dumps({"images": [listed]}))
    model = PrecomputedLabelMaps("cpu", path=str(path), label_space=SPACE)
    [found] = model.predict([image_of("000000000012.jpg")])
    assert ((found.label_map == 13) == (label_map == 13)).all()
    model = PrecomputedLabelMaps("cpu", path=str(path), label_space=SPACE, images=str(images))
    [found] = model.predict([image_of("dog.jpg")])
    assert ((found.label_map == 13) == (label_map == 1)).all()
