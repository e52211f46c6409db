"""Repositories of the hub as users meet them: half there, damaged, moved, refused."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hub import hub  # noqa: F401 - a fixture
from web_server import COMMIT

from fuse.errors import DataError, FuseWarning, ModelNotFoundError
from fuse.models.weights.fetching import check_weights, fetch_weights
from fuse.models.weights.side_files import hash_side_files
from fuse.models.weights.sources import describe_named, describe_repository
from fuse.version import __version__

WEIGHTS = np.random.default_rng(0).bytes(50_000)
TRANSFORM = b'{"transform": {}}'
SMP = {
    "config.json": b'{"_model_class": "FPN"}',
    "albumentations_config_eval.json": TRANSFORM,
    "model.safetensors": WEIGHTS,
    "README.md": b"about",
}
LATER = "badcab" * 6 + "beef"


@pytest.fixture(params=["cache", "folder"])
def needed(hub, request, tmp_path):  # noqa: F811
    """What a net of smp needs, in the hub's cache or in a weights folder; asked anew each time."""
    hub.add_repository("owner/net", SMP)
    folder = tmp_path / "weights" if request.param == "folder" else None
    return lambda revision=None: describe_repository("owner/net", revision, "smp").move_to(folder)


def snapshot(tmp_path, commit=COMMIT):
    return tmp_path / "cache" / "models--owner--net" / "snapshots" / commit


def test_side_files_are_fetched_checked_and_told(needed):
    folder = fetch_weights(needed())
    assert needed().is_present
    assert (folder / "albumentations_config_eval.json").read_bytes() == TRANSFORM
    assert not (folder / "README.md").exists()
    files = {file.path.name: file for file in check_weights(needed())}
    assert set(files) == {"config.json", "albumentations_config_eval.json", "model.safetensors"}
    assert all(file.checked_by for file in files.values())
    told = hash_side_files("smp", folder)
    assert told["albumentations_config_eval.json"] == hashlib.sha256(TRANSFORM).hexdigest()


def test_bytes_are_told_as_they_come_and_the_hub_s_client_draws_no_bars(needed, capsys):
    told = []
    fetch_weights(needed(), lambda *progress: told.append(progress))
    total = sum(map(len, SMP.values())) - len(SMP["README.md"])
    assert {name for name, _, _ in told} == {"owner/net"}
    assert {in_all for _, _, in_all in told} == {total}
    there = [there for _, there, _ in told]
    assert there == sorted(there)
    assert (there[0], there[-1]) == (0, total)
    assert len(WEIGHTS) < there[-2] <= total  # from the bars, before the end
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("status", [500, 503, 404])
def test_a_side_file_that_did_not_come_is_an_error_and_comes_the_next_time(
    hub,  # noqa: F811
    needed,
    status,
):
    hub.faults["/albumentations_config_eval.json"] = [status] * 20
    with pytest.raises(ModelNotFoundError, match="owner/net"):
        fetch_weights(needed())
    assert not needed().is_present
    hub.faults.clear()
    folder = fetch_weights(needed())
    assert (folder / "albumentations_config_eval.json").read_bytes() == TRANSFORM
    assert needed().is_present


def test_a_cache_that_another_tool_filled_in_part_is_completed_at_its_commit(hub, tmp_path):  # noqa: F811
    from huggingface_hub import snapshot_download

    hub.add_repository("owner/net", SMP)
    snapshot_download("owner/net", allow_patterns=["config.json", "*.safetensors"])
    moved = {**SMP, "albumentations_config_eval.json": b"{}", "model.safetensors": WEIGHTS[::-1]}
    hub.add_repository("owner/net", moved, LATER)
    needed = describe_repository("owner/net", None, "smp")
    assert needed.list_missing() == ["albumentations_config_eval.json"]
    assert not needed.is_present
    hub.requests.clear()
    assert fetch_weights(needed) == snapshot(tmp_path)
    assert [path.rpartition("/")[2] for path, _ in hub.requests] == [
        "albumentations_config_eval.json"
    ]
    assert (snapshot(tmp_path) / "albumentations_config_eval.json").read_bytes() == TRANSFORM


def test_a_cache_without_a_side_file_is_no_answer_without_a_network(hub, tmp_path, monkeypatch):  # noqa: F811
    from huggingface_hub import snapshot_download

    hub.add_repository("owner/net", SMP)
    snapshot_download("owner/net", allow_patterns=["config.json", "*.safetensors"])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelNotFoundError) as caught:
        fetch_weights(describe_repository("owner/net", None, "smp"))
    message = str(caught.value)
    assert "lacks albumentations_config_eval.json" in message
    assert "HF_HUB_OFFLINE forbids it" in message
    assert "unset HF_HUB_OFFLINE" in message


def test_what_a_repository_does_not_have_is_not_asked_for_again(hub, needed):  # noqa: F811
    hub.add_repository("owner/own", {k: v for k, v in SMP.items() if "albument" not in k})
    named = {"weights": "owner/own"}
    here = needed().path.name == "net" and "weights" in needed().path.parts
    folder = needed().path.parents[1] if here else None
    own = describe_named("smp", named).move_to(folder)
    fetch_weights(own)
    hub.requests.clear()
    again = describe_named("smp", named).move_to(folder)
    assert again.is_present
    fetch_weights(again)
    assert hub.requests == []


def test_a_net_of_transformers_without_preprocessing_is_refused(hub):  # noqa: F811
    hub.add_repository("owner/bare", {"config.json": b"{}", "model.safetensors": WEIGHTS})
    with pytest.raises(ModelNotFoundError, match=r"holds no preprocessor_config\.json or"):
        fetch_weights(describe_named("transformers", {"weights": "owner/bare"}))


def test_a_oneformer_needs_what_reads_its_task(hub, tmp_path):  # noqa: F811
    files = {
        "config.json": b'{"model_type": "oneformer"}',
        "preprocessor_config.json": b"{}",
        "vocab.json": b"{}",
        "merges.txt": b"#",
        "model.safetensors": WEIGHTS,
    }
    hub.add_repository("owner/one", files)
    folder = fetch_weights(describe_named("transformers", {"weights": "owner/one"}))
    (folder / "merges.txt").unlink()
    needed = describe_named("transformers", {"weights": "owner/one"})
    assert needed.list_missing() == ["tokenizer.json or merges.txt"]
    assert (fetch_weights(needed) / "merges.txt").read_bytes() == b"#"


@pytest.mark.parametrize("damage", [b"", b"\0" * len(TRANSFORM)])
def test_a_damaged_side_file_is_mended(needed, damage):
    file = fetch_weights(needed()) / "albumentations_config_eval.json"
    file.resolve().write_bytes(damage)
    assert not needed().is_present
    assert (fetch_weights(needed()) / file.name).read_bytes() == TRANSFORM
    assert needed().is_present


def test_after_a_refused_hash_nothing_dangles(hub, needed):  # noqa: F811
    hub.claims["model.safetensors"] = "0" * 64
    with pytest.raises(ModelNotFoundError, match=r"model\.safetensors: .* not 0000"):
        fetch_weights(needed())
    assert not needed().is_present
    assert not [
        path for path in needed().path.rglob("*") if path.is_symlink() and not path.exists()
    ]
    hub.claims.clear()
    assert (fetch_weights(needed()) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_link_to_nothing_is_no_weights(hub, tmp_path):  # noqa: F811
    hub.add_repository("owner/net", SMP)
    needed = describe_repository("owner/net", None, "smp")
    folder = fetch_weights(needed)
    (folder / "model.safetensors").resolve().unlink()
    needed = describe_repository("owner/net", None, "smp")
    assert not needed.is_present
    assert (fetch_weights(needed) / "model.safetensors").read_bytes() == WEIGHTS


def test_main_is_what_it_was_at_the_first_fetch(hub, needed):  # noqa: F811
    first = fetch_weights(needed())
    hub.add_repository("owner/net", {**SMP, "model.safetensors": WEIGHTS[::-1]}, LATER)
    for ref in needed().path.parent.parent.glob("refs/main"):
        ref.write_text(LATER)  # as another tool does that looks for news
    hub.requests.clear()
    assert fetch_weights(needed()) == first
    assert hub.requests == []
    assert {file.revision for file in check_weights(needed())} <= {COMMIT, None}
    later = fetch_weights(needed(LATER))
    assert (later / "model.safetensors").read_bytes() == WEIGHTS[::-1]


def test_a_damaged_side_file_is_told_by_a_look_at_every_byte(needed):
    file = fetch_weights(needed()) / "config.json"
    file.resolve().write_bytes(b"{}")
    with pytest.raises(DataError, match=r"config\.json: .*fetch it again"):
        check_weights(needed())


def explain(name, revision=None):
    with pytest.raises(ModelNotFoundError) as caught:
        fetch_weights(describe_repository(name, revision, "smp"))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_refusals_say_why_and_what_helps(hub):  # noqa: F811
    for name in ("owner/net", "owner/gated", "owner/private"):
        hub.add_repository(name, SMP)
    hub.gated.add("owner/gated")
    hub.private.add("owner/private")
    message = explain("owner/gated")
    assert "Access to model owner/gated is restricted" in message
    assert f"agree to its terms on {hub.url}/owner/gated" in message
    assert "HF_TOKEN" in message
    message = explain("owner/private")
    assert "401: Repository not found" in message
    assert "if it is private, set HF_TOKEN" in message
    message = explain("owner/net", "v9")
    assert "Invalid rev id: v9" in message
    assert "not 'v9'" in message
    assert hub.url in message
    assert "huggingface.co" not in message
    hub.faults["/revision/main"] = [403]
    assert "token" in explain("owner/net")
    hub.faults["/revision/main"] = [503] * 20
    assert "try again later" in explain("owner/net")


def test_a_token_opens_what_is_gated(hub, monkeypatch):  # noqa: F811
    hub.add_repository("owner/gated", SMP)
    hub.gated.add("owner/gated")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    monkeypatch.setenv("HF_TOKEN", "hf_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
    assert fetch_weights(describe_repository("owner/gated", None, "smp"))


def test_a_renamed_repository_is_followed_and_told(hub):  # noqa: F811
    hub.add_repository("owner/new", SMP)
    hub.renamed["owner/net"] = "owner/new"
    with pytest.warns(FuseWarning, match="owner/net is now called owner/new on the hub"):
        folder = fetch_weights(describe_repository("owner/net", None, "smp"))
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert describe_repository("owner/net", None, "smp").is_present


def test_the_hub_is_told_who_asks(hub):  # noqa: F811
    hub.add_repository("owner/net", SMP)
    fetch_weights(describe_repository("owner/net", None, "smp"))
    assert all(f"fuse/{__version__}" in agent for agent in hub.agents)


def test_a_proxy_in_the_way_is_named_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:9")
    message = explain("owner/net")
    assert "through the proxy http://127.0.0.1:9 of HTTPS_PROXY" in message
    assert "secret" not in message


def test_files_put_into_a_weights_folder_by_hand_will_do(hub, tmp_path):  # noqa: F811
    folder = tmp_path / "weights" / "owner" / "net"
    folder.mkdir(parents=True)
    for name, content in SMP.items():
        (folder / name).write_bytes(content)
    needed = describe_repository("owner/net", None, "smp").move_to(Path(tmp_path / "weights"))
    assert needed.is_present
    assert fetch_weights(needed) == folder
    assert hub.requests == []
    assert needed.list_missing() == []
