"""D: what is written: links, kills, and files that are somebody else's."""

import os
import shutil
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from unittest.mock import patch

from dataset_folders import write_voc
from kinds.cells import cell, tested
from kinds.world import RUN

# -- D21: links in the output --------------------------------------------------------------


def put_link(world, name, *, out="out", dangling=False):
    """A link out of a folder of ours, and what it leads to."""
    target = world.folder / "elsewhere"
    if not dangling:
        target.write_text("mine")
    path = world.folder / out / name
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return target


def stays(target, *, dangling=False):
    assert dangling or target.read_text() == "mine"
    assert not dangling or not target.exists()


@cell("D21", "run --resume", "right", "a map became a link")
def link_resume(world):
    world.run()
    target = put_link(world, "panoptic/b.png")
    world.repaint("b.jpg")
    assert world.call("run --resume out").exit_code == 0
    stays(target)
    assert not (world.out / "panoptic/b.png").is_symlink()
    return "right"


for dangling in (False, True):

    @cell("D21", "merge", "right", f"a map is a {'dangling ' * dangling}link")
    def link_merge(world, dangling=dangling):
        for i in (1, 2):
            world.run(f"--shard {i}/2", out=f"part{i}")
        assert world.call("merge part1 part2 -o out").exit_code == 0
        target = put_link(world, "panoptic/b.png", dangling=dangling)
        assert world.call("merge part1 part2 -o out").exit_code == 0
        stays(target, dangling=dangling)
        return "right"


WRITERS = {
    "run": (RUN, "records.jsonl"),
    "run --overwrite": (f"{RUN} --overwrite", "panoptic"),
    "verify --redo": ("verify out --redo", "records.jsonl"),
}


def link_writer(world, line, name):
    world.run()
    (world.out / "panoptic/c.png").unlink()
    if name == "panoptic":
        (world.out / name).rename(world.folder / "kept")
    target = put_link(world, name)
    answer = world.call(line)
    stays(target)
    return answer.refuses("is a link that leads out")


for command, (line, name) in WRITERS.items():
    cell("D21", command, "refused", f"{name} is a link")(partial(link_writer, line=line, name=name))


def link_file(world, line, name):
    """One file that a command writes: the link is replaced, not followed."""
    world.run()
    target = put_link(world, name, out=".")
    answer = world.call(line)
    assert answer.exit_code == 0, answer
    stays(target)
    assert not (world.folder / name).is_symlink()
    return "right"


for command, line in {
    "report": "report out -o x",
    "evaluate --per-image": "evaluate --gt gt.json --pred out --per-image x",
    "evaluate --json": "evaluate --gt gt.json --pred out --json x",
    "compare --json": "compare out out --gt gt.json --json x",
    "sweep --json": "sweep --predictions out --gt gt.json --grid score_threshold=0.5 --json x",
    "diagnose --json": "diagnose --predictions out --gt gt.json --orders 2 --json x",
    "disagree --csv": "disagree --predictions out --csv x",
    "verify --json": "verify out --json x",
    "labels show --json": "labels show coco_super --json x",
}.items():
    cell("D21", command, "right", "the file to write is a link")(
        partial(link_file, line=line, name="x")
    )

BASELINES = "baselines images --gt gt.json -p oracle.toml -o table --device cpu --no-profile"


def link_baselines(world, name):
    world.call(BASELINES)
    shutil.rmtree(world.folder / "table" / name)
    (world.folder / "elsewhere").mkdir()
    (world.folder / "table" / name).symlink_to(world.folder / "elsewhere")
    answer = world.call(BASELINES)
    assert not list((world.folder / "elsewhere").iterdir())
    return answer.refuses("is a link that leads out")


for name in ("runs", "costs", "runs/oracle"):
    cell("D21", "baselines", "refused", f"{name} is a link")(partial(link_baselines, name=name))

for command, line in {"run": RUN, "combine": "combine --predictions part -o out"}.items():

    @cell("D21", command, "refused", "the output is a link to nothing")
    def link_nowhere(world, line=line):
        world.run(out="part")
        world.out.symlink_to(world.folder / "elsewhere")
        answer = world.call(line)
        assert not (world.folder / "elsewhere").exists()
        return answer.refuses("is a link to nothing; remove it, or make")


# -- D22: killed while overwriting ---------------------------------------------------------


class Killed(BaseException):
    """The process is gone: nothing after it happens."""


@contextmanager
def kill_at_rename(number):
    """From the number-th renaming on nothing is renamed or deleted any more; yields these."""
    lost, done = [], 0
    rename = Path.replace

    def replace(path, target):
        nonlocal done
        if done == number:
            lost.append(path)
            raise Killed
        done += 1
        return rename(path, target)

    with (
        patch.object(Path, "replace", replace),
        patch("shutil.rmtree", lambda *_args, **_options: None),
        suppress(Killed),
    ):
        yield lost


def kill_swap(world, line, json_path):
    """At each step: what is in place is old or new as a whole, and the next call mends the rest."""
    assert world.call(line).exit_code == 0
    whole = read_pair(json_path)
    assert len(whole) > 1
    for number in count():
        with kill_at_rename(number) as lost:
            world.call(f"{line} --overwrite")
        if not lost:
            assert number > len(whole)  # each file, and the swap
            break
        found = read_pair(json_path)
        assert json_path.name not in found or found == whole
        assert world.call(line).exit_code == 1  # nothing is replaced unasked, but all is there
        assert read_pair(json_path) == whole
        for path in json_path.parent.rglob("*"):
            os.utime(path, (0, 0))  # a day later what is aside is nobody's
        assert world.call(f"{line} --overwrite").exit_code == 0
        assert read_pair(json_path) == whole
        assert not [path for path in json_path.parent.iterdir() if path.name.endswith(".part")]
    return "right"


def read_pair(json_path):
    """Contents of a JSON and its PNGs, by path."""
    paths = [json_path, *json_path.with_suffix("").rglob("*.png")]
    return {
        str(path.relative_to(json_path.parent)): path.read_bytes()
        for path in paths
        if path.is_file()
    }


@cell("D22", "combine --overwrite", "right", "killed at each renaming")
def kill_combine(world):
    world.run()
    line = "combine --predictions out -o again"
    return kill_swap(world, line, world.folder / "again/panoptic.json")


@cell("D22", "convert --overwrite", "right", "killed at each renaming")
def kill_convert(world):
    folder = write_voc(world.folder / "voc")
    line = f"convert voc {folder} -o {world.folder / 'truth.json'}"
    return kill_swap(world, line, world.folder / "truth.json")


tested(
    *("D22", "run --overwrite", "right", "stopped at each deletion"),
    "tests/runs/test_folder.py::test_overwriting_may_be_cut_off_at_any_deletion",
)


def kill_writer(world, line, name):
    """What a process that was killed left of a file is cleared by a writer a day later."""
    world.run()
    with (
        patch("fuse.io.files.Path.replace", side_effect=Killed),
        patch("fuse.io.files.Path.unlink"),  # the process is gone
        suppress(Killed),
    ):
        world.call(line)
    (left,) = world.folder.glob(".*.part")
    (world.folder / f".{'0' * 32}.part").touch()  # of another file
    assert world.call(line).exit_code == 0
    assert left.exists()  # may as well be another's at work
    os.utime(left, (0, 0))
    (world.folder / name).unlink()
    assert world.call(line).exit_code == 0
    assert not left.exists()
    assert (world.folder / f".{'0' * 32}.part").exists()
    assert (world.folder / name).is_file()
    return "right"


for command, line, name in (
    ("report", "report out -o x.html", "x.html"),
    ("export", "export out --to coco-instances -o x.json", "x.json"),
    ("evaluate --per-image", "evaluate --gt gt.json --pred out --per-image x.csv", "x.csv"),
):
    cell("D22", command, "right", "killed while it writes")(
        partial(kill_writer, line=line, name=name)
    )

# -- D23: strangers' files -----------------------------------------------------------------


@cell("D23", "run --overwrite", "refused", "a run.json of something else")
def foreign_run(world):
    (world.out / "pictures").mkdir(parents=True)
    (world.out / "pictures/mine.jpg").touch()
    (world.out / "run.json").write_text('{"lr": 0.1}')
    answer = world.call(f"{RUN} --overwrite")
    assert (world.out / "pictures/mine.jpg").is_file()
    return answer.refuses("not empty and holds no run|as a run of fuse has")


@cell("D23", "run --overwrite", "right", "a file of mine beside the maps")
def own_file(world):
    world.run()
    (world.out / "panoptic/mine.png").touch()
    assert world.call(f"{RUN} --overwrite").exit_code == 0
    assert (world.out / "panoptic/mine.png").is_file()
    return "right"


@cell("D23", "report", "refused", "a report.html that is none")
def own_report(world):
    world.run()
    (world.out / "report.html").write_text("mine")
    answer = world.call("report out")
    assert (world.out / "report.html").read_text() == "mine"
    return answer.refuses("is no report of fuse; give another name")


@cell("D23", "run --resume", "refused", "a run.json of something else")
def foreign_resume(world):
    world.out.mkdir()
    (world.out / "run.json").write_text('{"lr": 0.1}')
    return world.call("run --resume out").refuses("has no settings|does not say how")


def write_among_strangers(world, line, where, message):
    world.run()
    for i in (1, 2):
        world.run(f"--shard {i}/2", out=f"part{i}")
    folder = world.folder / where
    folder.mkdir(exist_ok=True)
    (folder / "mine.txt").write_text("mine")
    answer = world.call(line)
    assert (folder / "mine.txt").read_text() == "mine"
    return answer.refuses(message)


for command, line, where, message in (
    ("run", RUN.replace("-o out", "-o mine"), "mine", "is not empty and holds no run"),
    ("combine", "combine --predictions out -o mine", "mine", "is not empty"),
    ("combine --overwrite", "combine --predictions out -o part1 --overwrite", "part1", "a run"),
    ("merge", "merge part1 part2 -o mine", "mine", "is not empty and holds no run"),
    ("export", "export out --to yolo-seg -o mine", "mine", "exists"),
    ("draw", "draw out -o mine", "mine", "exists"),
    ("convert", "convert voc images -o mine.json --overwrite", "mine", "exists, and the PNGs"),
):
    cell("D23", command, "refused", "a folder that holds other files")(
        partial(write_among_strangers, line=line, where=where, message=message)
    )
