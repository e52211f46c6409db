"""EoMT, OneFormer and RF-DETR-Seg against transformers' own preprocessing and answers."""

import json
import shutil

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from transformers import OneFormerImageProcessor
from transformers_nets import (
    make_eomt,
    make_image,
    make_oneformer,
    make_rf_detr,
    make_split_eomt,
    save,
)

from fuse.errors import ConfigError, ModelError
from fuse.labels import load_space
from fuse.models.adapters.transformers_instances import TransformersInstances
from fuse.models.adapters.transformers_semantic import TransformersSemantic
from fuse.ops.argmax import upsample_argmax

IDS = [1, 13, 2, 14, 3]  # things of coco_super are 1..12
SPACE = {"label_space": "coco_super", "class_ids": IDS, "precision": "float32"}
STUFF = [1, 3]  # class indices


def label(semantic, ids):
    return upsample_argmax(
        semantic.logits, semantic.size, ids, scale=semantic.scale, offset=semantic.offset
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", [(140, 300), (300, 140), (128, 128), (80, 600)], ids=str)
def test_pieces_of_an_image_are_joined_as_transformers_joins_them(tmp_path, size):
    torch.manual_seed(3)
    net, processor = make_split_eomt()
    model = TransformersSemantic("cpu", weights=save(tmp_path, net.eval(), processor), **SPACE)
    image = make_image(*size)
    (semantic,) = model.predict([image])
    inputs = processor(images=image.pixels, return_tensors="pt")
    assert len(inputs["pixel_values"]) == -(-max(size) // min(size))
    with torch.inference_mode():
        answer = net(inputs["pixel_values"])
    answer.patch_offsets = inputs["patch_offsets"]
    (by_hand,) = processor.post_process_semantic_segmentation(
        answer, target_sizes=[size], size={"shortest_edge": 128, "longest_edge": None}
    )
    by_hand = model.category_ids[by_hand.numpy()]
    assert len(np.unique(by_hand)) > 1
    # It upsamples masks before it looks at them; the borders of a random net lie everywhere. With
    # exact = true, and for sure masks, see test_transformers_exact.py.
    assert (label(semantic, model.category_ids) == by_hand).mean() > 0.95


def test_pieces_are_no_place_to_look_for_objects(tmp_path):
    weights = save(tmp_path, *make_split_eomt())
    with pytest.raises(ModelError, match=r"cuts an image into pieces .*, over which an object may"):
        TransformersInstances("cpu", weights=weights, **SPACE)


def test_all_segments_come_with_stuff_and_the_nets_own_grid(tmp_path):
    torch.manual_seed(0)
    weights = save(tmp_path, *make_eomt())
    model = TransformersInstances("cpu", weights=weights, segments="all", **SPACE)
    assert model.finds_stuff
    (instances,) = model.predict([make_image(64, 96)], score_threshold=0.2)
    space = load_space("coco_super")
    assert set(instances.category_ids.tolist()) & set(space.stuff_ids)
    assert instances.masks.probs.shape[1:] == (10, 10)  # 64 / 16 * 2, and a rim
    assert (instances.boxes[:, :2] < 0).all()
    assert (instances.boxes[:, 2:] > [96, 64]).all()


@pytest.mark.parametrize("task", ["semantic", "panoptic"])
def test_oneformer_is_told_its_task(tmp_path, task):
    torch.manual_seed(0)
    net, processor = make_oneformer()
    weights = save(tmp_path, net.eval(), processor)
    chosen = {} if task == "semantic" else {"task": task}
    model = TransformersSemantic("cpu", weights=weights, **chosen, **SPACE)
    image = make_image(64, 96)
    (semantic,) = model.predict([image])
    inputs = processor(images=[image.pixels], task_inputs=[task], return_tensors="pt")
    with torch.inference_mode():
        answer = net(inputs["pixel_values"], inputs["task_inputs"])
    classes = answer.class_queries_logits.softmax(-1)[0, :, :-1]
    scores = torch.einsum("qc,qhw->chw", classes, answer.masks_queries_logits.sigmoid()[0])
    np.testing.assert_allclose(np.exp(semantic.logits), scores, rtol=2e-2, atol=1e-3)
    (by_hand,) = processor.image_processor.post_process_semantic_segmentation(
        answer, target_sizes=[image.size]
    )
    agreement = label(semantic, model.category_ids) == model.category_ids[by_hand.numpy()]
    assert agreement.mean() > 0.93


def test_oneformer_finds_instances_and_asks_nobody_for_class_names(tmp_path, monkeypatch):
    torch.manual_seed(0)
    net, processor = make_oneformer()
    weights = save(tmp_path, net.eval(), processor)
    # As published: its own file names classes in another repository of the hub.
    published = OneFormerImageProcessor(size={"shortest_edge": 64, "longest_edge": 128})
    published.class_info_file, published.repo_path = "coco_panoptic.json", "shi-labs/oneformer_demo"
    (tmp_path / "processor_config.json").unlink()
    published.save_pretrained(tmp_path)

    def refuse(*_, **__):
        raise AssertionError("asked for another repository")

    monkeypatch.setattr(
        "transformers.models.oneformer.image_processing_oneformer.load_metadata", refuse
    )
    model = TransformersInstances("cpu", weights=weights, **SPACE)
    (instances,) = model.predict([make_image(64, 96)], score_threshold=0.05)
    assert len(instances)
    assert set(instances.category_ids.tolist()) <= {1, 2, 3}
    with pytest.raises(ConfigError, match="task 'depth' is none of semantic, instance, panoptic"):
        TransformersSemantic("cpu", weights=weights, task="depth", **SPACE)


def test_a_task_is_for_oneformer_alone(tmp_path):
    weights = save(tmp_path, *make_eomt())
    with pytest.raises(ConfigError, match="task is for OneFormer alone"):
        TransformersSemantic("cpu", weights=weights, task="semantic", **SPACE)


def test_dinat_is_refused_with_a_line(tmp_path):
    (tmp_path / "config.json").write_text(
        '{"model_type": "oneformer", "backbone_config": {"model_type": "dinat"}}'
    )
    with pytest.raises(ModelError, match=r"DiNAT, which needs natten.*oneformer_coco_swin_large"):
        TransformersSemantic("cpu", weights=str(tmp_path), **SPACE)


@pytest.fixture(scope="module")
def rf_detr(tmp_path_factory):
    torch.manual_seed(0)
    net, processor = make_rf_detr()
    return save(tmp_path_factory.mktemp("rf_detr"), net.eval(), processor), net, processor


@pytest.mark.slow
def test_rf_detr_finds_what_transformers_finds(rf_detr):
    folder, net, processor = rf_detr
    model = TransformersInstances(
        "cpu", weights=folder, label_space="coco_things", precision="float32"
    )
    image = make_image(100, 140)
    (instances,) = model.predict([image], score_threshold=0.5)
    with torch.inference_mode():
        answer = net(processor(images=image.pixels, return_tensors="pt")["pixel_values"])
    (theirs,) = processor.post_process_instance_segmentation(
        answer, threshold=0.5, target_sizes=[image.size], return_binary_maps=True, top_k=100
    )
    known = load_space("coco_things").by_id  # 91 slots, of which COCO uses 80
    kept = [i for i, info in enumerate(theirs["segments_info"]) if info["label_id"] in known]
    assert 3 < len(kept) < len(theirs["segments_info"])
    assert len(instances) == len(kept)
    for place, index in enumerate(kept):
        info = theirs["segments_info"][index]
        assert instances.category_ids[place] == info["label_id"]
        assert instances.scores[place] == pytest.approx(info["score"], abs=1e-5)
        mask = coco_mask.decode(instances.masks.rles[place]).astype(bool)
        their = theirs["segmentation"][index].numpy()
        assert (mask == their).mean() > 0.9995  # a logit of 0 but for rounding


def test_rf_detr_needs_to_be_told_its_labels_where_they_are_not_cocos(rf_detr):
    with pytest.raises(ConfigError, match="has 91 classes, but label space 'coco_super' has 27"):
        TransformersInstances("cpu", weights=rf_detr[0], label_space="coco_super")
    with pytest.raises(ModelError, match="finds instances; as a semantic net it says nothing"):
        TransformersSemantic("cpu", weights=rf_detr[0], label_space="coco_things")
    with pytest.raises(ConfigError, match='finds things only; leave segments = "all" out'):
        TransformersInstances("cpu", weights=rf_detr[0], label_space="coco_things", segments="all")


def test_a_detector_without_masks_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(
        '{"model_type": "rf_detr", "architectures": ["RfDetrForObjectDetection"]}'
    )
    with pytest.raises(ModelError, match="finds boxes without masks; take a checkpoint with -seg-"):
        TransformersInstances("cpu", weights=str(tmp_path), label_space="coco_things")


@pytest.mark.slow
def test_both_branches_of_one_net_run_it_once(tmp_path, monkeypatch):
    torch.manual_seed(0)
    weights = save(tmp_path, *make_eomt())
    semantic = TransformersSemantic("cpu", weights=weights, **SPACE)
    images = [make_image(64, 96, 1), make_image(40, 30, 2)]
    alone = semantic.predict(images)
    instances = TransformersInstances("cpu", weights=weights, **SPACE)
    assert instances.net is semantic.net
    calls = []
    forward = semantic.net.forward
    monkeypatch.setattr(
        semantic.net, "forward", lambda **inputs: calls.append(1) or forward(**inputs)
    )
    for _ in range(2):
        calls.clear()
        both = semantic.predict(images)
        found = instances.predict(images, score_threshold=0.05)
        assert len(calls) == 2
    assert [one.logits.tolist() for one in both] == [one.logits.tolist() for one in alone]
    again = instances.predict(images, score_threshold=0.05)  # asked out of order: made again
    assert [one.scores.tolist() for one in again] == [one.scores.tolist() for one in found]


# What a later version of COCO's list of 91 calls the slots that COCO does not use.
UNUSED = {12: "street sign", 26: "hat", 29: "shoe", 30: "eye glasses", 45: "plate", 66: "mirror"}
UNUSED |= {68: "window", 69: "desk", 71: "door", 83: "blender"}


@pytest.mark.parametrize("unused", [{}, UNUSED], ids=["N/A", "names"])
def test_rf_detr_may_name_its_slots(rf_detr, tmp_path, unused):
    """As converters write COCO's names, and N/A or names for slots that COCO does not use."""
    folder = shutil.copytree(rf_detr[0], tmp_path / "named")
    known = load_space("coco_things").by_id
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {
        i: known[i].name if i in known else unused.get(i, "N/A") for i in range(91)
    }
    (folder / "config.json").write_text(json.dumps(config))
    options = {"label_space": "coco_things", "precision": "float32"}
    named = TransformersInstances("cpu", weights=str(folder), **options)
    plain = TransformersInstances("cpu", weights=rf_detr[0], **options)
    assert named.category_ids.tolist() == plain.category_ids.tolist()
    assert sorted(set(named.category_ids.tolist())) == [0, *sorted(known)]
