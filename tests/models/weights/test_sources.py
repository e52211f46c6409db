"""What is known of published weights, and where weights lie."""

from pathlib import Path

import pytest
import torch
from torchvision.models import detection, get_model_weights, list_models, segmentation

from fuse.models.weights.sources import (
    choose_weights_dir,
    describe_file,
    describe_named,
    describe_repository,
    find_in_catalog,
    holds_weights,
    is_hub_name,
    list_published,
    read_catalog,
    torch_home,
)


def test_every_row_of_the_catalog_is_complete():
    assert len({(row.model, row.architecture, row.weights) for row in read_catalog()}) == len(
        read_catalog()
    )
    for row in read_catalog():
        assert row.size > 1e6
        assert row.licence
        assert row.is_exact or row.size % 1000 == 0  # rounded
        assert row.known_hash or not row.source.startswith("https://")


@pytest.mark.parametrize(
    "architecture",
    [
        *list_models(segmentation),
        *(name for name in list_models(detection) if name.startswith("maskrcnn_")),
    ],
)
def test_the_catalog_says_what_torchvision_says(architecture):
    rows = list_published("torchvision", architecture)
    published = get_model_weights(architecture).__members__
    assert {name: row.source for name, row in rows.items()} == {
        name: entry.url for name, entry in published.items()
    }
    for row in rows.values():
        start = row.file_name.rpartition("-")[2].removesuffix(".pth")
        assert row.known_hash.startswith(f"sha256:{start}")
        assert row.size / 2**20 == pytest.approx(
            published[row.weights].meta["_file_size"], abs=1e-3
        )


def test_named_weights_lie_where_torch_hub_puts_them(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    options = {"architecture": "maskrcnn_resnet50_fpn_v2", "weights": "COCO_V1"}
    needed = describe_named("torchvision", options)
    assert needed.path.parent == tmp_path / "hub" / "checkpoints"
    assert needed.source.endswith(needed.path.name)
    assert len(needed.known_hash) == len("sha256:") + 64
    assert describe_named("torchvision", {**options, "weights": "DEFAULT"}) == needed
    own = describe_named("torchvision", {"weights": "COCO_V1"})  # of no architecture: a file
    assert (own.path, own.is_remote) == (Path("COCO_V1"), False)
    assert describe_named("smp", {"weights": "tiny_semantic"}).is_present


def test_a_hash_of_the_catalog_is_that_of_a_pinned_commit_only():
    name = "facebook/mask2former-swin-large-mapillary-vistas-semantic"
    pinned = describe_repository(name, "4772b6bf101d91f2534c106dc524d906aeb3c68a")
    assert pinned.known_hash.startswith("sha256:72721afb")
    assert describe_repository(name, "0" * 40).known_hash == ""
    assert describe_repository(name).revision == "main"
    assert describe_repository(name).known_hash == ""


def test_what_the_catalog_lacks_is_none_of_its_own():
    assert find_in_catalog("torchvision", {"architecture": "x", "weights": "COCO_V1"}) is None
    assert find_in_catalog("smp", {"architecture": "FPN", "weights": "DEFAULT"}) is None
    assert find_in_catalog("smp", {"weights": "tiny_semantic"}) is None


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"TORCH_HOME": "/there"}, Path("/there/hub")),
        ({"XDG_CACHE_HOME": "/cache"}, Path("/cache/torch/hub")),
        ({}, Path.home() / ".cache/torch/hub"),
    ],
)
def test_torchs_folder_is_found_without_torch(monkeypatch, variables, expected):
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert torch_home() == expected == Path(torch.hub.get_dir())


def test_a_weights_folder_takes_the_place_of_both(tmp_path, monkeypatch):
    monkeypatch.delenv("FUSE_WEIGHTS", raising=False)
    assert choose_weights_dir(None) is None
    monkeypatch.setenv("FUSE_WEIGHTS", str(tmp_path))
    assert choose_weights_dir(None) == tmp_path
    assert choose_weights_dir(Path("other")) == Path("other")
    checkpoint = describe_named("panoptic-fpn", {"weights": "panoptic_fpn_R_101_3x"})
    moved = checkpoint.move_to(tmp_path)
    assert (moved.path, moved.is_present) == (tmp_path / "model_final_cafdb1.pkl", False)
    repository = describe_repository("owner/net").move_to(tmp_path)
    assert repository.path == tmp_path / "owner" / "net"
    assert not repository.is_present
    repository.path.mkdir(parents=True)
    (repository.path / "config.json").touch()
    assert not repository.is_present  # a cut download may have got no further
    (repository.path / "model.safetensors").touch()
    assert repository.is_present
    assert holds_weights(repository.path)


def test_shipped_weights_and_files_are_not_fetched(tmp_path):
    for needed in (describe_file("tiny_semantic"), describe_file(str(tmp_path / "net.pth"))):
        assert not needed.is_remote
        assert needed.move_to(tmp_path / "weights") == needed
    assert describe_file("tiny_semantic").is_present
    assert not describe_file(str(tmp_path / "none.pth")).is_present


def test_hub_names_are_told_from_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets" / "mine").mkdir(parents=True)
    assert is_hub_name("owner/net")
    assert not is_hub_name("nets/mine")
    assert not is_hub_name("owner/net.safetensors")
    for path in ("a/b/c", "../net", "./net", "~/net", "größe/netz", "nets/.hidden", "a/b..c"):
        assert not is_hub_name(path)
        assert describe_repository(path).path == Path(path).expanduser()
    assert describe_repository("nets/mine").path == Path("nets/mine")
