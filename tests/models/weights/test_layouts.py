"""The layouts of published repositories, and nets built from them as they are published."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers_nets import make_clip_tokenizer

from fuse.inference.presets import list_pipelines, read_pipeline
from fuse.models.adapters.transformers_instances import TransformersInstances
from fuse.models.adapters.transformers_semantic import TransformersSemantic
from fuse.models.registry import create_instance_model, create_semantic_model
from fuse.models.weights.layouts import expand, find_layout, list_layouts, write_random
from fuse.models.weights.sources import read_catalog
from fuse.types import NamedImage

# Widths of nets; each is divided by eight in a small stand-in, and all else stays as published.
WIDTHS = {192, 256, 384, 512, 576, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192}
FIELDS = (
    *("hidden_size", "embed_dim", "feature_size", "mask_feature_size", "hidden_dim", "mask_dim"),
    *("conv_dim", "encoder_feedforward_dim", "dim_feedforward", "text_encoder_width"),
    "intermediate_size",
)
SMALLER = 4
COUNTS = ("sampling_offsets", "position_embeddings")  # which count places, not channels


def shrink(layout, folder):
    """A folder of the layout with all widths an eighth; keys, depths and counts as published.

    EoMT's input is a quarter, too, as it has a place for each patch.
    """
    folder.mkdir(parents=True)
    files = json.loads(json.dumps(layout.files))
    config = files["config.json"]
    is_eomt = config["model_type"].startswith("eomt")
    if is_eomt:
        config["image_size"] //= SMALLER
        size = files["preprocessor_config.json"]["size"]
        size.update({edge: side and side // SMALLER for edge, side in size.items()})
    for part in (config, config.get("backbone_config", {})):
        part.update({key: part[key] // 8 for key in FIELDS if key in part})
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    if config["model_type"] == "oneformer":  # as CLIP has it, with a byte for a word
        make_clip_tokenizer().save_pretrained(folder)
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in layout.shapes.items():
        keeps_first = any(part in name for part in COUNTS)
        sides = [
            side // 8 if side in WIDTHS and not (keeps_first and axis == 0) else side
            for axis, side in enumerate(shape)
        ]
        if is_eomt and "position_embeddings" in name:
            sides[0] //= SMALLER**2
        is_index = name.endswith(("num_batches_tracked", "position_index", "position_ids"))
        values = 0.1 * torch.randn(sides, generator=generator)
        state[name] = values.long() if is_index else values
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


def make_image(height=60, width=80):
    rng = np.random.default_rng(0)
    return NamedImage(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_lines_name_tensors_one_by_one():
    assert expand("a.{0-1,4}.b.{2}.c 3 4") == [
        ("a.0.b.2.c", (3, 4)),
        ("a.1.b.2.c", (3, 4)),
        ("a.4.b.2.c", (3, 4)),
    ]
    assert expand("logit_scale") == [("logit_scale", ())]


def test_what_presets_name_is_known_and_says_its_sources():
    rows = [row for row in read_catalog() if row.model == "transformers"]
    assert {row.source for row in rows} <= set(list_layouts())
    for repository in list_layouts():
        layout = find_layout(repository)
        assert layout.repository == repository
        assert len(layout.sources) > 1
        assert layout.unknown
    assert find_layout("owner/net") is None


@pytest.mark.parametrize("row", [r for r in read_catalog() if r.model == "transformers"], ids=str)
def test_published_sizes_are_those_of_the_tensors(row):
    """Four bytes a number; files may hold a header and buffers beside them."""
    numbers = sum(int(np.prod(shape)) for shape in find_layout(row.source).shapes.values())
    assert row.size == pytest.approx(4 * numbers, rel=0.02)


SMALL = [
    "tue-mps/ade20k_semantic_eomt_large_512",
    "facebook/mask2former-swin-large-coco-panoptic",
    "shi-labs/oneformer_coco_swin_large",
    "tue-mps/coco_panoptic_eomt_giant_640",
    "tue-mps/eomt-dinov3-coco-panoptic-large-640",
]


@pytest.mark.filterwarnings("ignore::fuse.errors.FuseWarning")
@pytest.mark.slow
@pytest.mark.parametrize("repository", SMALL)
def test_published_keys_load_and_answer(tmp_path, repository):
    """The keys of the files as they were published, which newer releases have under other names."""
    weights = shrink(find_layout(repository), tmp_path / "net")
    space = "ade20k_150" if "ade20k" in repository else "coco_panoptic"
    options = {"weights": weights, "label_space": space, "precision": "float32"}
    if "eomt" not in repository:
        options["size"] = [128, 160]
    model = TransformersSemantic("cpu", **options)
    (semantic,) = model.predict([make_image()])
    assert len(semantic.logits) == len(model.category_ids)
    assert semantic.logits.astype(np.float32).std() > 0
    state, loaded = load_file(f"{weights}/model.safetensors"), model.net.state_dict()
    for name in ("class_predictor.weight", "model.transformer_module.decoder.class_embed.weight"):
        if name in state:
            torch.testing.assert_close(loaded[name], state[name])
    if (both := state.get("layers.3.mlp.weights_in.weight")) is not None:
        halves = [loaded[f"layers.3.mlp.{half}_proj.weight"] for half in ("gate", "up")]
        torch.testing.assert_close(torch.cat(halves), both)
    if "ade20k" not in repository:
        instances = TransformersInstances("cpu", **options)
        assert instances.net is model.net
        assert instances.predict([make_image()], score_threshold=0.001)


@pytest.mark.slow
def test_a_mobilenet_and_an_rf_detr_of_full_size_load(tmp_path):
    folder = write_random(
        find_layout("google/deeplabv3_mobilenet_v2_1.0_513"), tmp_path / "deeplab"
    )
    model = TransformersSemantic("cpu", weights=str(folder), label_space="voc")
    assert model.predict([make_image()])[0].logits.shape[0] == 21
    folder = write_random(find_layout("Roboflow/rf-detr-seg-medium"), tmp_path / "rf_detr")
    found = TransformersInstances("cpu", weights=str(folder), label_space="coco_things")
    assert len(found.category_ids) == 91
    (instances,) = found.predict([make_image()], score_threshold=0.0)
    assert set(instances.category_ids.tolist()) <= set(found.label_space.thing_ids)
    state, loaded = load_file(folder / "model.safetensors"), found.net.state_dict()
    (queries,) = (value for key, value in loaded.items() if "layers.4.self_attn.q_proj.w" in key)
    of_all = state["transformer.decoder.layers.4.self_attn.in_proj_weight"]
    torch.testing.assert_close(queries, of_all[:256].float())
    assert found.category_ids.tolist()[:14] == [*range(12), 0, 13]


@pytest.mark.filterwarnings("ignore::fuse.errors.FuseWarning")
@pytest.mark.slow
@pytest.mark.parametrize("preset", [name for name in list_pipelines() if name != "tiny"])
def test_presets_load_nets_in_their_published_layout(tmp_path, preset):
    """Each net of transformers in a preset, small, with the preset's own options."""
    config = read_pipeline(preset)
    for branch, create in (
        ("semantic", create_semantic_model),
        ("instance", create_instance_model),
    ):
        model = getattr(config, branch)
        layout = find_layout(model.options["weights"])
        if layout is None:
            continue
        if "mobilenet" in layout.repository or "rf-detr" in layout.repository:
            weights = str(write_random(layout, tmp_path / branch))
        else:
            weights = shrink(layout, tmp_path / branch)
        options = {k: v for k, v in model.options.items() if k != "revision"}
        net = create("transformers", "cpu", options | {"weights": weights})
        assert net.label_space.name in (config.label_space, model.options["label_space"])
        if preset in ("coco-mask2former", "coco-oneformer") and branch == "semantic":
            (semantic,) = net.predict([make_image(600, 800)])
            # 800 x 1067 pixels; Mask2Former's is stretched to multiples of 32.
            wide = 1088 if "mask2former" in preset else 1067
            assert semantic.logits.shape[1:] == (200, -(-wide // 4))
