"""The whole job on real images with the nets that ship."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fuse import api
from fuse.errors import (
    CocoFormatError,
    ConfigError,
    DataError,
    LabelSpaceError,
    ModelError,
    RunStoppedError,
)
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.io.listing import list_images
from fuse.io.png import read_id_map
from fuse.runs.tasks import assign_image_ids, make_tasks

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples" / "images"
TRUTH = ROOT / "examples" / "annotations.json"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three images, one of them in a folder of its own, and files that are no images."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "trip.2026").mkdir()
    shutil.copy(EXAMPLES / "chelsea.jpg", folder / "chelsea.JPG")
    shutil.copy(EXAMPLES / "rocket.jpg", folder / "trip.2026" / "rocket.jpeg")
    Image.open(EXAMPLES / "camera.jpg").save(folder / "camera.png")  # grey
    (folder / "notes.txt").write_text("not an image")
    return folder


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    """A run over them, scored."""
    out = tmp_path_factory.mktemp("run") / "out"
    return api.run([str(images)], out, device="cpu", gt=TRUTH, pictures=True)


def tree(folder, *patterns):
    """Bytes of the files of a folder, by relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for pattern in patterns
        for path in sorted(folder.rglob(pattern))
        if path.is_file()
    }


def test_the_output_folder_is_complete(finished):
    out = finished.out
    visible = [path.name for path in out.iterdir() if not path.name.startswith(".")]
    assert sorted(visible) == [
        "panoptic",
        "panoptic.json",
        "pictures",
        "records.jsonl",
        "run.json",
    ]
    names = {"camera.png", "chelsea.png", "trip.2026/rocket.png"}
    assert set(tree(out / "panoptic", "*")) == names
    pictures = {name.replace(".png", ".jpg") for name in names}
    assert set(tree(out / "pictures", "*")) == pictures
    assert finished.done == 3
    assert finished.failed == ()


def test_the_json_describes_the_pngs(finished):
    dataset = read_panoptic_json(finished.out)
    written = json.loads((finished.out / "panoptic.json").read_text())
    assert [image["file_name"] for image in written["images"]] == [
        "camera.png",
        "chelsea.JPG",
        "trip.2026/rocket.jpeg",
    ]
    for annotation in written["annotations"]:
        panoptic_map = read_id_map(finished.out / "panoptic" / annotation["file_name"])
        ids, areas = np.unique(panoptic_map[panoptic_map > 0], return_counts=True)
        segments = annotation["segments_info"]
        assert [s["id"] for s in segments] == list(range(1, len(segments) + 1))
        assert {s["id"]: s["area"] for s in segments} == dict(
            zip(ids.tolist(), areas.tolist(), strict=True)
        )
        for segment in segments:
            rows, columns = np.nonzero(panoptic_map == segment["id"])
            x, y, width, height = segment["bbox"]
            assert (x, x + width) == (columns.min(), columns.max() + 1)
            assert (y, y + height) == (rows.min(), rows.max() + 1)
            isthing = dataset.space.by_id[segment["category_id"]].isthing
            assert (segment["score"] is not None) == isthing


def test_image_ids_are_those_of_the_ground_truth(finished):
    truth = {image["file_name"]: image["id"] for image in json.loads(TRUTH.read_text())["images"]}
    written = json.loads((finished.out / "panoptic.json").read_text())["images"]
    assert [image["id"] for image in written] == [
        truth["camera.jpg"],
        truth["chelsea.jpg"],
        truth["rocket.jpg"],
    ]


def test_the_score_on_the_fly_is_that_of_evaluate(finished, tmp_path):
    truth = json.loads(TRUTH.read_text())
    ran = {
        image["id"] for image in json.loads((finished.out / "panoptic.json").read_text())["images"]
    }
    truth["images"] = [image for image in truth["images"] if image["id"] in ran]
    truth["annotations"] = [a for a in truth["annotations"] if a["image_id"] in ran]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(truth))
    saved = api.evaluate(path, finished.out, gt_dir=TRUTH.with_suffix(""))
    assert saved.result.to_json() == finished.evaluation.result.to_json()
    assert saved.mapped == finished.evaluation.mapped
    assert "coco_panoptic" in saved.mapped
    summary = json.loads((finished.out / "run.json").read_text())
    assert summary["pq"] == saved.to_json()["pq"]


def test_a_run_scored_against_itself_is_perfect(finished):
    result = api.evaluate(finished.out, finished.out).result
    assert result.all.pq == 1
    assert result.all.n > 0


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 3])
def test_two_runs_give_the_same_bytes(images, finished, tmp_path, batch_size):
    out = tmp_path / "out"
    api.run([str(images)], out, device="cpu", gt=TRUTH, pictures=True, batch_size=batch_size)
    again = tree(out, "*.png", "panoptic.json", "records.jsonl")
    first = tree(finished.out, "panoptic/**/*.png", "panoptic.json", "records.jsonl")
    for files in (again, first):  # how it was called comes first
        files["records.jsonl"] = files["records.jsonl"].partition(b"\n")[2]
    assert again == first


def test_a_run_that_was_cut_off_goes_on(images, finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished.out, out)
    journal = out / "records.jsonl"
    settings, first, *_ = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(settings + first + b'{"file_na')  # killed while it wrote the second record
    (out / "panoptic.json").unlink()
    shutil.rmtree(out / "panoptic" / "trip.2026")
    old = (out / "panoptic" / "camera.png").stat().st_mtime_ns

    result = api.run([str(images)], out, device="cpu", gt=TRUTH, pictures=True)

    assert (out / "panoptic" / "camera.png").stat().st_mtime_ns == old  # not done twice
    kept = ("panoptic/**/*.png", "panoptic.json", "records.jsonl")
    assert tree(out, *kept) == tree(finished.out, *kept)
    assert result.evaluation.result.to_json() == finished.evaluation.result.to_json()


def test_broken_images_are_recorded_and_the_rest_is_done(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    whole = (EXAMPLES / "chelsea.jpg").read_bytes()
    (folder / "a_whole.jpg").write_bytes(whole)
    (folder / "b_cut_short.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "c_empty.jpg").write_bytes(b"")
    (folder / "d_text.png").write_text("no picture")
    result = api.run([str(folder)], tmp_path / "out", device="cpu")
    assert result.done == 1
    assert [name for name, _ in result.failed] == ["b_cut_short.jpg", "c_empty.jpg", "d_text.png"]
    for name, reason in result.failed:
        assert name in reason
    (image,) = read_panoptic_json(tmp_path / "out").images.values()
    assert image.file_name == "a_whole.jpg"
    assert sorted(tree(tmp_path / "out" / "panoptic", "*")) == ["a_whole.png"]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["photos"] == {
        "done": 1,
        "failed": 3,
        "tried": 4,
    }


@pytest.mark.slow
def test_a_image_that_failed_is_missed_in_the_score(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "chelsea.jpg").write_bytes(b"")
    result = api.run([str(folder)], tmp_path / "out", device="cpu", gt=TRUTH)
    animal = next(c for c in result.evaluation.result.per_category.values() if c.name == "animal")
    assert (animal.tp, animal.fp, animal.fn) == (0, 0, 1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"images": ["nowhere"]}, DataError, "nowhere"),
        ({"pipeline": "tinny"}, ConfigError, "no pipeline 'tinny'"),
        ({"overrides": ["fusion.rule=best"]}, ConfigError, "none of overlap"),
        ({"overrides": ["instance.weights=none.pth"]}, ModelError, "no weights 'none.pth'"),
        (
            {"overrides": ["instance.weights=tiny_semantic"]},
            (ModelError, ConfigError),
            "tiny_semantic",
        ),
        ({"overrides": ["instance.wieghts=x"]}, ConfigError, "did you mean 'weights'"),
        ({"overrides": ["label_space=cocoa"]}, LabelSpaceError, "no label space 'cocoa'"),
        ({"overrides": ["semantic.model=evil.py:Net"]}, ConfigError, "give --allow-plugins"),
        ({"device": "cuda:99"}, ConfigError, "device 'cuda:99' cannot be used"),
        ({"gt": ROOT / "pyproject.toml"}, CocoFormatError, "pyproject.toml"),
    ],
)
def test_a_wrong_argument_says_so_and_writes_nothing(tmp_path, options, error, message):
    out = tmp_path / "out"
    arguments = {"images": [str(EXAMPLES)], "out": out, "device": "cpu"} | options
    with pytest.raises(error, match=message):
        api.run(**arguments)
    assert not out.exists()


def test_missing_pngs_of_the_ground_truth_are_found_before_any_work(tmp_path):
    with pytest.raises(CocoFormatError, match=r"8 of 8 PNGs .* are missing, first .*--gt-dir"):
        api.run([str(EXAMPLES)], tmp_path / "out", gt=TRUTH, gt_dir=EXAMPLES, device="cpu")
    assert not (tmp_path / "out").exists()


def test_another_pipeline_in_the_same_folder_is_refused(images, finished):
    before = tree(finished.out, "*")
    with pytest.raises(DataError, match=r"fusion\.score_threshold was 0\.5, is 0\.9"):
        api.run([str(images)], finished.out, device="cpu", overrides=["fusion.score_threshold=0.9"])
    assert tree(finished.out, "*") == before


def test_two_images_cannot_be_one_of_the_ground_truth(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(EXAMPLES / "rocket.jpg", tmp_path / name)
    with pytest.raises(DataError, match=r"a/rocket\.jpg and b/rocket\.jpg are both image"):
        make_tasks(list_images([str(tmp_path)]).images, read_panoptic_json(TRUTH))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["000000000139.jpg", "000000000285.jpg"], [139, 285]),
        (["val/1.jpg", "val/20.jpg"], [1, 20]),
        (["a/1.jpg", "b/1.jpg"], [1, 2]),
        (["1.jpg", "01.jpg"], [1, 2]),
        (["1.jpg", "two.jpg"], [1, 2]),
        (["²³.jpg", "3.jpg"], [1, 2]),
    ],
    ids=str,
)
def test_image_ids_without_ground_truth(names, expected):
    assert assign_image_ids(names) == expected


def test_images_the_ground_truth_lacks_get_ids_of_their_own():
    truth = read_panoptic_json(TRUTH)
    known = truth.find_image("rocket.jpg")
    largest = max(truth.annotations)
    assert assign_image_ids(["new.jpg", "rocket.png", "z.jpg"], truth) == [
        largest + 1,
        known,
        largest + 2,
    ]


@pytest.mark.slow
def test_shards_join_into_the_run_that_one_process_makes(images, finished, tmp_path):
    parts = [tmp_path / f"part{i}" for i in (1, 2)]
    for i, part in enumerate(parts, start=1):
        api.run([str(images)], part, device="cpu", gt=TRUTH, shard=(i, 2))
    assert api.merge(parts[::-1], tmp_path / "out") == api.MergeResult(3, ())
    kept = ("panoptic/**/*.png", "panoptic.json")
    assert tree(tmp_path / "out", *kept) == tree(finished.out, *kept)

    with pytest.raises(DataError, match=r"shard 2/2 is missing"):
        api.merge(parts[:1], tmp_path / "half")
    with pytest.raises(DataError, match=r"are both shard 1/2"):
        api.merge([parts[0], parts[0]], tmp_path / "twice")
    run_file = parts[1] / "run.json"
    run_file.write_text(run_file.read_text().replace('"fuse": "', '"fuse": "9.'))
    with pytest.raises(DataError, match=r"settings differ: fuse was 0.1.0, is 9\.0.1.0$"):
        api.merge(parts, tmp_path / "mixed")
    assert not (tmp_path / "half").exists()


@pytest.mark.slow
def test_a_run_that_is_stopped_goes_on(images, finished, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(RunStoppedError, match="stopped after 1 of 3 images"):
        api.run([str(images)], out, device="cpu", gt=TRUTH, pictures=True, should_stop=lambda: True)
    assert not (out / "panoptic.json").exists()
    assert len((out / "records.jsonl").read_text().splitlines()) == 2  # the settings come first
    api.run([str(images)], out, device="cpu", gt=TRUTH, pictures=True)
    kept = ("panoptic/**/*.png", "panoptic.json", "records.jsonl")
    assert tree(out, *kept) == tree(finished.out, *kept)


@pytest.mark.slow
def test_kept_predictions_fuse_into_the_files_of_the_run(images, tmp_path):
    out = tmp_path / "out"
    api.run([str(images)], out, device="cpu", keep_predictions=True)
    sizes = [path.stat().st_size for path in out.rglob("*.npz")]
    assert len(sizes) == 3
    assert max(sizes) < 200_000

    api.combine(tmp_path / "again", predictions=out)
    kept = ("panoptic/**/*.png", "panoptic.json")
    assert tree(tmp_path / "again", *kept) == tree(out, *kept)

    strict = ["fusion.score_threshold=0.95", "fusion.stuff_area=0.05"]
    api.run([str(images)], tmp_path / "strict", device="cpu", overrides=strict)
    api.combine(tmp_path / "other", predictions=out, score_threshold=0.95, stuff_area=0.05)
    assert tree(tmp_path / "other", *kept) == tree(tmp_path / "strict", *kept)


def test_a_run_that_kept_nothing_cannot_be_fused_again(finished, tmp_path):
    with pytest.raises(DataError, match="run it with --keep-predictions"):
        api.combine(tmp_path / "out", predictions=finished.out)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_one_image_may_be_named_without_a_list(tmp_path):
    for number, given in enumerate((str(EXAMPLES / "chelsea.jpg"), EXAMPLES / "chelsea.jpg")):
        result = api.run(given, str(tmp_path / f"out{number}"), device="cpu")
        assert (result.done, result.out) == (1, tmp_path / f"out{number}")
