"""Folders of transformers as others write them: read as they mean it, or refused in one line."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers_nets import make_eomt, make_image, make_upernet, save

from fuse.errors import ConfigError, FuseError, FuseWarning, ModelError
from fuse.labels import load_space
from fuse.models.adapters.transformers_semantic import TransformersSemantic

IDS = [1, 13, 2, 14, 3]
SPACE = {"label_space": "coco_super", "class_ids": IDS, "precision": "float32"}
PROCESSOR = "preprocessor_config.json"
INDEX = "pytorch_model.bin.index.json"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder per kind of net, and what the net in it answers."""
    folders = {}
    for name, make in (("upernet", make_upernet), ("eomt", make_eomt)):
        torch.manual_seed(0)
        net, processor = make()
        folder = tmp_path_factory.mktemp(name)
        save(folder, net.eval(), processor)
        folders[name] = (folder, predict(folder))
    return folders


def predict(folder):
    model = TransformersSemantic("cpu", weights=str(folder), **SPACE)
    return model.predict([make_image(60, 90)])[0].logits


@pytest.fixture(params=["upernet", "eomt"])
def net(request, published, tmp_path):
    """A copy of a folder, and the answer of its net."""
    folder, logits = published[request.param]
    return shutil.copytree(folder, tmp_path / request.param), logits


def edit(folder, file, change):
    path = folder / file
    described = json.loads(path.read_text())
    change(described)
    path.write_text(json.dumps(described))


def as_bin(folder, state):
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def as_old_bin(folder, state):
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    (folder / "model.safetensors").unlink()


def as_two_bins(folder, state):
    parts = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    names = {key: parts[index % 2] for index, key in enumerate(state)}
    for part in parts:
        torch.save({key: state[key] for key in state if names[key] == part}, folder / part)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": names}))
    (folder / "model.safetensors").unlink()


def as_two_safetensors(folder, state):
    parts = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    names = {key: parts[index % 2] for index, key in enumerate(state)}
    for part in parts:
        some = {key: state[key] for key in state if names[key] == part}
        save_file(some, folder / part, metadata={"format": "pt"})
    index = json.dumps({"metadata": {}, "weight_map": names})
    (folder / "model.safetensors.index.json").write_text(index)
    (folder / "model.safetensors").unlink()


def beside_another_bin(folder, state):
    """As EoMT's repositories hold the file of its authors' own code, too."""
    torch.save(
        {f"network.{key}": value for key, value in state.items()}, folder / "pytorch_model.bin"
    )


def without_metadata(folder, state):
    save_file(state, folder / "model.safetensors")


@pytest.mark.parametrize(
    "write",
    [
        as_bin,
        as_old_bin,
        as_two_bins,
        as_two_safetensors,
        beside_another_bin,
        without_metadata,
    ],
)
def test_weights_may_lie_in_any_form(net, write):
    folder, logits = net
    write(folder, load_file(folder / "model.safetensors"))
    np.testing.assert_array_equal(predict(folder), logits)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_weights_of_half_precision_are_those_rounded(net, dtype):
    folder, logits = net
    state = load_file(folder / "model.safetensors")
    half = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    save_file(half, folder / "model.safetensors", metadata={"format": "pt"})
    edit(folder, "config.json", lambda config: config.update(dtype=str(dtype).partition(".")[2]))
    rounded = predict(folder)
    assert not np.array_equal(rounded, logits)
    np.testing.assert_allclose(rounded, logits, atol=0.5 if dtype == torch.bfloat16 else 0.05)


def name_classes(names):
    def change(config):
        for key in ("id2label", "label2id", "num_labels"):
            config.pop(key, None)
        config.update(names)

    return change


NAMES = [load_space("coco_super").by_id[i].name for i in IDS]


@pytest.mark.parametrize(
    "names",
    [
        {"id2label": {str(i): name for i, name in enumerate(NAMES)}},
        {"id2label": {str(i): f"LABEL_{i}" for i in range(5)}},
        {"num_labels": 5},
    ],
    ids=["names", "LABEL_0", "a number"],
)
def test_classes_may_be_named_or_counted(net, names):
    folder, logits = net
    edit(folder, "config.json", name_classes(names))
    np.testing.assert_array_equal(predict(folder), logits)


def test_classes_that_nobody_counted_are_told_as_such(net):
    folder, _ = net
    edit(folder, "config.json", name_classes({}))
    with pytest.raises(ConfigError, match=r"says neither num_labels nor id2label.*add num_labels"):
        predict(folder)


@pytest.mark.parametrize("form", ["nested", "fast", "pil", "untyped", "feature extractor"])
def test_preprocessing_may_be_of_any_age(net, form):
    folder, logits = net
    described = json.loads((folder / PROCESSOR).read_text())
    kind = described.pop("image_processor_type").removesuffix("Fast")
    changed = {
        "nested": {"image_processor": described | {"image_processor_type": kind}},
        "fast": described | {"image_processor_type": f"{kind}Fast"},
        "pil": described | {"image_processor_type": f"{kind}Pil"},
        "untyped": described,
        "feature extractor": described
        | {"feature_extractor_type": kind.replace("ImageProcessor", "FeatureExtractor")},
    }[form]
    (folder / PROCESSOR).unlink()
    name = "processor_config.json" if form == "nested" else PROCESSOR
    (folder / name).write_text(json.dumps(changed))
    np.testing.assert_array_equal(predict(folder), logits)


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ({"shortest_edge": 64}, (64, 96)),
        ({"height": 64, "width": 96}, (64, 96)),
        (64, (64, 64)),
        ([64, 96], (64, 96)),
        ({"shortest_edge": 64, "longest_edge": 64}, (43, 64)),
    ],
    ids=str,
)
def test_a_size_may_be_written_in_any_way(published, tmp_path, size, shape):
    folder = shutil.copytree(published["upernet"][0], tmp_path / "net")
    edit(folder, PROCESSOR, lambda described: described.update(size=size))
    assert predict(folder).shape[1:] == shape


def test_what_the_preprocessing_leaves_unsaid_is_told(published, tmp_path):
    folder = shutil.copytree(published["upernet"][0], tmp_path / "net")
    edit(folder, PROCESSOR, lambda described: [described.pop(k) for k in ("size", "image_mean")])
    with pytest.warns(FuseWarning, match=r"does not say size, image_mean; .* 512 x 512 pixels"):
        predict(folder)


@pytest.mark.parametrize(
    "size", [{"shortest_edge": 64}, {"height": 64, "width": 64}, {"shortest_edge": 32}, 64], ids=str
)
def test_a_net_of_one_size_is_not_fed_another(published, tmp_path, size):
    folder = shutil.copytree(published["eomt"][0], tmp_path / "net")
    edit(folder, PROCESSOR, lambda described: described.update(size=size))
    with pytest.raises(ModelError, match=r"its preprocessing makes images .* takes 64 x 64 pixels"):
        predict(folder)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def point(path):
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n")


@pytest.mark.parametrize(
    ("file", "damage", "said"),
    [
        ("model.safetensors", cut, "model.safetensors: is cut short or damaged"),
        ("model.safetensors", point, "model.safetensors: is a pointer of Git LFS"),
        ("config.json", cut, "config.json: no JSON"),
        ("config.json", lambda path: path.unlink(), "config.json: cannot be read (No such file"),
        ("config.json", lambda path: path.write_text("{}"), "config.json: says no model_type"),
        (PROCESSOR, cut, "preprocessor_config.json: no JSON"),
        (PROCESSOR, lambda path: path.unlink(), "holds no preprocessor_config.json"),
    ],
)
def test_what_is_damaged_is_named(net, file, damage, said):
    folder, _ = net
    damage(folder / file)
    with pytest.raises(FuseError) as caught:
        predict(folder)
    message = str(caught.value)
    assert said in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("config.json", {"id2label": ["a", "b"]}, "its id2label is no table of names by number"),
        ("config.json", {"model_type": "unheard_of"}, "does not recognize this architecture"),
        (PROCESSOR, {"size": None}, "its preprocessing says no size"),
        (PROCESSOR, {"size": "big"}, "transformers cannot read it (Could not convert size"),
        (PROCESSOR, {"image_processor_type": "Unheard"}, "Unrecognized image processor in"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_in_a_line(net, file, change, said):
    folder, _ = net
    edit(folder, file, lambda described: described.update(change))
    with pytest.raises(FuseError) as caught:
        predict(folder)
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    assert len(message) < 500
