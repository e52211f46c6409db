"""D: lost, leaked or hung."""

import json
import os
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from unittest.mock import patch

from dataset_folders import write_voc
from kinds.cells import awaited, cell, open_yet, tested
from kinds.world import RUN
from PIL import Image

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

# -- D24: the map of another image ---------------------------------------------------------

tested(
    *("D24", "run", "right", "a.jpg away, a.png in, and back"),
    "tests/runs/test_changed_images.py::"
    "test_a_map_of_another_image_is_not_taken_for_that_of_one_that_came_back",
)

# -- D26: power cuts -----------------------------------------------------------------------

DAMAGES = {
    "run.json is empty": lambda out: (out / "run.json").write_bytes(b""),
    "run.json is gone": lambda out: (out / "run.json").unlink(),
    "zeros in the journal": lambda out: _add_zeros(out / "records.jsonl"),
}


def _add_zeros(path):
    head, *records = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(head + records[0] + bytes(4096) + b"\n" + b"".join(records[1:]))


def go_on_after(world, line, damage):
    world.run("--gt gt.json")
    before = {path.name: path.read_bytes() for path in world.out.glob("*/*.png")}
    DAMAGES[damage](world.out)
    answer = world.call(line)
    assert answer.exit_code in ((0, 1) if "verify" in line else (0,)), answer
    assert "Error" not in answer.stderr, answer
    assert world.call("run --resume out").exit_code == 0
    assert {path.name: path.read_bytes() for path in world.out.glob("*/*.png")} == before
    assert json.loads((world.out / "run.json").read_text())["photos"]["done"] == 3
    pq, answer = world.score("evaluate")
    assert pq == 1, answer
    return "right"


for damage in DAMAGES:
    for command, line in {
        "run": f"{RUN} --keep-predictions --gt gt.json",
        "run --resume": "run --resume out",
        "verify": "verify out",
        "verify --redo": "verify out --redo",
        "report": "report out",
    }.items():
        cell("D26", command, "right", damage)(partial(go_on_after, line=line, damage=damage))


def read_after(world, line, damage):
    world.run()
    DAMAGES[damage](world.out)
    return world.call(line).refuses("is not finished; give its command again")


for damage in ("run.json is empty", "run.json is gone"):
    for command, line in {
        "sweep": "sweep --predictions out --gt gt.json --grid score_threshold=0.5",
        "diagnose": "diagnose --predictions out --gt gt.json --orders 2",
        "disagree": "disagree --predictions out",
        "combine": "combine --predictions out -o again",
        "merge": "merge out -o again",
    }.items():
        cell("D26", command, "refused", damage)(partial(read_after, line=line, damage=damage))


@cell("D26", "verify", "said", "zeros in the journal")
def tell_zeros(world):
    world.run()
    path = world.out / "records.jsonl"
    head, record, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(head + bytes(len(record) - 1) + b"\n" + b"".join(others))
    answer = world.call("verify out")
    assert answer.exit_code == 1, answer
    assert "records.jsonl has 2 of the 3 images that were done" in answer.stdout, answer
    return "said"


# -- D27: paths that are too long ----------------------------------------------------------


@cell("D27", "run", "said", "a name that leaves no room for .png")
def long_name(world):
    name = "n" * 250 + ".jpeg"
    os.link(world.images / "a.jpg", world.images / name)
    answer = world.call("run images -o out --pipeline oracle.toml --device cpu")
    assert (world.out / "panoptic/b.png").is_file()
    assert answer.exit_code in (0, 3), answer
    return answer.says(r"failed: nnn.*\.jpeg: gt\.json: knows no image")


# -- D29: half images ----------------------------------------------------------------------

for verdict, command, test in (
    ("said", "run", "test_the_command_says_what_is_damaged_in_one_line"),
    ("refused", "run --strict-images", "test_strict_images_fail_also_where_they_were_done_before"),
    ("said", "run --shard, merge", "test_shards_keep_what_was_damaged"),
    ("said", "run --engine ray", "test_the_ray_engine_says_the_same"),
):
    tested(
        *("D29", command, verdict, "cut JPEG, PNG without half its rows, zeros inside"),
        f"tests/runs/test_damaged_images.py::{test}",
    )


def half_resume(world, flag):
    """What a run was asked for about half images it is asked for again."""
    path = world.images / "b.jpg"
    Image.effect_noise((40, 30), 90).convert("RGB").save(path, "JPEG")
    whole = path.read_bytes()
    path.write_bytes(whole[: -len(whole) // 4] + b"\xff\xd9")
    line = "run images -o out --pipeline oracle.toml --device cpu"
    assert world.call(f"{line} {flag}").exit_code == (3 if flag else 0)
    answer = world.call("run --resume out --retry-failed")
    return answer.says("failed: b.jpg" if flag else "1 images are damaged")


for flag in ("", "--strict-images"):
    cell("D29", "run --resume", "said", f"a JPEG cut and closed {flag}".strip())(
        partial(half_resume, flag=flag)
    )

# -- not done yet --------------------------------------------------------------------------

awaited(
    *("D25", "run", "refused", "bounds on what weights may make their reader do"),
    "tests/models/weights/test_pickle_scan.py::"
    "test_a_hostile_pickle_is_refused_at_once_and_in_a_short_line",
)
awaited(
    *("D25", "combine, sweep", "refused", "bounds on what kept predictions unpack to"),
    "tests/inference/test_prediction.py::test_masks_of_gigabytes_of_zeros_are_not_unpacked",
)
awaited(
    *("D28", "run", "right", "time in which the process is stopped does not count"),
    "tests/runs/engines/test_reading.py::test_time_in_which_the_process_is_stopped_does_not_count",
)
awaited(
    *("D31", "run", "right", "what is in flight is bounded by bytes"),
    "tests/runs/engines/test_memory.py::test_a_folder_of_large_images_takes_the_memory_of_one",
)
tested(
    *("D30", "Pipeline()", "right", "the bytes of a run"),
    "tests/inference/test_stream.py::"
    "test_one_image_a_list_a_generator_and_a_run_give_the_same_bytes",
)
open_yet("D32", "evaluate", "bounds on categories and on lines of failures")
