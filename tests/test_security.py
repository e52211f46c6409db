"""What SECURITY.md promises: no file leads out of its folder, and no data runs as code."""

import csv
import io
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import fuse.cli
from fuse import api
from fuse.cli import main
from fuse.cli.printing import printable
from fuse.errors import (
    CocoFormatError,
    ConfigError,
    DataError,
    FuseError,
    FuseWarning,
    ModelError,
)
from fuse.io.files import find_name_fault, leads_out
from fuse.models.registry import BUILT_IN, needs_plugin_permission

ROOT = Path(__file__).parent.parent
LEADING_OUT = (
    *("../secret.png", "a/../../secret.png", "/etc/secret.png", "", ".", "..", "a/..", "a\0.png"),
    *("..\\secret.png", "a\\..\\..\\x.png", "C:\\x.png", "C:x.png", "\\\\host\\share\\x.png"),
    *("\\x.png", ".. /x.png", "a/.../../x.png", " .."),
)
STAYING = ("a.png", "a/b.png", "a b.png", "..a.png", "a..png", "a/..b/c.png", "./a.png", "ab:c.png")


@pytest.fixture
def files(real_files, tmp_path, monkeypatch):
    shutil.copytree(real_files, tmp_path / "files")
    shutil.copy(real_files / "run/panoptic/astronaut.png", tmp_path / "secret.png")
    monkeypatch.chdir(tmp_path / "files")
    return tmp_path / "files"


def change(path, edit):
    content = json.loads(Path(path).read_bytes())
    edit(content)
    Path(path).write_text(json.dumps(content))


@pytest.mark.parametrize("name", LEADING_OUT)
def test_names_that_lead_out_are_known(name):
    assert leads_out(name)
    assert find_name_fault(name)


@pytest.mark.parametrize("name", STAYING)
def test_names_that_stay_are_let_be(name):
    assert not leads_out(name)
    assert find_name_fault(name) is None


@pytest.mark.parametrize("name", LEADING_OUT[:6] + LEADING_OUT[8:10])
def test_no_json_leads_a_reader_out(files, name):
    def rename(content):
        content["annotations"][0]["file_name"] = name

    change("truth.json", rename)
    change("run/panoptic.json", rename)
    for read in (
        lambda: api.evaluate(Path("truth.json"), Path("run")),
        lambda: api.combine(Path("out"), predictions=Path("run")),
        lambda: api.run(["images"], Path("out"), gt=Path("truth.json"), device="cpu"),
    ):
        with pytest.raises(CocoFormatError, match="is no path inside the folder of PNGs"):
            read()
    assert not Path("out").exists()


@pytest.mark.parametrize("name", ["../secret.jpg", "/tmp/secret.jpg", "C:\\secret.jpg"])
def test_no_image_list_leads_a_reader_or_writer_out(files, name):
    change("images.json", lambda content: content["images"][0].update(file_name=name))
    change("truth.json", lambda content: content["images"][0].update(file_name=name))
    before = {path for path in Path("..").rglob("*") if "out" not in path.parts}
    (labels,) = (path for path in Path("labels").iterdir() if path.stem == "astronaut")
    labels.rename("labels/secret.png")
    with pytest.warns(FuseWarning, match="lead out of a folder"):
        api.combine(
            Path("out"),
            instances=Path("instances.json"),
            semantic=Path("labels"),
            images=Path("images.json"),
        )
    api.evaluate(Path("truth.json"), Path("run"), semantic=Path("labels"))
    assert [path.name for path in Path("out/panoptic").rglob("secret.png")] == ["secret.png"]
    after = {path for path in Path("..").rglob("*") if "out" not in path.parts}
    assert after - before == {Path("../files/labels/secret.png")}


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "C:\\x", "a/../../x"])
def test_no_journal_leads_out(files, name):
    for run in ("run", "shard1"):
        journal = Path(run, "records.jsonl")
        settings, first, *others = journal.read_text().splitlines(keepends=True)
        entry = json.loads(first)
        entry["files"] = {name: "0"}
        journal.write_text("".join([settings, json.dumps(entry) + "\n", *others]))
    for read in (
        lambda: api.verify(Path("run")),
        lambda: api.merge([Path("shard1"), Path("shard2")], Path("out")),
    ):
        with pytest.raises(CocoFormatError, match="is not a path inside the folder"):
            read()


@pytest.mark.slow
def test_a_link_in_an_output_folder_leads_no_writer_out(files, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("panoptic", "predictions", "records.jsonl", ".lock", "run.json"):
        shutil.rmtree("out", ignore_errors=True)
        shutil.copytree("run", "out")
        path = Path("out", name)
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        target = outside / name
        target.mkdir() if name in ("panoptic", "predictions") else target.touch()
        path.symlink_to(target)
        with pytest.raises(DataError, match="is a link that leads out of out"):
            api.run(["images"], Path("out"), device="cpu", keep_predictions=True)
        assert not [p for p in outside.rglob("*") if p.is_file() and p.stat().st_size]


def test_a_link_to_a_folder_below_the_maps_leads_no_writer_out(files, tmp_path):
    images, outside = tmp_path / "nested" / "trip", tmp_path / "outside"
    shutil.copytree("images", images)
    outside.mkdir()
    api.run([str(images.parent)], Path("out"), pipeline="oracle.toml", device="cpu")
    shutil.rmtree("out/panoptic/trip")
    Path("out/panoptic/trip").symlink_to(outside)
    Path("out/records.jsonl").write_bytes(b"")
    with pytest.raises(DataError, match="is a link that leads out"):
        api.run([str(images.parent)], Path("out"), pipeline="oracle.toml", device="cpu")
    assert not list(outside.iterdir())


def test_a_link_in_a_shard_gives_no_file_away(files, tmp_path):
    secret = tmp_path / "secret.png"
    name = next(Path("shard1/panoptic").glob("*.png"))
    name.unlink()
    name.symlink_to(secret)
    with pytest.raises(DataError, match="is a link that leads out of shard1"):
        api.merge([Path("shard1"), Path("shard2")], Path("out"))


def test_overwrite_deletes_nothing_behind_a_link(files, tmp_path):
    outside = tmp_path / "outside"
    shutil.copytree("run/panoptic", outside)
    shutil.rmtree("run/panoptic")
    Path("run/panoptic").symlink_to(outside)
    with pytest.raises(DataError, match="is a link that leads out of run"):
        api.run(["images"], Path("run"), device="cpu", overwrite=True)
    assert len(list(outside.iterdir())) == 3


@pytest.mark.parametrize("kind", BUILT_IN)
def test_only_installed_code_runs_unasked(kind):
    assert {name for name in BUILT_IN[kind] if needs_plugin_permission(name)} <= {"exported"}
    for name in ("file.py:Net", "package.module:Net", "os:system", ":", "../evil.py:x"):
        assert needs_plugin_permission(name)


@pytest.mark.parametrize("model", ["evil.py:Net", "evil:Net", "exported"])
def test_a_preset_runs_no_code_without_permission(files, model):
    Path("evil.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    Path("evil.toml").write_text(
        f'label_space = "coco_super"\n[semantic]\nmodel = "{model}"\nweights = "x.pt"\n'
        '[instance]\nmodel = "torchvision"\nweights = "tiny_instance"\n'
    )
    with pytest.raises(ConfigError, match=r"runs code of its own; .* give --allow-plugins"):
        api.run(["images"], Path("out"), pipeline="evil.toml")
    assert not Path("ran").exists()


class Evil:
    """Touches a file when it is unpickled by a reader that trusts it."""

    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def test_weights_and_predictions_that_are_programs_are_refused(files):
    evil = pickle.dumps({"state_dict": Evil(), "model": Evil()})
    for ending, model in ((".pth", "smp"), (".bin", "smp"), (".pkl", "panoptic-fpn")):
        Path(f"evil{ending}").write_bytes(evil)
        Path("evil.toml").write_text(
            f'label_space = "coco_super"\n[semantic]\nmodel = "{model}"\nweights = "evil{ending}"\n'
            '[instance]\nmodel = "torchvision"\nweights = "tiny_instance"\n'
        )
        with pytest.raises(FuseError, match="refused, since"):
            api.run(["images"], Path("out"), pipeline="evil.toml", device="cpu")
    array = np.empty(1, dtype=object)
    array[0] = Evil()
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, size=array)
    next(Path("run/predictions").glob("*.npz")).write_bytes(file.getvalue())
    with pytest.raises(CocoFormatError, match="not a kept prediction"):
        api.combine(Path("out"), predictions=Path("run"))
    assert not Path("ran").exists()


def test_a_folder_of_transformers_runs_no_code(tmp_path):
    from fuse.models.adapters.transformers_net import NetOptions, TransformersNet

    (tmp_path / "evil.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    auto_map = {"AutoConfig": "evil.Evil", "AutoModelForSemanticSegmentation": "evil.Evil"}
    config = {"model_type": "evil", "architectures": ["Evil"], "auto_map": auto_map}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="transformers cannot read it"):
        TransformersNet("cpu", NetOptions(str(tmp_path)), "semantic")
    assert not Path("ran").exists()


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "link.bin"])
def test_an_onnx_file_takes_no_weights_from_elsewhere(tmp_path, location):
    onnx = pytest.importorskip("onnx")
    from fuse.models.adapters.onnx_semantic import load_onnx_semantic

    folder = tmp_path / "net"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(np.ones(12, dtype=np.float32).tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    weights = onnx.TensorProto(name="w", data_type=1, dims=[4, 3, 1, 1], data_location=1)
    for key, value in (("location", location), ("length", "48")):
        weights.external_data.add(key=key, value=value)
    shapes = [
        onnx.helper.make_tensor_value_info(n, 1, [1, c, 8, 8]) for n, c in (("x", 3), ("y", 4))
    ]
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "net", shapes[:1], shapes[1:], [weights])
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=9)
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="onnxruntime cannot open it"):
        load_onnx_semantic("cpu", weights=str(folder / "net.onnx"), label_space="coco_super")


EVIL = "\x1b[31m[bold red]x[/nothing]\x1b]0;title\x07"
EVIL_FILE = EVIL.replace("/", "")  # which no file name can hold
SHOWN_EVIL = r"\x1b[31m[bold red]x["
SCORED_RUN = (
    "run images -o evil --pipeline saved.toml --device cpu --keep-predictions --gt truth.json"
)


@pytest.fixture
def evil_run(files):
    """A scored run, ``evil``, in which each category and one image has an `EVIL` name."""

    def rename(content):
        for category in content["categories"]:
            category["name"] += EVIL
        for image in content["images"]:
            if image["file_name"] == "astronaut.jpg":
                image["file_name"] = f"{EVIL_FILE}.jpg"

    space = [row.split(",") for row in Path("space.csv").read_text().splitlines()]
    column = space[0].index("name")
    rows = [",".join([*row[:column], row[column] + EVIL, *row[column + 1 :]]) for row in space[1:]]
    Path("evil.csv").write_text("\n".join([",".join(space[0]), *rows]))
    preset = Path("saved.toml").read_text()
    Path("saved.toml").write_text(preset.replace("coco_super", "evil.csv"))
    for name in ("truth.json", "images.json"):
        change(name, rename)
    Path("images/astronaut.jpg").rename(f"images/{EVIL_FILE}.jpg")
    Path("labels/astronaut.png").rename(f"labels/{EVIL_FILE}.png")
    return CliRunner().invoke(main, SCORED_RUN.split())


@pytest.mark.parametrize(
    "command",
    [
        SCORED_RUN,
        "evaluate --gt truth.json --pred evil",
        "compare --gt truth.json evil evil",
        "diagnose --predictions evil --gt truth.json --orders 2",
        "disagree --predictions evil",
        "pairs --gt truth.json --instances instances.json -o pairs.csv",
        "labels show evil.csv",
    ],
)
def test_names_in_files_command_neither_the_terminal_nor_its_markup(evil_run, command):
    result = evil_run if command == SCORED_RUN else CliRunner().invoke(main, command.split())
    assert result.exit_code == 0, result.output
    assert SHOWN_EVIL in result.output.replace("\n", "")
    assert "\x1b" not in result.output


@pytest.mark.parametrize("command", ["evaluate --gt truth.json --pred evil", "verify evil"])
def test_names_in_errors_do_not_command_the_terminal(evil_run, command):
    Path("truth.json").write_text("{")
    Path(f"evil/panoptic/{EVIL_FILE}.png").write_text("")
    result = CliRunner().invoke(main, command.split())
    assert result.exit_code == 1
    assert "\x1b" not in result.output


def test_printable_leaves_text_of_all_languages_alone():
    for text in ("plain", "größer", "猫", "नमस्ते", "👩‍🚀", "a=1 [x] <y> 'z'"):
        assert printable(text) == text
    assert printable("a\nb\x1b\x9b\u202e\ud800", keep="\n") == "a\nb\\x1b\\x9b\\u202e\\ud800"


def test_a_csv_keeps_names_as_they_are(files):
    change("truth.json", lambda content: content["images"][0].update(file_name='=1+"1",x.jpg'))
    evaluation = api.evaluate(Path("truth.json"), Path("run"))
    api.write_per_image_csv(Path("images.csv"), evaluation)
    with Path("images.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["file_name"] == '=1+"1",x.jpg'


def test_an_animation_or_document_dressed_as_a_label_png_is_refused(files):
    path = min(Path("labels").glob("*.png"))
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(CocoFormatError, match="not a PNG"):
        api.evaluate(Path("truth.json"), Path("run"), semantic=Path("labels"))
    Image.new("L", (96, 96)).save(path, "GIF")
    with pytest.raises(CocoFormatError, match="not a PNG"):
        api.evaluate(Path("truth.json"), Path("run"), semantic=Path("labels"))


def test_a_bug_asks_to_be_reported_with_versions(monkeypatch):
    def fail():
        raise ZeroDivisionError("\x1b[31mred")

    monkeypatch.setattr(api, "list_models", fail)
    result = CliRunner().invoke(main, ["models"])
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-2] == r"ZeroDivisionError: \x1b[31mred"
    assert lines[-1].startswith("This is a bug in fuse. Please report it")
    for word in ("SECURITY.md", f"fuse {fuse.__version__}", "Python 3.", *fuse.cli.REPORTED):
        assert word in lines[-1]


def test_security_md_is_linked():
    assert "(SECURITY.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
