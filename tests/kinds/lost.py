"""D: lost, leaked or hung."""

import json
import os
from functools import partial

from kinds.cells import awaited, cell, tested
from kinds.world import RUN
from PIL import Image

# -- D24: the map of another image ---------------------------------------------------------

tested(
    *("D24", "run", "right", "a.jpg away, a.png in, and back"),
    "tests/runs/test_changed_images.py::"
    "test_a_map_of_another_image_is_not_taken_for_that_of_one_that_came_back",
)

# -- D26: power cuts -----------------------------------------------------------------------

DAMAGES = {
    "a record that is none": lambda out: _change_journal(out, b'"size":[', b'"size":["x",'),
    "a record that begins elsewhere": lambda out: _change_journal(out, b'"bytes":', b'"byte\x00":'),
    "lines of Windows": lambda out: _change_journal(out, b"\n", b"\r\n"),
    "the last line is cut": lambda out: _cut_journal(out),
    "the first line is gone": lambda out: _cut_head(out),
    "run.json is empty": lambda out: (out / "run.json").write_bytes(b""),
    "run.json is gone": lambda out: (out / "run.json").unlink(),
    "zeros in the journal": lambda out: _add_zeros(out / "records.jsonl"),
}


def _add_zeros(path):
    head, *records = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(head + records[0] + bytes(4096) + b"\n" + b"".join(records[1:]))


def _change_journal(out, old, new):
    path = out / "records.jsonl"
    path.write_bytes(path.read_bytes().replace(old, new))


def _cut_journal(out):
    path = out / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-30])


def _cut_head(out):
    path = out / "records.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))


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
        if "verify" in command and damage == "a record that is none":
            continue  # refused, below
        cell("D26", command, "right", damage)(partial(go_on_after, line=line, damage=damage))


def read_bad_record(world, line):
    world.run()
    DAMAGES["a record that is none"](world.out)
    return world.call(line).refuses("not a record .*; the run's own command does it again")


for command, line in {
    "verify": "verify out",
    "verify --redo": "verify out --redo",
    "merge": "merge out -o again",
}.items():
    cell("D26", command, "refused", "a record that is none")(partial(read_bad_record, line=line))


def meet_pipe(world, line, name):
    world.run()
    (world.out / name).unlink()
    os.mkfifo(world.out / name)
    return world.call(line).refuses("is a folder or a pipe|not a regular file|holds no journal")


for name in ("records.jsonl", "run.json", "panoptic.json"):
    for command, line in {
        "run": f"{RUN} --keep-predictions",
        "run --overwrite": f"{RUN} --keep-predictions --overwrite",
    }.items():
        cell("D26", command, "refused", f"{name} is a pipe")(
            partial(meet_pipe, line=line, name=name)
        )


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
tested(
    *("D32", "evaluate", "right", "many categories and failures are one table and one line"),
    "tests/evaluation/test_evaluate.py::"
    "test_many_categories_and_many_failures_are_one_table_and_one_line",
)
