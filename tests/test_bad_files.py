"""Spoilt files through everything that reads files: an error that says what is wrong, no more."""

import errno
import json
import os
import random
import shutil
from pathlib import Path

import pytest
from bad_files import READERS
from click.testing import CliRunner
from PIL import Image

from fuse import api
from fuse.cli import main
from fuse.errors import CocoFormatError, DataError, FuseError
from fuse.runs.verify import Damage

# Those that load nets take seconds.
NETS = ("run, preset of nets", "run, semantic weights", "run, instance weights")
NAMES = [pytest.param(n, marks=pytest.mark.slow) if n in NETS else n for n in READERS]
SEEDS_IN_ALL = 60  # per reader, so more than 2,000 files
# Command lines over the same files; the outcomes that --help promises are 0, 1 and 3.
COMMANDS = {
    "evaluate, truth": "evaluate --gt truth.json --pred run --per-image out.csv",
    "evaluate, instances": "evaluate --gt truth.json --pred run --instances instances.json",
    "combine, stuff": "combine -o out --instances instances.json --semantic stuff.json "
    "--images images.json",
    "combine kept, prediction": "combine -o out --predictions run",
    "sweep, truth": "sweep --predictions run --gt truth.json --grid score_threshold=0.3",
    "merge, run.json": "merge shard1 shard2 -o out",
    "verify, journal": "verify run",
    "run, preset": "run images -o out --pipeline oracle.toml --device cpu",
    "run, saved instances": "run images -o out --pipeline saved.toml --device cpu --gt truth.json",
    "report, truth": "report run --gt truth.json --images images",
    "compare, prediction": "compare run shard1 --gt truth.json --intersect",
    "diagnose, prediction": "diagnose --predictions run --gt truth.json --orders 2",
    "disagree, prediction": "disagree --predictions run",
    "pairs, instances": "pairs --gt truth.json --instances instances.json -o out.csv",
    "audit, map": "labels audit coco_panoptic coco_super --map map.csv",
    "audit, truth": "labels audit coco_panoptic coco_super --gt truth.json",
}


@pytest.fixture
def files(real_files, monkeypatch):
    """The folder itself, as a run goes on only where it began; afterwards it is as it was."""
    monkeypatch.chdir(real_files)
    before = real_files.parent / "before"
    if not before.exists():
        shutil.copytree(real_files, before)
    yield real_files
    for name in ("run", "shard1", "shard2"):
        shutil.rmtree(real_files / name)
        shutil.copytree(before / name, real_files / name)
    shutil.rmtree(real_files / "out", ignore_errors=True)


def find(reader):
    return min(Path().glob(reader.file))


def read_spoilt(name, seed):
    """Spoil the file of a reader, read it, and mend it; the error, if there was one."""
    reader, rng = READERS[name], random.Random(f"{name} {seed}")
    path, out = find(reader), Path("out")
    content = path.read_bytes()
    path.write_bytes(reader.mutate(rng, content))
    shutil.rmtree(out, ignore_errors=True)
    try:
        reader.read(out)
    except (FuseError, OSError) as err:
        return err
    finally:
        path.write_bytes(content)
    return None


def is_documented(err):
    """No error, one of ours, or the system's own word on a name that was in the file."""
    return err is None or isinstance(err, FuseError) or err.errno == errno.ENAMETOOLONG


@pytest.mark.parametrize("name", NAMES)
def test_untouched_files_are_read(files, name):
    READERS[name].read(Path("out"))


@pytest.mark.filterwarnings("ignore")  # Pillow's, on damaged pictures
@pytest.mark.parametrize("name", NAMES)
def test_spoilt_files(files, name):
    for seed in range(READERS[name].seeds):
        assert is_documented(read_spoilt(name, seed)), seed


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", READERS)
def test_many_spoilt_files(files, name):
    for seed in range(READERS[name].seeds, SEEDS_IN_ALL):
        assert is_documented(read_spoilt(name, seed)), seed


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", COMMANDS)
def test_spoilt_files_on_the_command_line(files, name):
    reader = READERS[name]
    path = find(reader)
    content = path.read_bytes()
    for seed in range(1000, 1000 + reader.seeds):
        path.write_bytes(reader.mutate(random.Random(f"{name} {seed}"), content))
        shutil.rmtree("out", ignore_errors=True)
        result = CliRunner().invoke(main, COMMANDS[name].split())
        path.write_bytes(content)
        assert result.exit_code in (0, 1, 3), result.output
        assert "Traceback" not in result.output
        assert "\x1b" not in result.output
        if result.exit_code == 1 and not name.startswith("verify"):
            told = [line for line in result.stderr.splitlines() if not line.startswith("note: ")]
            assert told[0].startswith(("Error: ", "failed: "))


@pytest.mark.parametrize("name", ["sweep", "compare", "diagnose", "report"])
def test_a_true_png_of_another_size_is_named(files, name):
    path = find(READERS["evaluate, true PNG"])
    content = path.read_bytes()
    with Image.open(path) as image:
        image.crop((0, 0, image.width, image.height - 1)).save(path)
    try:
        with pytest.raises((CocoFormatError, DataError), match=rf"the true .*{path.name} is"):
            READERS[f"{name}, truth"].read(Path("out"))
    finally:
        path.write_bytes(content)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of Unix")
@pytest.mark.parametrize(
    "name",
    ["evaluate, true PNG", "evaluate, truth", "combine kept, prediction"],
)
def test_a_named_pipe_does_not_block_its_reader(files, name):
    path = find(READERS[name])
    content = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    try:
        with pytest.raises(FuseError):
            READERS[name].read(Path("out"))
    finally:
        path.unlink()
        path.write_bytes(content)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of Unix")
@pytest.mark.parametrize(
    ("replace", "problem"),
    [
        (lambda path: None, "is missing"),
        (os.mkfifo if hasattr(os, "mkfifo") else None, "cannot be read (not a regular file)"),
        (lambda path: path.write_text("{"), "is not the file that was written"),
    ],
)
def test_verify_names_a_run_file_that_the_journal_stands_in_for(files, replace, problem):
    path = Path("run/run.json")
    content = path.read_bytes()
    path.unlink()
    replace(path)
    try:
        assert api.verify("run").damages == (Damage("run.json", problem, None),)
    finally:
        path.unlink(missing_ok=True)
        path.write_bytes(content)


def test_a_shard_that_never_ends_is_refused_at_once(files):
    path = Path("shard1/run.json")
    content = json.loads(path.read_bytes())
    content["settings"]["shard"] = "1/999999999"
    path.write_text(json.dumps(content))
    with pytest.raises(FuseError, match="shard 2/999999999 is missing; 2 of 999999999 were given"):
        READERS["merge, run.json"].read(Path("out"))


def test_a_image_in_two_shards_is_refused(files):
    lines = Path("shard2/records.jsonl").read_text()
    Path("shard2/records.jsonl").write_text(lines + Path("shard1/records.jsonl").read_text())
    Path("shard2/panoptic.json").write_bytes(Path("run/panoptic.json").read_bytes())
    shutil.copytree("shard1/panoptic", "shard2/panoptic", dirs_exist_ok=True)
    shutil.copytree("shard1/predictions", "shard2/predictions", dirs_exist_ok=True)
    with pytest.raises(FuseError, match=r"image 'astronaut.jpg' is both in shard1 and in shard2"):
        READERS["merge, run.json"].read(Path("out"))


def test_a_journal_with_categories_of_another_space_is_refused(files):
    path = Path("resumed/records.jsonl")
    text = path.read_text()
    settings, line, *others = text.splitlines(keepends=True)
    first = json.loads(line)
    first["segments_info"][0]["category_id"] = 2**31 - 1
    path.write_text(settings + json.dumps(first) + "\n" + "".join(others))
    with pytest.raises(FuseError, match=r"category_id 2147483647, which is not in coco_super"):
        READERS["go on, journal"].read(Path("out"))
