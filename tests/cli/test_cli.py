"""The command line: what it prints where, and its exit codes."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from dataset_folders import write_voc

from fuse import __version__
from fuse.cli import main
from fuse.cli.tables.layout import print_rows
from fuse.datasets.convert import DATASETS, TOOLS
from fuse.io.coco.categories import read_categories
from fuse.labels import load_space

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "images"
TRUTH = ROOT / "examples" / "annotations.json"


def call(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy(EXAMPLES / "chelsea.jpg", folder)
    return folder


@dataclass(frozen=True)
class Ran:
    """A run of one image with kept predictions, what it printed and its figures."""

    out: Path
    printed: str
    figures: dict


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("ran")
    out, figures = folder / "out", folder / "figures.json"
    options = ("--gt", TRUTH, "--device", "cpu", "--keep-predictions", "--json", figures)
    result = call("run", EXAMPLES / "chelsea.jpg", "-o", out, *options)
    assert result.exit_code == 0, result.output
    return Ran(out, result.stdout, json.loads(figures.read_text()))


def test_the_list_of_commands_is_not_cut_off():
    output = CliRunner(env={"COLUMNS": "80"}).invoke(main, ["--help"]).output
    assert "..." not in output.partition("Commands:")[2]


def test_version():
    assert call("--version").output == f"fuse, version {__version__}\n"


def test_a_label_space_is_shown_row_by_row():
    lines = call("labels", "show", "cityscapes").output.splitlines()
    assert lines[0].split() == [
        "category_id",
        "name",
        "kind",
        "supercategory",
        "row",
        "of",
        "a",
        "net",
    ]
    assert lines[1].split() == ["7", "road", "stuff", "flat", "0"]
    assert len(lines) == 1 + 19
    assert "did you mean 'cityscapes'" in call("labels", "show", "cityscape").output


def test_the_categories_of_a_space_are_written_as_coco_has_them(tmp_path):
    path = tmp_path / "categories.json"
    assert call("labels", "show", "coco_panoptic", "--json", path).exit_code == 0
    assert read_categories(str(path)) == load_space("coco_panoptic")
    first = json.loads(call("labels", "show", "coco_panoptic", "--json", "-").output)[0]
    assert first == {  # of panopticapi's panoptic_coco_categories.json
        "supercategory": "person",
        "color": [220, 20, 60],
        "isthing": 1,
        "id": 1,
        "name": "person",
    }


def test_a_map_is_drafted_once_and_can_be_audited(tmp_path):
    path = tmp_path / "map.csv"
    drafted = call("labels", "draft", "vistas_v1", "coco_panoptic", "-o", path)
    assert drafted.output.startswith("65 lines, ")
    assert call("labels", "audit", "vistas_v1", "coco_panoptic", "--map", path).exit_code == 0
    again = call("labels", "draft", "vistas_v1", "coco_panoptic", "-o", path)
    assert (again.exit_code, "is there already" in again.output) == (1, True)


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_a_command_without_a_word():
    """As in ``fuse labels | head -1``."""
    command = [sys.executable, "-m", "fuse", "labels"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as labels:
        labels.stdout.close()
        assert labels.stderr.read() == b""
    assert labels.returncode == 1


def test_a_name_is_not_broken_to_fit_a_terminal_that_is_not_there(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    print_rows(("photo", "PQ"), [("x" * 150, "1.0")])
    assert "x" * 150 in capsys.readouterr().out


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_shows_an_example_of_itself(command):
    result = call(command, "--help")
    assert result.exit_code == 0
    assert f"fuse {command}" in result.output.split("Options:")[0].replace("Usage: main", "", 1)


def test_run_prints_a_table_and_where_the_maps_are(ran):
    lines = ran.printed.splitlines()
    assert lines[0].split() == ["PQ", "SQ", "RQ", "classes"]
    assert [line.split()[0] for line in lines[1:4]] == ["all", "things", "stuff"]
    assert any(line.startswith("animal") for line in lines)
    assert "1 image in" in lines[-1]
    assert str(ran.out / "panoptic.json") in lines[-1]


def test_json_replaces_the_table(images, tmp_path):
    out = tmp_path / "out"
    result = call("run", images, "-o", out, "--gt", TRUTH, "--device", "cpu", "--json", "-")
    figures = json.loads(result.stdout)
    assert figures["photos"] == {"done": 1, "failed": 0, "tried": 1}
    assert set(figures["pq"]) == {"all", "things", "stuff"}
    assert set(figures["pq"]["all"]) == {"pq", "sq", "rq", "n"}
    assert figures["per_class"]["4"]["name"] == "animal"

    again = call("evaluate", "--gt", out, "--pred", out, "--json", "-")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["pq"]["all"]["pq"] == 1


def test_evaluate_writes_what_is_asked_for(ran, tmp_path):
    result = call(
        *("evaluate", "--gt", TRUTH, "--pred", ran.out),
        *("--json", tmp_path / "pq.json", "--per-image", tmp_path / "images.csv"),
    )
    assert result.exit_code == 0, result.output
    assert "ground truth mapped from coco_panoptic" in result.stdout
    assert "animal" in result.stdout
    assert json.loads((tmp_path / "pq.json").read_text())["images"] == 8
    assert len((tmp_path / "images.csv").read_text().splitlines()) == 1 + 8


def test_evaluate_says_where_a_run_has_image_ids_of_its_own(ran, images, tmp_path):
    out = tmp_path / "out"
    call("run", images, "-o", out, "--device", "cpu")  # its one image is 1
    result = call("evaluate", "--gt", TRUTH, "--pred", out, "--per-image", tmp_path / "images.csv")
    assert result.exit_code == 0, result.output
    assert "1 photos that the run numbered otherwise than the ground truth" in result.stdout
    with (tmp_path / "images.csv").open(newline="") as file:
        found = {row["file_name"]: int(row["tp"]) for row in csv.DictReader(file)}
    right = sum(c["tp"] for c in ran.figures["per_class"].values())
    assert {name: tp for name, tp in found.items() if tp} == {"chelsea.jpg": right}


def test_a_file_for_figures_needs_its_folder_before_the_work(images, tmp_path):
    out = tmp_path / "out"
    result = call("run", images, "-o", out, "--json", tmp_path / "nowhere" / "figures.json")
    assert result.exit_code == 2
    assert "there is no folder" in result.stderr
    assert not out.exists()


def test_compare_prints_runs_and_differences(ran, tmp_path):
    out = ran.out
    result = call("compare", out, out, "--gt", TRUTH, "--json", tmp_path / "compared.json")
    assert result.exit_code == 0, result.output
    assert f"{out} against {out}:" in result.stdout
    assert "+0.0 (+0.0 to +0.0)" in result.stdout
    assert "nets" in result.stdout  # the stages
    assert json.loads((tmp_path / "compared.json").read_text())["images"] == 1


def test_diagnose_and_disagree_print_tables(ran, images, tmp_path):
    out = ran.out
    result = call("diagnose", "--predictions", out, "--gt", TRUTH, "--orders", 2)
    assert result.exit_code == 0, result.output
    assert "Where the missing" in result.stdout
    assert "missed instances" in result.stdout
    assert "chelsea.jpg" in result.stdout
    files = ("--csv", tmp_path / "images.csv", "--coco", tmp_path / "regions.json")
    result = call("disagree", "--predictions", out, *files)
    assert result.exit_code == 0, result.output
    assert "the first of 1 images" in result.stdout
    assert (tmp_path / "images.csv").is_file()
    assert json.loads((tmp_path / "regions.json").read_text())["images"][0]["height"] > 0
    result = call("diagnose", "--predictions", images, "--gt", TRUTH)
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


@pytest.mark.slow
def test_the_demo_scores_and_draws_the_examples(tmp_path):
    result = call("demo", "-o", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["all", "things", "stuff"]
    assert "8 images in" in lines[-2]
    assert lines[-1] == f"pictures: {tmp_path / 'demo/pictures'}"
    drawn = {path.stem for path in (tmp_path / "demo/pictures").glob("*.jpg")}
    assert drawn == {path.stem for path in EXAMPLES.iterdir()}
    assert call("demo", "-o", tmp_path / "demo", "--overwrite").exit_code == 0


@pytest.mark.slow
def test_merged_shards_are_the_run_in_one_piece(images, tmp_path):
    for name in ("astronaut", "hopper"):
        shutil.copy(EXAMPLES / f"{name}.jpg", images)
    options = ("--device", "cpu", "--batch-size", 2)
    for part in (1, 2):
        shard = call(
            "run", images, "-o", tmp_path / f"part{part}", "--shard", f"{part}/2", *options
        )
        assert shard.exit_code == 0, shard.output
    joined = call("merge", tmp_path / "part1", tmp_path / "part2", "-o", tmp_path / "joined")
    assert joined.exit_code == 0, joined.output
    assert joined.stdout == f"3 images -> {tmp_path / 'joined/panoptic.json'}\n"
    whole = call("run", images, "-o", tmp_path / "whole", *options)
    assert whole.exit_code == 0, whole.output
    for path in (tmp_path / "whole").rglob("*.png"):
        assert (
            path.read_bytes()
            == (tmp_path / "joined" / path.relative_to(tmp_path / "whole")).read_bytes()
        )
    assert call("merge", tmp_path / "part1", "-o", tmp_path / "half").exit_code == 1


def test_kept_predictions_are_fused_again(ran, tmp_path):
    out, again = ran.out, tmp_path / "again"
    result = call("combine", "--predictions", out, "-o", again)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"1 image, 1 segment -> {again}\n"
    map_name = "panoptic/chelsea.png"
    assert (again / map_name).read_bytes() == (out / map_name).read_bytes()
    assert call("combine", "--predictions", out, "-o", again).exit_code == 1  # it is there already
    stricter = ("combine", "--predictions", out, "-o", again, "--score-threshold", 1, "--overwrite")
    assert call(*stricter).exit_code == 0
    assert (again / map_name).read_bytes() != (out / map_name).read_bytes()


@pytest.mark.slow
def test_verify_tells_damage_by_its_exit_code_and_mends_it(images, tmp_path):
    run = ("run", images, "-o", tmp_path / "out", "--device", "cpu")
    call(*run)
    map_file = tmp_path / "out/panoptic/chelsea.png"
    content = map_file.read_bytes()
    whole = call("verify", tmp_path / "out")
    assert (whole.exit_code, whole.stdout) == (0, "2 files, 0 damaged\n")
    map_file.write_bytes(content[:-1])
    damaged = call("verify", tmp_path / "out")
    assert damaged.exit_code == 1
    assert "damaged: panoptic/chelsea.png is not the file that was written" in damaged.stdout
    assert call("verify", tmp_path / "out", "--redo").exit_code == 0
    assert call(*run).exit_code == 0
    assert map_file.read_bytes() == content
    assert call("verify", tmp_path / "out").exit_code == 0


def test_a_truth_of_other_images_is_refused_before_the_work(images, tmp_path):
    (images / "chelsea.jpg").rename(images / "cat.jpg")
    result = call("run", images, "-o", tmp_path / "out", "--gt", TRUTH, "--device", "cpu")
    assert result.exit_code == 1
    assert "knows none of the images (first 'cat.jpg', its own 'astronaut.jpg')" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["sweep", "diagnose", "compare"])
def test_a_negative_seed_is_wrong_usage(command):
    result = call(command, "--seed", -1)
    assert result.exit_code == 2
    assert "-1 is not in the range x>=0" in result.stderr


@pytest.mark.slow
def test_json_goes_into_a_pipe_alone(images, tmp_path):
    command = [sys.executable, "-m", "fuse", "run", images, "-o", tmp_path / "out"]
    done = subprocess.run(
        [*command, "--device", "cpu", "--json", "-"], capture_output=True, check=True, text=True
    )
    assert json.loads(done.stdout)["photos"]["done"] == 1


def test_some_images_failed_is_exit_code_3(images, tmp_path):
    (images / "broken.jpg").write_bytes(b"")
    result = call("run", images, "-o", tmp_path / "out", "--device", "cpu")
    assert result.exit_code == 3
    assert "failed: broken.jpg: " in result.stderr
    assert "1 image in" in result.stdout


def test_all_images_failed_is_exit_code_1(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"")
    result = call("run", tmp_path / "broken.jpg", "-o", tmp_path / "out", "--device", "cpu")
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["run", "nowhere", "-o", "out"], 1, "Error: "),
        (["run", EXAMPLES, "-o", "out", "--pipeline", "x"], 1, "Error: no pipeline 'x'"),
        (["run", EXAMPLES], 2, "and -o FOLDER"),
        (["run", EXAMPLES, "-o", ""], 2, "'--out': the name is empty"),
        (["run", EXAMPLES, "-o", "out", "--set", "fusion=1"], 1, "fusion is a section"),
        (["run", EXAMPLES, "-o", "out", "--gt", "nowhere.json"], 2, "does not exist"),
        (["evaluate", "--gt", TRUTH, "--pred", TRUTH.parent], 1, "Error: "),
        (["runn"], 2, "No such command 'runn'"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None,
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, arguments, exit_code, message):
    monkeypatch.chdir(tmp_path)
    result = call(*arguments)
    assert result.exit_code == exit_code, result.output
    assert message in result.stderr
    if exit_code == 1:
        assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written_to_is_an_error_line(images, tmp_path):
    (tmp_path / "file").write_text("")
    result = call("run", images, "-o", tmp_path / "file" / "out", "--device", "cpu")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")


def test_convert_offers_every_dataset():
    (dataset,) = (p for p in main.commands["convert"].params if p.name == "dataset")
    assert tuple(dataset.type.choices) == (*DATASETS, *TOOLS)


def test_convert_says_what_it_wrote(tmp_path):
    folder, out = write_voc(tmp_path / "in"), tmp_path / "gt.json"
    result = call("convert", "voc", folder, "-o", out)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("2 images, ")
    assert result.stdout.endswith(f" segments -> {out}\n")
    again = call("convert", "voc", folder, "-o", out)
    assert again.exit_code == 1
    assert again.stderr == f"Error: {out} exists; give another name, or --overwrite\n"
    assert call("evaluate", "--gt", out, "--pred", out).exit_code == 0


def test_pipelines_lists_tiny():
    assert "tiny" in call("pipelines").stdout
