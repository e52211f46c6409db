"""Whole runs of pairs by TOML alone, their nets from a hub that fails now and then."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from hub import hub  # noqa: F401 - a fixture
from transformers_nets import make_eomt, make_rf_detr, save

from fuse.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples" / "images"
PRESET = """
label_space = "coco_panoptic"
[semantic]
model = "transformers"
weights = "owner/eomt"
label_space = "coco_panoptic"
class_ids = [1, 92, 2, 187, 0]
[instance]
model = "transformers"
weights = "owner/rf-detr"
label_space = "coco_things"
[fusion]
stuff_area = 16
"""


@pytest.fixture
def nets(hub, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.delenv("FUSE_WEIGHTS", raising=False)
    torch.manual_seed(0)
    for name, make in (("owner/eomt", make_eomt), ("owner/rf-detr", make_rf_detr)):
        folder = Path(save(tmp_path / "made" / name, *make()))
        hub.add_repository(name, {path.name: path.read_bytes() for path in folder.iterdir()})
    (tmp_path / "pair.toml").write_text(PRESET)
    return hub


def run(tmp_path, out, *options):
    arguments = ["run", str(EXAMPLES / "chelsea.jpg"), "-o", str(tmp_path / out), "--device", "cpu"]
    return CliRunner().invoke(
        main, [*arguments, "--pipeline", str(tmp_path / "pair.toml"), *options]
    )


def read_run(tmp_path, out):
    return json.loads((tmp_path / out / "run.json").read_text())


@pytest.mark.slow
def test_a_pair_runs_by_toml_alone_and_faults_never_change_it(nets, tmp_path):
    clean = run(tmp_path, "clean")
    assert clean.exit_code == 0, clean.output
    settings = read_run(tmp_path, "clean")["settings"]
    beside = settings["side_files"]
    assert set(beside["instance"]) == {"config.json", "preprocessor_config.json"}
    expected = (tmp_path / "clean" / "panoptic.json").read_bytes()

    for file in (tmp_path / "cache").glob("models--*/snapshots/*/preprocessor_config.json"):
        file.resolve().unlink()  # what is left dangles
    nets.faults["/preprocessor_config.json"] = [500] * 50
    failed = run(tmp_path, "faulty")
    assert failed.exit_code == 1
    assert "lacks preprocessor_config.json or processor_config.json" in failed.stderr
    assert not (tmp_path / "faulty" / "panoptic.json").exists()
    nets.faults.clear()
    mended = run(tmp_path, "faulty")
    assert mended.exit_code == 0, mended.output
    assert (tmp_path / "faulty" / "panoptic.json").read_bytes() == expected
    assert read_run(tmp_path, "faulty")["settings"]["side_files"] == beside


@pytest.mark.slow
def test_other_preprocessing_is_another_run(nets, tmp_path):
    assert run(tmp_path, "out", "--weights-dir", str(tmp_path / "weights")).exit_code == 0
    file = tmp_path / "weights" / "owner" / "rf-detr" / "preprocessor_config.json"
    changed = json.loads(file.read_text()) | {"image_mean": [0.5, 0.5, 0.5]}
    (tmp_path / "weights" / "weights.lock.json").unlink()  # as if it had been put there by hand
    file.write_text(json.dumps(changed))
    again = run(tmp_path, "out", "--weights-dir", str(tmp_path / "weights"))
    assert again.exit_code != 0
    assert "side_files" in again.stderr or "other" in again.stderr, again.stderr


@pytest.mark.slow
def test_a_size_that_the_preset_gives_is_told_in_the_run(nets, tmp_path):
    result = run(tmp_path, "out", "--set", "instance.size=[48, 72]")
    assert result.exit_code == 0, result.output
    assert "images get the size that the preset says, 48 x 72 pixels" in result.stderr


@pytest.mark.slow
def test_one_net_alone_by_its_own_post_processing(nets, tmp_path):
    options = ["--set", "instance.weights=owner/eomt", "--set", 'instance.segments="all"']
    options += ["--set", "instance.label_space=coco_panoptic"]
    options += ["--set", "instance.class_ids=[1, 92, 2, 187, 0]"]
    options += ["--set", "fusion.rule=mask-classification", "--set", "fusion.score_threshold=0.2"]
    result = run(tmp_path, "one", *options, "--keep-predictions")
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "one" / "panoptic.json").read_text())
    categories = [s["category_id"] for s in written["annotations"][0]["segments_info"]]
    assert set(categories) <= {1, 92, 2, 187}
    assert categories.count(92) <= 1
    call = CliRunner().invoke(
        main,
        [
            *("combine", "--predictions", str(tmp_path / "one"), "-o", str(tmp_path / "two")),
            *("--rule", "mask-classification", "--set", "score_threshold=0.2"),
            *("--set", "stuff_area=16"),
        ],
    )
    assert call.exit_code == 0, call.output
    first = (tmp_path / "one" / "panoptic.json").read_text()
    again = json.loads((tmp_path / "two" / "panoptic.json").read_text())["annotations"]
    assert again == json.loads(first)["annotations"]
