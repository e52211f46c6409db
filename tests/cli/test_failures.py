"""What the command line says when the machine gives out: one line, and no bug report."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from fuse.cli import describe_failure, main
from fuse.cli.printing import exit_where_failed
from fuse.errors import shorten
from fuse.io.coco.results import read_results
from fuse.labels import load_space


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_full_memory_is_one_line(error):
    assert describe_failure(error) == (
        "Error: memory is full; use a machine with more, or smaller images"
    )


def test_an_error_that_memory_caused_is_full_memory_too():
    error = ValueError("no net")
    error.__cause__ = MemoryError()
    assert describe_failure(error).startswith("Error: memory is full")
    assert "This is a bug in fuse" in describe_failure(ValueError("no net"))


@pytest.mark.slow
def test_a_process_without_memory_says_so(tmp_path):
    resource = pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-m", "fuse", "demo", "-o", str(tmp_path / "out")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (900 << 20, 900 << 20)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: memory is full")
    assert "bug in fuse" not in done.stderr


def test_of_many_failures_ten_are_named_and_the_place_of_the_rest(tmp_path, capsys):
    failed = [(f"{n}.jpg", "cut short") for n in range(100_000)]
    with pytest.raises(SystemExit):
        exit_where_failed(failed, 1, tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[0] == "failed: 0.jpg: cut short"
    assert lines[-1] == f"failed: 99,990 more; all stand in {tmp_path}/run.json below 'failed'"


def test_a_message_is_cut_where_a_file_gave_megabytes(tmp_path):
    path = tmp_path / ("x" * 200 + ".json")
    path.write_text(json.dumps({"annotations": [{"y" * 5_000_000: 1}], "categories": 7}))
    done = CliRunner().invoke(main, ["evaluate", "--gt", str(path), "--pred", str(path)])
    assert done.exit_code == 1
    assert len(done.stderr) < 3000
    assert len(shorten("z" * 10_000)) <= 500


def test_a_json_cut_short_while_it_is_in_use_stays_readable(tmp_path):
    """Mapped into memory it would end the process by SIGBUS."""
    path = tmp_path / "instances.json"
    rle = {"size": [30, 40], "counts": [1200]}
    entry = {"image_id": 1, "category_id": 1, "segmentation": rle, "score": 0.5}
    path.write_text(json.dumps([entry] * 20_000))
    results = read_results(path, load_space("coco_panoptic"), str)
    path.write_bytes(b"")
    assert len(results.load_instances(1, (30, 40))) == 20_000


def test_no_work_is_done_for_what_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    command = ["run", str(tmp_path), "-o", str(tmp_path / "file" / "out")]
    done = CliRunner().invoke(main, command)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: {tmp_path}/file/out cannot be written: {tmp_path}/file is no folder\n"
    )


@pytest.mark.parametrize("order", [1, -1])
def test_no_command_writes_over_what_it_reads(tmp_path, order):
    gt = tmp_path / "gt.json"
    gt.write_text("{}")
    pairs = [["--gt", gt], ["--pred", gt], ["--json", tmp_path / "x" / ".." / "gt.json"]][::order]
    (tmp_path / "x").mkdir()
    result = CliRunner().invoke(main, ["evaluate", *(str(part) for pair in pairs for part in pair)])
    assert result.exit_code == 2
    assert "gt.json is both read and written here" in " ".join(result.stderr.split())
    assert gt.read_text() == "{}"


@pytest.mark.parametrize("name", ["run.json", "records.jsonl", "panoptic.json"])
def test_no_figures_are_written_over_a_run(tmp_path, name):
    for own in ("run.json", "records.jsonl", "panoptic.json"):
        (tmp_path / own).write_text("{}")
    gt = tmp_path / "gt.json"
    gt.write_text("{}")
    command = ["evaluate", "--gt", gt, "--pred", tmp_path, "--json", tmp_path / name]
    result = CliRunner().invoke(main, [str(part) for part in command])
    assert result.exit_code == 2
    assert "belongs to a run; give another name" in " ".join(result.stderr.split())
    assert (tmp_path / name).read_text() == "{}"
