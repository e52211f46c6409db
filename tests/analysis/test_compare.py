"""Runs side by side: figures as evaluate has them, and runs that do not fit together."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from factories import panoptic_truth
from oracle_jobs import SIZE, Job
from panoptic_maps import SPACE, panoptic, write_dataset
from PIL import Image

from fuse import api
from fuse.analysis.compare import RESAMPLES
from fuse.analysis.compared_runs import scorer_of
from fuse.analysis.opened_run import open_run
from fuse.cli import main
from fuse.cli.tables.compare import print_comparison
from fuse.errors import DataError, LabelSpaceError
from fuse.labels import load_space
from fuse.metrics.measures import expand_measures
from fuse.metrics.semantic import sum_semantic_stats

ROOT = Path(__file__).parent.parent.parent
TRUTH = ROOT / "examples" / "annotations.json"


def toy_images(seed, count=6):
    rng = np.random.default_rng(seed)
    return {i: panoptic_truth(rng, (12, 12), SPACE, crowds=False) for i in range(1, count + 1)}


@pytest.fixture
def toys(tmp_path):
    """Ground truth and two predictions of it, the second with half of the images right."""
    truth, noise = toy_images(1), toy_images(2)
    half = {i: truth[i] if i % 2 else noise[i] for i in truth}
    return [
        write_dataset(tmp_path, name, images)
        for name, images in (("truth", truth), ("noise", noise), ("half", half))
    ]


def test_scores_and_differences_are_those_of_evaluate(toys):
    gt, noise, half = toys
    comparison = api.compare([noise, half], gt)
    results = [api.evaluate(gt, path).result for path in (noise, half)]
    assert [run.result for run in comparison.runs] == results
    scores = comparison.differences[0].pq
    for group in ("all", "things", "stuff"):
        for score in ("pq", "sq", "rq"):
            before, after = (getattr(getattr(r, group), score) for r in results)
            interval = scores[group][score]
            assert interval.difference == after - before
            assert interval.low <= interval.difference <= interval.high
    assert scores["all"]["pq"].is_clear
    moved = [abs(c.pq.difference) for c in comparison.differences[0].classes]
    assert moved == sorted(moved, reverse=True)
    assert [image.pq[1] for image in comparison.images][::2] == [1.0, 1.0, 1.0]
    assert comparison.published == ()


def test_a_run_does_not_differ_from_itself(toys):
    gt, noise, _ = toys
    (difference,) = api.compare([noise, noise], gt).differences
    interval = difference.pq["all"]["pq"]
    assert (interval.difference, interval.low, interval.high) == (0, 0, 0)
    assert not interval.is_clear


def test_a_class_in_few_images_has_no_interval_in_the_table(tmp_path, capsys):
    both, wall = {1: 1, 2: 2}, {2: 2}
    found, missed = panoptic([[1, 1, 2, 2]], both), panoptic([[0, 0, 2, 2]], wall)
    other = panoptic([[2, 2, 2, 2]], wall)
    for few in (4, 5):
        truth = {i: found if i <= few else other for i in range(1, 8)}
        blind = {i: missed if i <= few else other for i in range(1, 8)}
        gt, ours, theirs = (
            write_dataset(tmp_path, f"{name}{few}", maps)
            for name, maps in (("gt", truth), ("ours", blind), ("theirs", truth))
        )
        comparison = api.compare([ours, theirs], gt)
        (one,) = (c for c in comparison.differences[0].classes if c.category_id == 1)
        assert (one.images, one.pq.difference) == (few, 1)
        assert comparison.to_json()["differences"][0]["classes"][0]["images"] == few
        print_comparison(comparison)
        line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith(one.name))
        end = "+100.0 (few images)" if few < 5 else "+100.0 (+100.0 to +100.0) *"
        assert line.rstrip().endswith(end)


def test_all_measures_are_compared(toys):
    gt, noise, half = toys
    measures = api.compare([noise, half], gt, measures=["all"]).differences[0].measures
    assert measures.keys() == set(expand_measures(["all"]))
    assert api.compare([noise, half], gt).differences[0].measures == {}


def test_calibration_differs_by_what_its_interval_is_around(kept_run, tmp_path):
    api.combine(tmp_path / "stricter", predictions=kept_run, score_threshold=0.98)
    compared = api.compare([kept_run, tmp_path / "stricter"], TRUTH, measures=["calibration"])
    found = compared.differences[0].measures["calibration"]["things"]
    assert found.low <= found.difference <= found.high
    assert found.low < found.high


def test_a_damaged_map_stops_and_a_run_without_truth_has_no_scorer(toys):
    gt, noise, half = toys
    with pytest.raises(ValueError, match="was opened without ground truth"):
        scorer_of(open_run(half))
    next(half.with_suffix("").glob("*.png")).write_bytes(b"no PNG")
    with pytest.raises(DataError, match="cannot be scored"):
        api.compare([noise, half], gt)


def test_other_images_are_an_error_that_names_them(toys, tmp_path):
    gt, noise, _ = toys
    few = write_dataset(tmp_path, "few", toy_images(3, count=4))
    with pytest.raises(DataError, match=r"only .*noise.json has 5.jpg, 6.jpg; --intersect goes on"):
        api.compare([noise, few], gt)
    comparison = api.compare([noise, few], gt, intersect=True)
    assert [image.file_name for image in comparison.images] == [f"{i}.jpg" for i in range(1, 5)]
    far = write_dataset(tmp_path, "far", {99: panoptic([[1]], {1: 1})})
    with pytest.raises(DataError, match="none of its images"):
        api.compare([noise, far], gt)


def test_common_classes_go_by_name_whatever_their_ids(tmp_path):
    coco = load_space("coco_panoptic")
    maps = {1: panoptic([[1, 1, 2, 2, 2, 2]], {1: 1, 2: 184})}
    gt = write_dataset(tmp_path, "gt", maps, coco)
    ours = write_dataset(
        tmp_path, "ours", {1: panoptic([[1, 1, 1, 2, 2, 2]], {1: 1, 2: 184})}, coco
    )
    cityscapes = load_space("cityscapes")
    theirs = write_dataset(
        tmp_path, "theirs", {1: panoptic([[1, 1, 0, 0, 0, 0]], {1: 24})}, cityscapes
    )
    with pytest.raises(LabelSpaceError, match=r"only .*\(coco_panoptic\) has .* and \d+ more"):
        api.compare([ours, theirs], gt)
    comparison = api.compare([ours, theirs], gt, intersect=True)
    names = {c.name for c in comparison.space.categories}
    assert {"person", "car"} <= names
    assert "tree-merged" not in names
    person = comparison.differences[0].classes[0]
    assert (person.category_id, person.name) == (1, "person")
    assert (person.before, person.after) == (pytest.approx(2 / 3), 1)


def test_nets_are_scored_over_the_common_classes(kept_run):
    full = api.compare([kept_run, kept_run], TRUTH).runs[0]
    # The truth has finer classes: of those of the run it has persons by name, and no animals.
    comparison = api.compare([kept_run, TRUTH], TRUTH, intersect=True)
    common = comparison.runs[0]
    of_all, of_common = (sum_semantic_stats(run.semantic) for run in (full, common))
    assert {1, 4} <= set(of_all.category_ids.tolist())
    assert of_common.category_ids.tolist() == [1]
    assert [category.name for category in comparison.space.categories][:1] == ["person"]
    person = of_all.category_ids.tolist().index(1)
    iou = of_all.right / (of_all.true + of_all.predicted - of_all.right)
    assert common.miou == iou[person] != full.miou


def test_nets_times_and_memory_come_from_the_run(kept_run, tmp_path):
    api.combine(tmp_path / "again", predictions=kept_run, score_threshold=0.3)
    comparison = api.compare([kept_run, tmp_path / "again"], TRUTH)
    first, second = comparison.runs
    assert first.images_run == 3
    assert first.seconds["total"] > 0
    assert first.peak_memory_mib["process"] > 0
    assert 0 < first.miou <= 1
    assert 0 < first.ap <= 1
    assert (second.miou, second.ap, second.seconds) == (None, None, {})
    assert comparison.differences[0].miou is None

    (itself,) = api.compare([kept_run, kept_run], TRUTH).differences
    assert (itself.miou.low, itself.miou.high) == (itself.ap.low, itself.ap.high) == (0, 0)
    figures = json.loads(json.dumps(comparison.to_json(), allow_nan=False))
    assert figures["images"] == 3
    assert figures["resamples"] == RESAMPLES


def test_images_that_changed_between_two_runs_are_told(tmp_path):
    job = Job(tmp_path, ["a.jpg", "b.jpg"])
    job.add("a.jpg", "b.jpg")
    job.run()
    Image.new("RGB", SIZE[::-1], "red").save(job.images / "b.jpg")
    second = tmp_path / "second"
    job.run(second)
    comparison = api.compare([job.out, second, job.out], job.gt)
    assert [run.changed for run in comparison.runs] == [(), ("b.jpg",), ()]
    assert [run["changed"] for run in comparison.to_json()["runs"]] == [0, 1, 0]
    command = ["compare", str(job.out), str(second), "--gt", str(job.gt)]
    told = CliRunner().invoke(main, command).stdout
    assert f"1 images changed between {job.out} and {second} (first b.jpg)" in told
    (second / "records.jsonl").unlink()  # who does not know says nothing
    assert api.compare([job.out, second], job.gt).runs[1].changed == ()


def test_published_results_stand_by_where_the_classes_are_theirs(tmp_path):
    coco = load_space("coco_panoptic")
    gt = write_dataset(tmp_path, "gt", {1: panoptic([[1]], {1: 1})}, coco)
    published = api.compare([gt, gt], gt).published
    assert max(result.pq for result in published) == 0.592
    assert published[0].name == "two people"


def test_one_run_is_refused(toys):
    with pytest.raises(DataError, match="name two or more"):
        api.compare(toys[1:2], toys[0])
