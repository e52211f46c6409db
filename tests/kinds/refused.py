"""B: refused though it is fine."""

import json
from functools import partial

from kinds.cells import cell, tested
from kinds.world import SCORERS

# -- B7: fields that nobody needs ----------------------------------------------------------

FIELDS = {"supercategory": None, "color": "#fd380c", "metadata": {}, "keypoint_colors": []}


def read_strange_fields(world, scorer):
    world.run()

    def change(content):
        content |= {"info": None, "licenses": [{"id": None}]}
        for category in content["categories"]:
            category |= FIELDS
        for image in content["images"]:
            image |= {"license": None, "date_captured": None, "coco_url": 7}

    world.change_gt(change)
    pq, answer = world.score(scorer)
    assert pq == 1, answer
    return "right"


def read_numbers_as_text(world, scorer):
    """As tables of data and other languages write them."""
    world.run()

    def change(content):
        for image in content["images"]:
            image |= {"width": "40", "height": 30.0}
        for annotation in content["annotations"]:
            for segment in annotation["segments_info"]:
                segment |= {"id": float(segment["id"]), "iscrowd": "0", "area": "1"}

    world.change_gt(change)
    pq, answer = world.score(scorer)
    assert pq == 1, answer
    return answer.says("such numbers are read all the same")


def read_byte_order_mark(world, scorer):
    world.run()
    world.gt.write_bytes(b"\xef\xbb\xbf" + world.gt.read_bytes().replace(b", ", b",\r\n"))
    pq, answer = world.score(scorer)
    assert pq == 1, answer
    return "right"


for scorer in SCORERS:
    cell("B7", scorer, "said", "numbers as text, whole ones with a point")(
        partial(read_numbers_as_text, scorer=scorer)
    )
    cell("B7", scorer, "right", "a byte order mark, lines of Windows")(
        partial(read_byte_order_mark, scorer=scorer)
    )
    cell("B7", scorer, "right", "null, #fd380c, strange lists")(
        partial(read_strange_fields, scorer=scorer)
    )

for command, name in {
    "combine": "COCO Annotator",
    "combine --images": "FiftyOne",
    "combine --categories": "labelme2coco",
}.items():
    tested(
        *("B7", command, "right", f"files of {name}"),
        "tests/test_from_other_tools.py::test_the_commands_do_what_the_page_says",
    )

# -- B8: category id 0 ---------------------------------------------------------------------

ZERO = "tests/test_category_zero.py"
for command, test in {
    "run": "test_a_run_writes_the_ids_of_its_nets",
    "run --gt": "test_a_command_says_the_same",
    "evaluate": "test_a_command_says_the_same",
    "evaluate --official": "test_the_official_score_is_that_of_another_scorer",
    "compare": "test_a_command_says_the_same",
    "sweep": "test_a_command_says_the_same",
    "diagnose": "test_a_command_says_the_same",
    "combine": "test_combine_fuses_both_kinds_of_files",
    "disagree": "test_disagreements_are_written_with_the_ids_of_files",
    "report": "test_a_report_shows_the_same",
    "run --shard, merge": "test_shards_are_merged",
}.items():
    tested("B8", command, "right", "0 in the truth, in results and in nets", f"{ZERO}::{test}")

# -- B10: names ----------------------------------------------------------------------------


def read_backslashes(world, scorer):
    world.run()
    (world.gt.with_suffix("") / "val").mkdir()
    for path in list(world.gt.with_suffix("").glob("*.png")):
        path.rename(path.parent / "val" / path.name)

    def change(content):
        for annotation in content["annotations"]:
            annotation["file_name"] = f"val\\{annotation['file_name']}"

    world.change_gt(change)
    pq, answer = world.score(scorer)
    assert pq == 1, answer
    return "right"


for scorer in SCORERS:
    cell("B10", scorer, "right", "PNGs parted by backslashes")(
        partial(read_backslashes, scorer=scorer)
    )


def combine_strange_names(world, names):
    images = [
        {"id": n, "file_name": name, "height": 30, "width": 40} for n, name in enumerate(names)
    ]
    (world.folder / "images.json").write_text(json.dumps({"images": images}))
    (world.folder / "results.json").write_text("[]")
    before = set(world.folder.rglob("*"))
    answer = world.call(
        "combine --instances results.json --semantic results.json --images images.json -o out"
    )
    made = {path.relative_to(world.folder).as_posix() for path in world.folder.rglob("*")}
    assert {f"out/panoptic/{name}.png" for name in ("a", "new/b")} <= made, made
    assert all(path.is_relative_to(world.out) for path in set(world.folder.rglob("*")) - before)
    return answer.says("lead out of a folder; they count from the folder that holds all")


for folder, slash in {
    "..\\..\\media": "\\",
    "/data/x": "/",
    "../..": "/",
    "https://host/val": "/",
    "C:\\images": "\\",
    "\\\\server\\share": "\\",
}.items():
    cell("B10", "combine --images", "said", f"images below {folder}")(
        partial(
            combine_strange_names,
            names=[f"{folder}{slash}a.jpg", f"{folder}{slash}new{slash}b.jpg"],
        )
    )


def read_folder_in_names(world, scorer):
    world.run()

    def change(content):
        for annotation in content["annotations"]:
            annotation["file_name"] = f"gt/{annotation['file_name']}"

    world.change_gt(change)
    pq, answer = world.score(scorer)
    assert pq == 1, answer
    return "right"


for scorer in SCORERS:
    cell("B10", scorer, "right", "PNGs named with their own folder")(
        partial(read_folder_in_names, scorer=scorer)
    )

# -- B12: what systems leave ---------------------------------------------------------------


def leave_system_files(world):
    for name in ("._a.jpg", "Thumbs.db", ".DS_Store", "@eaDir/a.jpg", ".ipynb_checkpoints/a.jpg"):
        (world.images / name).parent.mkdir(exist_ok=True)
        (world.images / name).write_bytes(b"no image")


@cell("B12", "run", "right", "macOS, Windows, disk stations, notebooks")
def run_beside_system_files(world):
    leave_system_files(world)
    answer = world.run()
    assert "3 images in" in answer.stdout, answer
    assert "not read" not in answer.stderr, answer
    return "right"


@cell("B12", "report --images", "right", "macOS, Windows, disk stations, notebooks")
def report_beside_system_files(world):
    world.run()
    leave_system_files(world)
    answer = world.call("report out --images images")
    assert "warning" not in answer.stderr, answer
    assert answer.stdout.startswith("3 of 3 images"), answer
    return "right"


# -- B9 and B11 ----------------------------------------------------------------------------

for verdict, command, test in (
    ("said", "run --gt", "test_a_run_leaves_it_out_of_its_score"),
    ("said", "evaluate", "test_evaluate_leaves_it_out_with_its_branches"),
    ("refused", "evaluate --official", "test_the_official_score_stops"),
    ("said", "compare, sweep, diagnose, report", "test_other_commands_leave_it_out_and_say_so"),
):
    tested(
        *("B9", command, verdict, "the truth as stored"),
        f"tests/runs/test_turned_images.py::{test}",
    )
for verdict, instance, test in (
    ("said", "prefixes of trainers", "test_the_nets_own_names_come_out"),
    ("said", "averaged weights beside the last", "test_the_average_is_taken_where_there_is_one"),
    ("refused", "two nets in one file", "test_two_nets_are_not_chosen_from"),
    ("right", "safetensors", "test_safetensors_are_read_so_too"),
    ("right", "paths and NumPy's numbers", "test_paths_and_figures_of_a_trainer_are_no_code"),
    ("refused", "a pipe", "test_a_pipe_is_not_waited_for"),
    ("refused", "a class of the trainer", "test_a_class_of_the_trainer_is_named_and_not_made"),
):
    tested("B11", "run", verdict, instance, f"tests/models/weights/test_checkpoints.py::{test}")
