"""Weights of pipelines: fetched from a server on this machine, then run with no network at all."""

import hashlib
import json
import socket
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
from click.testing import CliRunner
from torchvision.models import segmentation
from web_server import COMMIT, serve

from fuse import Pipeline
from fuse.cli import main
from fuse.errors import ModelNotFoundError
from fuse.inference.fetch import describe_pipelines, fetch
from fuse.inference.presets import list_pipelines
from fuse.models.weights.sources import list_published, read_catalog

EXAMPLES = Path(__file__).parents[2] / "examples" / "images"
LRASPP = "lraspp_mobilenet_v3_large"
PRESET = """
label_space = "{space}"
[semantic]
model = "{model}"
weights = "{weights}"
{options}
[instance]
model = "torchvision"
weights = "tiny_instance"
"""


def call(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def lraspp():
    """A stand-in for the smallest semantic net that torchvision publishes: its file's content."""
    torch.manual_seed(0)
    net = getattr(segmentation, LRASPP)(weights=None, weights_backbone=None)
    buffer = BytesIO()
    torch.save(net.state_dict(), buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def segformer(tmp_path_factory):
    """A stand-in for a net of the hub, in the layout of smp-hub."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("segformer")
    smp.Segformer(
        "mit_b0", encoder_weights=None, classes=27, decoder_segmentation_channels=32
    ).save_pretrained(folder)
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.suffix in (".json", ".safetensors")
    }


@pytest.fixture
def server(monkeypatch, tmp_path):
    with serve() as running:
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
        constants = "huggingface_hub.constants."
        monkeypatch.setattr(f"{constants}ENDPOINT", running.url)
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(f"{constants}HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(f"{constants}HF_HUB_CACHE", str(tmp_path / "hub"))
        yield running


def cut_the_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("asked for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def check_it_runs_without_a_network(preset, folder, tmp_path, monkeypatch):
    """The same weights and map from the folder, by its option and by the environment."""
    cut_the_network(monkeypatch)
    out = tmp_path / "out"
    result = call(
        *("run", EXAMPLES / "chelsea.jpg", "-o", out, "--device", "cpu"),
        *("--pipeline", preset, "--weights-dir", folder),
    )
    assert result.exit_code == 0, result.output
    run = json.loads((out / "run.json").read_text())
    monkeypatch.setenv("FUSE_WEIGHTS", str(folder))
    pipeline = Pipeline.load(str(preset), device="cpu")
    assert run["settings"]["weights"] == dict(pipeline.weights)
    return pipeline.weights["semantic"]


@pytest.mark.slow
def test_a_file_of_torchvisions_is_fetched_and_run(lraspp, server, tmp_path, monkeypatch):
    sha256 = hashlib.sha256(lraspp).hexdigest()
    name = f"{LRASPP}-{sha256[:8]}.pth"
    server.files[f"/models/{name}"] = lraspp
    server.cut_after = [1_000_000]
    row = list_published("torchvision", LRASPP)["DEFAULT"]
    row = replace(row, source=f"{server.url}/models/{name}", known_hash=f"sha256:{sha256[:8]}")
    monkeypatch.setattr("fuse.models.weights.sources.read_catalog", lambda: (row,))
    preset, folder = tmp_path / "voc.toml", tmp_path / "weights"
    preset.write_text(
        PRESET.format(
            space="coco_super",
            model="torchvision",
            weights="COCO_WITH_VOC_LABELS_V1",
            options=f'architecture = "{LRASPP}"\nlabel_space = "coco_super"\n'
            f"class_ids = [0, {', '.join(['1'] * 20)}]",
        )
    )
    result = call("fetch", preset, "--to", folder, "--json", "-")
    assert result.exit_code == 0, result.output
    fetched, shipped = json.loads(result.stdout)["files"]
    assert fetched == {
        "source": f"{server.url}/models/{name}",
        "path": str(folder / name),
        "size": len(lraspp),
        "sha256": sha256,
        "checked_by": "the first 8 digits of its SHA-256, when it was fetched",
        "revision": None,
    }
    assert Path(shipped["path"]).stem == "tiny_instance"
    assert f"fetching {name}: " in result.stderr
    assert check_it_runs_without_a_network(preset, folder, tmp_path, monkeypatch) == sha256


@pytest.mark.slow
def test_a_repository_of_the_hub_is_fetched_and_run(segformer, server, tmp_path, monkeypatch):
    server.add_repository("smp-hub/stand-in", segformer)
    preset, folder = tmp_path / "pair.toml", tmp_path / "weights"
    preset.write_text(
        PRESET.format(
            space="coco_super",
            model="smp",
            weights="smp-hub/stand-in",
            options=f'label_space = "coco_super"\nrevision = "{COMMIT}"',
        )
    )
    result = call("fetch", preset, "--to", folder)
    assert result.exit_code == 0, result.output
    sha256 = hashlib.sha256(segformer["model.safetensors"]).hexdigest()
    assert sha256[:16] in result.stdout
    assert check_it_runs_without_a_network(preset, folder, tmp_path, monkeypatch) == sha256


def test_without_a_network_and_weights_a_run_is_one_line(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("fuse.models.weights.download.urlopen", fail)
    result = call(
        *("run", EXAMPLES, "-o", tmp_path / "out", "--device", "cpu"),
        *("--pipeline", "panoptic-fpn", "--weights-dir", tmp_path / "weights"),
    )
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(
        f"Error: model_final_cafdb1.pkl is not in {tmp_path / 'weights'}, and cannot be fetched"
    )
    for word in ("no route to host", "fuse fetch", "--weights-dir", "TORCH_HOME"):
        assert word in line


def test_a_file_of_ones_own_that_is_missing_is_named(tmp_path):
    preset = tmp_path / "pair.toml"
    preset.write_text(PRESET.format(space="voc", model="smp", weights="none.pth", options=""))
    with pytest.raises(ModelNotFoundError, match=r"its semantic net needs .*none\.pth"):
        fetch([str(preset)])


def test_code_of_a_plug_in_is_not_run_to_fetch(tmp_path):
    (tmp_path / "mine.py").write_text("raise SystemExit")
    preset = tmp_path / "pair.toml"
    preset.write_text(PRESET.format(space="voc", model="mine.py:Net", weights="x", options=""))
    assert [Path(file.path).stem for file in fetch([str(preset)])] == ["tiny_instance"]


def test_every_pipeline_tells_of_its_weights(tmp_path):
    found = {pipeline.name: pipeline for pipeline in describe_pipelines(tmp_path)}
    assert set(found) == set(list_pipelines())
    known = {row.source for row in read_catalog()}
    for name, pipeline in found.items():
        for net in pipeline.weights:
            assert net.size > 1e6
            assert net.licence
            assert net.source in known or name.startswith("tiny")
            assert net.is_present == name.startswith("tiny")


def test_pipelines_are_listed_with_their_weights(tmp_path):
    result = call("pipelines", "--weights-dir", tmp_path)
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert "tiny_instance.safetensors, 13 MB, Apache-2.0: here" in lines
    (place,) = (at for at, line in enumerate(lines) if line.startswith("panoptic-fpn: "))
    assert lines[place + 1] == "model_final_cafdb1.pkl, about 261 MB, CC BY-SA 3.0: absent"
    addresses = lines[lines.index("fuse fetch PIPELINE gets what is absent, from") + 1 :]
    assert len(addresses) == len({line.split()[0] for line in addresses})
    (pickle,) = (line for line in addresses if "cafdb1" in line)
    assert pickle.startswith("https://dl.fbaipublicfiles.com/detectron2/")
    assert pickle.endswith("model_final_cafdb1.pkl, md5 begins with cafdb1")
    assert any(line.endswith("109e") and ", sha256 73cbd019" in line for line in addresses)
    assert "smp-hub/upernet-convnext-base at main, no hash known ahead" in lines
    (tmp_path / "model_final_cafdb1.pkl").touch()
    result = call("pipelines", "--weights-dir", tmp_path, "--json", "-")
    pipelines = {entry["name"]: entry for entry in json.loads(result.stdout)["pipelines"]}
    assert [net["is_present"] for net in pipelines["panoptic-fpn"]["weights"]] == [True, True]
    assert [net["branch"] for net in pipelines["coco"]["weights"]] == ["semantic", "instance"]
