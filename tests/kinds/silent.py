"""A: silent and wrong."""

import json
import unicodedata
from functools import partial
from urllib.parse import quote

from kinds.cells import cell, open_yet, tested
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
    return answer.says(r"1 images changed between the two runs")


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


@cell("A6", "run", "said", "endings without a decoder")
def unread_run(world):
    add_unread(world)
    answer = world.run()
    figures = json.loads((world.out / "run.json").read_text())
    assert figures["unread"] == {".dcm": 1, ".tga": 1}
    return answer.says(r"not read in the folders: 1 \.dcm, 1 \.tga")


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


# -- not done yet --------------------------------------------------------------------------

open_yet("A4", "run", "a list's order is believed over a checkpoint's own names")
open_yet("A5", "run", "files beside published weights are not required")
