"""Costs of nets: counted by hand where they are small, and the same whoever was measured before."""

import json
from pathlib import Path
from unittest.mock import patch

import pytest
import segmentation_models_pytorch as smp
import torch
from click.testing import CliRunner
from oracle_jobs import Job
from PIL import Image

from fuse.analysis.profile import ProfileRow, profile
from fuse.cli import main
from fuse.errors import ConfigError, ModelError, ModelNotFoundError
from fuse.labels import load_space

IMAGE = str(Path(__file__).parents[2] / "examples" / "images" / "chelsea.jpg")


@pytest.mark.slow
def test_a_pair_and_its_nets_alone():
    rows = profile(["tiny", "tiny:semantic", "tiny:instance"], images=[IMAGE], device="cpu")
    parts = {(row.pipeline, row.part): row for row in rows}
    assert [row.part for row in rows[:5]] == ["semantic", "instance", "fusion", "files", "total"]
    total = parts["tiny", "total"]
    for branch in ("semantic", "instance"):
        alone, paired = parts[f"tiny:{branch}", branch], parts["tiny", branch]
        assert (alone.parameters, alone.flops) == (paired.parameters, paired.flops)
        assert alone.activations == paired.activations > 1e6
        assert alone.memory == pytest.approx(paired.memory, rel=0.05)
    assert total.parameters == sum(row.parameters for row in rows[:2])
    assert total.flops == sum(row.flops for row in rows[:2])
    assert total.activations == sum(row.activations for row in rows[:2])
    assert total.memory == max(row.memory for row in rows[:2])
    assert total.seconds == pytest.approx(sum(row.seconds for row in rows[:4]))
    assert [row.ratio for row in rows] == [None] * 4 + [1.0] + [None] * 2
    assert not any(row.has_random_weights for row in rows)


@pytest.mark.slow
def test_saved_predictions_are_found_by_the_images_name(real_files, monkeypatch):
    monkeypatch.chdir(real_files)
    rows = profile(["saved.toml", "oracle.toml"], images=["images/astronaut.jpg"], device="cpu")
    assert [row.part for row in rows].count("total") == 2


def test_nets_that_are_no_modules_of_torch_have_times_alone(tmp_path):
    job = Job(tmp_path, ["a.jpg"])
    job.add("a.jpg")
    done = []
    rows = profile(
        [str(job.preset), f"{job.preset}:instance"],
        images=[str(job.images)],
        device="cpu",
        on_progress=lambda *counts: done.append(counts),
    )
    pair = ["semantic", "instance", "fusion", "files", "total"]
    assert [(row.pipeline, row.part) for row in rows] == [
        *((str(job.preset), part) for part in pair),
        (f"{job.preset}:instance", "instance"),
    ]
    assert {(row.parameters, row.flops, row.activations) for row in rows} == {(None, 0, 0)}
    assert all(row.seconds > 0 for row in rows)
    assert rows[4].seconds == pytest.approx(sum(row.seconds for row in rows[:4]))
    assert [row.ratio for row in rows] == [None] * 4 + [1.0, None]
    assert done == [(0, 2), (1, 2), (2, 2)]


def test_a_row_is_written_by_its_names():
    row = ProfileRow("tiny", "semantic", 7, 6, 5, 4, seconds=0.25)
    assert row.to_json() == {
        "pipeline": "tiny",
        "part": "semantic",
        "parameters": 7,
        "flops": 6,
        "activations": 5,
        "memory": 4,
        "seconds": 0.25,
        "ratio": None,
        "has_random_weights": False,
    }


def test_images_are_read_as_stored_where_that_is_asked_for(tmp_path):
    """The input is padded to a square's side: a turned image has another number of operations."""
    image, exif = Image.new("RGB", (96, 32)), Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    line = ["models", "profile", "tiny:semantic", "--images", str(tmp_path), "--device", "cpu"]
    sizes = []
    with patch("fuse.analysis.profile.predict_semantic") as predict:
        for flag in ([], ["--as-stored"], ["--set", "as_stored=true"]):
            CliRunner().invoke(main, [*line, *flag], catch_exceptions=False)
            sizes.append(predict.call_args.args[2][0].size)
        profile(["tiny:semantic"], images=[str(tmp_path)], device="cpu")
        sizes.append(predict.call_args.args[2][0].size)
    assert sizes == [(96, 32), (32, 96), (32, 96), (96, 32)]


@pytest.mark.slow
def test_one_net_for_both_branches_counts_once(tmp_path, monkeypatch):
    monkeypatch.setenv("FUSE_WEIGHTS", str(tmp_path))  # where nothing is
    rows = profile(
        ["panoptic-fpn", "panoptic-fpn:semantic"],
        images=[IMAGE],
        device="cpu",
        random_weights=True,
        overrides=[
            f"{branch}.{key}={value}"
            for branch in ("semantic", "instance")
            for key, value in (
                ("min_size", 64),
                ("max_size", 96),
                ("weights", "'panoptic_fpn_R_50_3x'"),
            )
        ],
    )
    parts = {(row.pipeline, row.part): row for row in rows}
    total = parts["panoptic-fpn", "total"]
    assert total.parameters == parts["panoptic-fpn", "instance"].parameters
    # The backbone runs in the first branch, once for both, and what a pipeline left behind is
    # of no use to the next.
    alone = parts["panoptic-fpn:semantic", "semantic"]
    assert (alone.parameters, alone.flops) == (
        total.parameters,
        parts["panoptic-fpn", "semantic"].flops,
    )
    assert all(row.has_random_weights == (row.part not in ("fusion", "files")) for row in rows)


def test_random_weights_come_only_where_a_layout_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("FUSE_WEIGHTS", str(tmp_path))
    with pytest.raises(ModelError, match="smp-hub/upernet-convnext-base says itself what"):
        profile(["coco:semantic"], images=[IMAGE], device="cpu", random_weights=True)


@pytest.mark.slow
def test_a_net_of_ones_own_design_can_be_tried_before_it_is_trained(tmp_path):
    (tmp_path / "pair.toml").write_text("""
label_space = "coco_super"
[semantic]
model = "smp"
weights = "later.pth"
architecture = "Unet"
encoder = "resnet18"
label_space = "coco_super"
min_size = 64
[instance]
model = "torchvision"
weights = "tiny_instance"
""")
    asked = f"{tmp_path / 'pair.toml'}:semantic"
    (row,) = profile([asked], images=[IMAGE], device="cpu", random_weights=True)
    assert row.parameters == pytest.approx(14.3e6, rel=0.01)
    assert row.has_random_weights
    with pytest.raises(ModelNotFoundError, match=r"later\.pth"):
        profile([asked], images=[IMAGE], device="cpu")
    classes = len(load_space("coco_super").categories)
    net = smp.Unet("resnet18", encoder_weights=None, classes=classes)
    torch.save(net.state_dict(), tmp_path / "later.pth")
    (row,) = profile([asked], images=[IMAGE], device="cpu", random_weights=True)
    assert not row.has_random_weights  # its own are there
    steps = []
    profile([asked], images=[IMAGE], device="cpu", on_progress=lambda *step: steps.append(step))
    assert steps == [(0, 1), (1, 1)]


@pytest.mark.parametrize("asked", ["tiny:semantics", "tiny:"])
def test_what_is_no_branch_is_named(asked):
    with pytest.raises(ConfigError, match="after the colon comes semantic or instance"):
        profile([asked], images=[IMAGE])


def test_code_of_a_preset_is_not_run_unasked(tmp_path):
    (tmp_path / "mine.py").write_text("raise SystemExit")
    (tmp_path / "pair.toml").write_text("""
label_space = "coco_super"
[semantic]
model = "mine.py:Net"
[instance]
model = "torchvision"
weights = "tiny_instance"
""")
    with pytest.raises(ConfigError, match="give --allow-plugins"):
        profile([str(tmp_path / "pair.toml")], images=[IMAGE])


@pytest.mark.slow
def test_the_command_prints_a_table_or_json():
    arguments = ["models", "profile", "tiny:semantic", "--images", IMAGE, "--device", "cpu"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    head, row = result.stdout.splitlines()
    assert head.split()[:2] == ["pipeline", "part"]
    assert row.split()[:3] == ["tiny:semantic", "semantic", "3.84"]
    result = CliRunner().invoke(main, [*arguments, "--json", "-"])
    (row,) = json.loads(result.stdout)["rows"]
    assert row["part"] == "semantic"
    assert row["flops"] > 1e9
