"""Vistas v1.2 from its panoptic files and from its instances, and its faults."""

import json
import shutil

import numpy as np
import pytest
from dataset_folders import (
    stored_pixels,
    vistas_config,
    vistas_v2_config,
    write_png,
    write_vistas_instances,
    write_vistas_panoptic,
    write_vistas_v2,
)

from fuse.datasets.convert import convert
from fuse.errors import DataError
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.labels import load_space


def loaded(folder, tmp_path, name="zebra"):
    convert("vistas", folder, tmp_path / "gt.json", overwrite=True)
    return read_panoptic_json(tmp_path / "gt.json").load(name)


@pytest.mark.parametrize("seed", range(3))
def test_instances_are_split_by_number_and_stuff_is_not(seed, tmp_path):
    folder = write_vistas_instances(tmp_path / "in", seed)
    made = loaded(folder, tmp_path)
    codes = stored_pixels(folder / "validation/instances/zebra.png").astype(int)
    space = load_space("vistas_v1")
    kinds = {s.segment_id: s.category_id for s in made.segments_info} | {0: 0}
    label = codes // 256 + 1
    assert (np.vectorize(kinds.get)(made.panoptic_map) == np.where(label == 66, 0, label)).all()
    expected = {
        (c, c // 256 + 1 in space.thing_ids and c % 256) for c in np.unique(codes) if c < 65 * 256
    }
    assert len(made.segments_info) == len({(c // 256, number) for c, number in expected})
    assert not any(s.iscrowd for s in made.segments_info)


def test_the_first_bird_is_no_void(tmp_path):
    folder = write_vistas_instances(tmp_path / "in")
    codes = np.array([[0, 1, 2 * 256, 2 * 256 + 5, 65 * 256]], np.uint16)
    write_png(folder / "validation/instances/zebra.png", codes)
    made = loaded(folder, tmp_path)
    assert made.panoptic_map.tolist() == [[1, 2, 513, 513, 0]]
    assert [(s.segment_id, s.category_id) for s in made.segments_info] == [(1, 1), (2, 1), (513, 3)]


@pytest.mark.parametrize("seed", range(3))
def test_panoptic_files_are_kept_but_for_unlabeled(seed, tmp_path):
    folder = write_vistas_panoptic(tmp_path / "in", seed)
    before = read_panoptic_json(
        folder / "validation/panoptic/panoptic_2018.json", folder / "validation/panoptic"
    )
    for name in ("zebra", "_abc"):
        made, given = loaded(folder, tmp_path, name), before.load(name)
        kinds = {s.segment_id: s.category_id for s in made.segments_info} | {0: 0}
        wanted = {s.segment_id: s.category_id % 66 for s in given.segments_info} | {0: 0}
        assert (
            np.vectorize(kinds.get)(made.panoptic_map)
            == np.vectorize(wanted.get)(given.panoptic_map)
        ).all()
        assert [s.segment_id for s in made.segments_info if s.iscrowd] == [
            s.segment_id for s in given.segments_info if s.iscrowd
        ]


def test_panoptic_files_go_before_instances_and_v1_2_before_v2_0(tmp_path):
    folder = write_vistas_panoptic(tmp_path / "in")
    crowds = [s for s in loaded(folder, tmp_path).segments_info if s.iscrowd]
    write_vistas_instances(folder)
    assert [s for s in loaded(folder, tmp_path).segments_info if s.iscrowd] == crowds
    nested = tmp_path / "both" / "validation" / "v1.2"
    shutil.copytree(folder / "validation", nested)
    (tmp_path / "both/validation/instances").mkdir()
    assert [s for s in loaded(tmp_path / "both", tmp_path).segments_info if s.iscrowd] == crowds


def test_v2_0_alone_is_named(tmp_path):
    (tmp_path / "validation" / "v2.0" / "panoptic").mkdir(parents=True)
    with pytest.raises(DataError, match=r"validation: holds v2\.0 of Vistas and no v1\.2"):
        convert("vistas", tmp_path, tmp_path / "gt.json")


def without_unlabeled(config):
    return {"labels": config["labels"][:-1]}


def with_another_class(config):
    config["labels"][3]["readable"] = "Hedge"
    return config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_unlabeled, r"config\.json: 65 classes, but Vistas v1\.2 has 66"),
        (with_another_class, r"config\.json: class 3 is 'Hedge', in Vistas v1\.2 'Fence'"),
        (lambda config: {"labels": 3}, r"config\.json: 'labels' must be a list of classes"),
        (lambda config: [config], r"config\.json is not a config of Vistas"),
    ],
)
def test_wrong_configs(change, message, tmp_path):
    folder = write_vistas_instances(tmp_path / "in")
    (folder / "config.json").write_text(json.dumps(change(vistas_config())))
    with pytest.raises(DataError, match=message):
        convert("vistas", folder, tmp_path / "gt.json")


def test_a_missing_config(tmp_path):
    folder = write_vistas_instances(tmp_path / "in")
    (folder / "config.json").unlink()
    with pytest.raises(DataError, match=r"there is no config_v1\.2\.json or config\.json"):
        convert("vistas", folder, tmp_path / "gt.json")


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((4, 4), np.uint8), "is grey of 8 bits, should be grey of 16 bits"),
        (np.full((4, 4), 66 * 256, np.uint16), "16896 is of class 66, but Vistas has 0 to 65"),
    ],
)
def test_faults_of_instances_name_the_file(pixels, message, tmp_path):
    folder = write_vistas_instances(tmp_path / "in")
    write_png(folder / "validation/instances/zebra.png", pixels)
    with pytest.raises(DataError, match=message) as raised:
        convert("vistas", folder, tmp_path / "gt.json")
    assert "zebra.png" in str(raised.value)


def test_faults_of_panoptic_files_name_the_file(tmp_path):
    folder = write_vistas_panoptic(tmp_path / "in")
    png, path = (folder / "validation/panoptic" / n for n in ("zebra.png", "panoptic_2018.json"))
    content = json.loads(path.read_text())
    content["images"][0]["width"] = 99
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"zebra\.png is 36 wide, 24 high, but .* 99 wide, 24"):
        convert("vistas", folder, tmp_path / "gt.json")
    png.unlink()
    with pytest.raises(DataError, match=r"zebra\.png: the file is missing that belongs to .*2018"):
        convert("vistas", folder, tmp_path / "gt.json")
    content["categories"][4]["name"] = "Hedge"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"2018\.json: category 5 'Hedge' is not in vistas_v1"):
        convert("vistas", folder, tmp_path / "gt.json")


def test_v2_keeps_its_own_classes_and_voids_what_is_not_scored(tmp_path):
    folder = write_vistas_v2(tmp_path / "in")
    path = folder / "validation" / "v2.0" / "instances" / "zebra.png"
    # Bird 0 and 3, an ambiguous barrier, curb twice, unlabeled.
    write_png(path, np.array([[0, 3, 2 * 256, 4 * 256, 4 * 256 + 3, 123 * 256]], np.uint16))
    convert("vistas-v2", folder, tmp_path / "gt.json")
    made = read_panoptic_json(tmp_path / "gt.json").load("zebra")
    assert made.panoptic_map.tolist() == [[1, 4, 0, 1025, 1025, 0]]
    assert [s.category_id for s in made.segments_info] == [1, 1, 5]


def test_each_version_names_the_other(tmp_path):
    folder = write_vistas_v2(tmp_path / "in")
    config = folder / "config_v2.0.json"
    config.write_text(json.dumps(vistas_config()))
    with pytest.raises(DataError, match=r"66 classes, but Vistas v2.0 has 124; v1.2 is converted"):
        convert("vistas-v2", folder, tmp_path / "gt.json")
    content = vistas_v2_config()
    content["labels"][2]["readable"] = "Curb"
    config.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"class 2 is 'Curb', in Vistas v2.0 'one that is not"):
        convert("vistas-v2", folder, tmp_path / "gt.json")
