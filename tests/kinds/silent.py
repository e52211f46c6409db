"""A: silent and wrong."""

import json
import unicodedata
from functools import partial
from pathlib import Path
from urllib.parse import quote

from kinds.cells import cell, tested
from kinds.world import SCORERS

CHANGED = r"1 images had changed since an earlier run"


# -- A1: images that changed ---------------------------------------------------------------


@cell("A1", "run", "said", "other content")
def changed_run(world):
    world.run("--pictures")
    world.repaint("b.jpg")
    before = {path: path.stat().st_mtime_ns for path in world.out.glob("p*/*.*")}
    answer = world.run()
    written = {p.parent.name for p, time in before.items() if p.stat().st_mtime_ns > time}
    assert written == {"panoptic", "pictures", "predictions"}
    return answer.says(CHANGED)


@cell("A1", "run --resume", "said", "other content")
def changed_resume(world):
    world.run()
    world.repaint("b.jpg")
    return world.call("run --resume out").says(CHANGED)


@cell("A1", "run --shard, merge", "said", "other content of a shard's image")
def changed_shards(world):
    for i in (1, 2):
        world.run(f"--shard {i}/2", out=f"part{i}")
    world.repaint("b.jpg")
    assert "had changed" not in world.run("--shard 1/2", out="part1").stderr
    return world.run("--shard 2/2", out="part2").says(CHANGED)


@cell("A1", "merge", "said", "an image changed after the shards were joined")
def changed_merged(world):
    for i in (1, 2):
        world.run(f"--shard {i}/2", out=f"part{i}")
    world.call("merge part1 part2 -o out")
    world.repaint("b.jpg")
    return world.run().says(CHANGED)


@cell("A1", "run", "said", "fewer images than before")
def gone_run(world):
    """A folder of frames that is used again for a shorter film."""
    world.run()
    (world.images / "c.jpg").unlink()
    world.repaint("a.jpg")
    answer = world.run()
    images = json.loads((world.out / "panoptic.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["a.jpg", "b.jpg"]
    answer.says("1 images of earlier calls are not among these: their maps stay")
    return answer.says(CHANGED)


@cell("A1", "baselines", "said", "other content")
def changed_baselines(world):
    line = "baselines images --gt gt.json -p oracle.toml -o table --device cpu --no-profile"
    world.call(line)
    world.repaint("b.jpg")
    return world.call(line).says(f"oracle: {CHANGED}")


@cell("A1", "compare", "said", "between two runs")
def changed_compare(world):
    world.run()
    world.repaint("b.jpg")
    world.run(out="second")
    return world.call("compare out second --gt gt.json").says(r"1 images changed between")


@cell("A1", "report", "said", "between two runs, and since")
def changed_report(world):
    world.run()
    world.repaint("b.jpg")
    world.run(out="second")
    answer = world.call("report out second")
    answer.says(r"1 images changed since the run")
    return answer.says(r"1 images changed between the runs")


@cell("A1", "draw", "said", "other content since the run")
def changed_draw(world):
    world.run()
    world.repaint("b.jpg")
    answer = world.call("draw out -o drawn")
    assert {path.name for path in (world.folder / "drawn").iterdir()} == {"a.jpg", "c.jpg"}
    return answer.says(r"1 images that changed since the run, first b\.jpg")


@cell("A1", "run", "said", "an image that was empty, and is whole")
def mended_run(world):
    path = world.images / "b.jpg"
    whole = path.read_bytes()
    path.write_bytes(b"")
    assert world.call("run images -o out --pipeline oracle.toml --device cpu").exit_code == 3
    path.write_bytes(whole)
    return world.run().says("could not be read then")


tested(
    *("A1", "run --engine ray", "said", "other content"),
    "tests/runs/test_resume.py::test_ray_adds_them_too_and_does_changed_images_again",
)

# -- A2: what nets answer ------------------------------------------------------------------

NET = "tests/models/adapters/test_semantic_net.py"
for instance, test in {
    "softmax, sigmoid, one-hot": f"{NET}::"
    "test_what_looks_like_probabilities_is_refused_until_somebody_says_what_it_is",
    "argmax": f"{NET}::test_a_finished_label_map_is_no_answer",
    "softmax of a plug-in": "tests/models/test_output_checks.py::"
    "test_probabilities_of_a_plug_in_are_refused_until_it_says_what_they_are",
}.items():
    tested("A2", "run", "refused", instance, test)

# -- A3: pairs -----------------------------------------------------------------------------


def number_otherwise(world, rename):
    """The truth's images in another order than the run's own, under other forms of their names."""

    def change(content):
        ids = {image["id"]: 4 - place for place, image in enumerate(content["images"], start=1)}
        for image in content["images"]:
            image["id"] = ids[image["id"]]
            image["file_name"] = rename(image["file_name"])
        for annotation in content["annotations"]:
            annotation["image_id"] = ids[annotation["image_id"]]

    world.change_gt(change)


FORMS = {
    "plain names": lambda name: name,
    "URLs": lambda name: f"https://host/val/{quote(name)}?d=1",
    "backslashes": lambda name: f"C:\\images\\{name}",
    "decomposed": lambda name: unicodedata.normalize("NFD", f"images/{name}"),
}


def pair(world, scorer, rename):
    world.run()
    number_otherwise(world, rename)
    pq, answer = world.score(scorer)
    assert pq == 1, answer
    return "right"


for form, rename in FORMS.items():
    for scorer in SCORERS:
        cell("A3", scorer, "right", form)(partial(pair, scorer=scorer, rename=rename))


def pair_none(world, scorer):
    world.run()
    number_otherwise(world, lambda name: f"other-{name}")
    _, answer = world.score(scorer)
    return answer.refuses("none of|numbered its images itself")


for scorer in SCORERS:
    cell("A3", scorer, "refused", "no name is known")(partial(pair_none, scorer=scorer))

# -- A6: what is not read ------------------------------------------------------------------


def add_unread(world):
    for name in ("d.tga", "e.dcm"):
        (world.images / name).touch()


@cell("A6", "run", "right", "rarer endings of what can be read")
def rare_endings(world):
    content = (world.images / "a.jpg").read_bytes()
    for name in ("a.mpo", "b.jps", "c.pjpeg"):
        (world.images / Path(name).with_suffix(".jpg").name).unlink()
        (world.images / name).write_bytes(content)
    answer = world.run()
    assert "3 images in" in answer.stdout, answer
    return "right"


@cell("A6", "run", "said", "endings without a decoder")
def unread_run(world):
    add_unread(world)
    answer = world.run()
    figures = json.loads((world.out / "run.json").read_text())
    assert figures["unread"] == {".dcm": 1, ".tga": 1}
    return answer.says(r"not read in the folders: 1 \.dcm, 1 \.tga")


@cell("A6", "draw --list", "said", "a name that is not there")
def unread_draw(world):
    world.run()
    (world.folder / "names").write_text("images/a.jpg\nimages/gone.jpg\n")
    answer = world.call("draw out --list names -o drawn")
    assert {path.name for path in (world.folder / "drawn").iterdir()} == {"a.jpg"}
    return answer.says("2 images that are not where")


@cell("A6", "baselines --list", "said", "a name that is not there")
def unread_baselines(world):
    (world.folder / "names").write_text("images/a.jpg\nimages/b.jpg\nimages/gone.jpg\n")
    answer = world.call(
        "baselines --list names --gt gt.json -p oracle.toml -o table --device cpu --no-profile"
    )
    return answer.says("1 images? failed|failed|2 of 3")


@cell("A6", "run URL", "said", "endings without a decoder behind a URL")
def unread_url(world):
    add_unread(world)
    answer = world.call(f"run file://{world.images} -o out --pipeline oracle.toml --device cpu")
    return answer.says(r"not read in the folders: 1 \.dcm, 1 \.tga")


@cell("A6", "run --list", "said", "a name twice, and one that is not there")
def unread_list(world):
    (world.folder / "names").write_text("images/a.jpg\nimages/a.jpg\nimages/gone.jpg\n")
    answer = world.call("run --list names -o out --pipeline oracle.toml --device cpu")
    answer.says("stand in the list more than once")
    return answer.says("failed: images/gone.jpg: .*no such file")


# -- A4 and A5: what stands in and beside weights ------------------------------------------

for verdict, instance, test in (
    ("said", "the same names in another order", "test_another_order_is_mapped_by_name_and_told"),
    ("said", "another number of names", "test_names_of_another_number_are_told"),
    ("refused", "other names", "test_other_names_are_refused_with_the_first_rows"),
):
    tested("A4", "run", verdict, instance, f"tests/labels/test_class_names.py::{test}")
for verdict, command, instance, test in (
    ("said", "fetch", "they did not come with the weights", "test_side_files_are_fetched_checked_"
     "and_told"),
    ("refused", "run", "a cache without them, and no network", "test_a_cache_without_a_side_file_"
     "is_no_answer_without_a_network"),
    ("right", "fetch", "they are damaged", "test_a_damaged_side_file_is_mended"),
):  # fmt: skip
    tested("A5", command, verdict, instance, f"tests/models/weights/test_hub.py::{test}")
