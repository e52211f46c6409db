"""What is known of published weights, and where weights lie."""

from pathlib import Path

import pytest
import torch
from torchvision.models import detection, segmentation

from fuse.models.weights.published import list_published
from fuse.models.weights.sources import (
    choose_weights_dir,
    describe_file,
    describe_published,
    describe_repository,
    describe_url,
    find_in_catalog,
    holds_weights,
    is_hub_name,
    read_catalog,
    torch_home,
)

BUILDERS = {**dict.fromkeys(("fcn", "dee"), segmentation), "mas": detection}


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
    "row", [row for row in read_catalog() if row.model == "torchvision"], ids=lambda r: r.weights
)
def test_the_catalog_says_what_torchvision_says(row):
    published = list_published(BUILDERS[row.architecture[:3]], row.architecture)
    assert published[row.weights] == row.source
    start = row.source.rpartition("-")[2].removesuffix(".pth")
    assert row.known_hash.startswith(f"sha256:{start}")


def test_a_full_hash_of_the_catalog_comes_before_the_start_in_a_file_name():
    row = find_in_catalog(
        "torchvision", {"architecture": "maskrcnn_resnet50_fpn_v2", "weights": "COCO_V1"}
    )
    assert describe_url(row.source, "sha256:73cbd019").known_hash == row.known_hash
    assert len(row.known_hash) == len("sha256:") + 64
    assert describe_url("https://host/net-abcd.pth", "sha256:abcd").known_hash == "sha256:abcd"


def test_a_hash_of_the_catalog_is_that_of_a_pinned_commit_only():
    name = "facebook/mask2former-swin-large-mapillary-vistas-semantic"
    pinned = describe_repository(name, "4772b6bf101d91f2534c106dc524d906aeb3c68a")
    assert pinned.known_hash.startswith("sha256:72721afb")
    assert describe_repository(name, "0" * 40).known_hash == ""
    assert describe_repository(name).revision == "main"
    assert describe_repository(name).known_hash == ""


def test_what_the_catalog_lacks_is_none_of_its_own():
    assert find_in_catalog("torchvision", {"architecture": "x", "weights": "COCO_V1"}) is None
    assert describe_published("smp", {"weights": "tiny_semantic"}) is None


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
    url = describe_url("https://host/net-abcd.pth", "sha256:abcd").move_to(tmp_path)
    assert (url.path, url.is_present) == (tmp_path / "net-abcd.pth", False)
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
