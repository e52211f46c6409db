"""Baselines: run once, resumed, compared as `compare` does, and failing one by one."""

import csv
import json
import shutil
from contextlib import nullcontext

import numpy as np
import pytest
from click.testing import CliRunner
from factories import panoptic_truth
from oracle_jobs import SUPER, Job
from panoptic_maps import panoptic
from run_folders import write_maps

from fuse import api
from fuse.baselines import baseline as module
from fuse.baselines.tables import BaselineRow, list_rows, make_latex, make_markdown
from fuse.cli import main
from fuse.errors import ConfigError, RunStoppedError
from fuse.labels import load_space

NAMES = ("a.jpg", "b.jpg", "c.jpg")
SIZE = (30, 40)


@pytest.fixture
def job(tmp_path):
    made = Job(tmp_path, NAMES)
    made.add(*NAMES)
    return made


@pytest.fixture
def strict(job):
    """The job's preset with a rule that drops stuff."""
    path = job.preset.with_name("strict.toml")
    path.write_text(job.preset.read_text().replace("stuff_area = 0", "stuff_area = 300"))
    return path


@pytest.fixture
def theirs(tmp_path):
    """A panoptic JSON made elsewhere, which finds nothing right."""
    return write_noise(tmp_path / "theirs.json", NAMES)


def write_noise(path, names):
    rng = np.random.default_rng(9)
    return write_maps(
        path, {n: panoptic_truth(rng, SIZE, SUPER, crowds=False) for n in names}, SUPER
    )


def run(job, *pipelines, **options):
    given = {"gt": job.gt, "out": job.out, "device": "cpu", "measures": False} | options
    return api.baselines([job.images], pipelines=[str(p) for p in pipelines], **given)


def test_pipelines_and_an_earlier_run_stand_side_by_side(job, strict, theirs):
    result = run(job, job.preset, strict, runs=[theirs], measures=True)
    assert [one.name for one in result.baselines] == ["oracle", "strict", "theirs"]
    assert [one.error for one in result.baselines] == [None] * 3
    expected = api.compare([job.out / "runs/oracle", job.out / "runs/strict", theirs], job.gt)
    assert result.comparison.to_json() == expected.to_json()
    oracle, strict_one, theirs_one = result.baselines
    assert oracle.costs.images == strict_one.costs.images == 3
    assert oracle.costs.images_per_second > 0
    assert oracle.costs.total.seconds > 0
    assert (theirs_one.costs.images_per_second, theirs_one.costs.total) == (None, None)
    totals = [row for row in result.profile if row.part == "total"]
    assert [row.pipeline for row in totals] == ["oracle", "strict"]
    assert totals[0].ratio == 1.0
    assert totals[1].ratio == totals[1].seconds / totals[0].seconds
    assert result.notes == ()
    assert result.report == job.out / "report.html"

    figures = json.loads((job.out / "baselines.json").read_text())
    assert figures == json.loads(json.dumps(result.to_json()))
    with (job.out / "baselines.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["baseline"] for row in rows] == ["oracle", "strict", "theirs"]
    for row, scored in zip(rows, expected.runs, strict=True):
        assert float(row["pq"]) == scored.result.all.pq
    assert [bool(row["pq_difference"]) for row in rows] == [False, True, True]
    assert (job.out / "baselines.md").read_text().count("\n| ") == 4
    assert (job.out / "baselines.tex").read_text().count(r" \\") == 3


def test_nothing_is_done_twice(job, strict, monkeypatch):
    first = run(job, job.preset, strict, measures=True)
    maps = {path: path.stat().st_mtime_ns for path in job.out.rglob("*.png")}
    monkeypatch.setattr(module, "profile", None)  # whoever calls it fails
    again = run(job, job.preset, strict, measures=True)
    assert {path: path.stat().st_mtime_ns for path in job.out.rglob("*.png")} == maps
    assert [one.costs for one in again.baselines] == [one.costs for one in first.baselines]
    assert [one.error for one in again.baselines] == [None, None]


def test_a_changed_preset_is_measured_anew_and_not_mixed_with_the_old(job):
    run(job, job.preset, measures=True)
    job.preset.write_text(job.preset.read_text().replace("stuff_area = 0", "stuff_area = 9"))
    (one,) = run(job, job.preset, measures=True).baselines
    assert "other settings" in one.error or "made with" in one.error


def test_a_call_that_was_stopped_goes_on(job, strict, tmp_path):
    asked = []

    def stop_in_the_second_run():
        asked.append(1)
        return len(asked) == 4

    with pytest.raises(RunStoppedError):
        run(job, job.preset, strict, should_stop=stop_in_the_second_run)
    assert not (job.out / "baselines.json").exists()
    result = run(job, job.preset, strict)
    assert result.baselines[1].costs.images == 2  # the others were there
    whole = run(job, job.preset, strict, out=tmp_path / "whole")
    for path in whole.out.rglob("*.png"):
        assert (job.out / path.relative_to(whole.out)).read_bytes() == path.read_bytes()
    assert result.comparison.differences == whole.comparison.differences


def test_what_fails_is_a_line_and_the_others_go_on(job, tmp_path, monkeypatch):
    monkeypatch.setenv("FUSE_WEIGHTS", str(tmp_path / "nothing"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    crooked = tmp_path / "crooked.toml"
    crooked.write_text("label_space = 3")
    elsewhere = write_noise(tmp_path / "elsewhere.json", ["x.jpg"])
    result = run(job, "tinny", crooked, "coco", job.preset, runs=[elsewhere])
    wrong, bad, absent, good, other = result.baselines
    assert "did you mean 'tiny'" in wrong.error
    assert "label_space is missing" in bad.error
    assert "run fuse fetch coco --to DIR" in absent.error
    assert "none of its images" in other.error
    assert good.error is None
    assert [r.name for r in result.comparison.runs] == [str(job.out / "runs/oracle")]
    assert "- tinny: " in (job.out / "baselines.md").read_text()


def test_a_wrong_name_is_told_before_the_work(job):
    stages = []

    def open_progress(stage):
        stages.append(stage)
        return nullcontext()

    run(job, job.preset, "tinny", job.images / "no.toml", open_progress=open_progress)
    assert stages[0].startswith("failed: tinny: no pipeline 'tinny'; did you mean 'tiny'")
    assert stages[1].startswith("failed: no: ")
    assert stages[2] == "oracle: running"
    assert not any("tinny" in stage or "no:" in stage for stage in stages[2:])


def test_a_bug_of_a_plugin_is_a_line_too(job, tmp_path):
    (tmp_path / "mine.py").write_text(
        "class Net:\n    def __init__(self, device):\n        1 / 0\n"
    )
    plugin = tmp_path / "plugin.toml"
    oracle = job.preset.read_text().replace('model = "oracle"', 'model = "mine.py:Net"', 1)
    plugin.write_text(oracle.replace('gt = "gt.json"\n', "", 1))
    result = run(job, plugin, job.preset, allow_plugins=True)
    assert "division by zero" in result.baselines[0].error
    assert result.comparison is not None


def test_a_truth_of_some_images_says_how_many_were_scored(job, strict):
    part = write_maps(
        job.gt.with_name("part.json"), {n: job.truths[n] for n in NAMES[:2]}, SUPER, first_id=7
    )
    result = run(job, job.preset, strict, gt=part)
    assert len(result.comparison.images) == 2
    assert result.notes[0] == "oracle: 2 of 3 images are scored, 1 that the ground truth lacks"


def test_other_label_spaces_are_scored_on_what_they_share(tmp_path):
    coco, coarse = load_space("coco_panoptic"), load_space("coco_super")
    gt = write_maps(tmp_path / "gt.json", draw(coco), coco)
    fine = write_maps(tmp_path / "fine.json", draw(coco), coco)
    rough = write_maps(tmp_path / "rough.json", draw(coarse), coarse)
    result = api.baselines(gt=gt, out=tmp_path / "out", runs=[fine, rough])
    common = {c.name for c in result.comparison.space.categories}
    assert "person" in common
    assert len(common) < len(coarse.categories)
    assert f"scored are the {len(common)} that all have" in result.notes[0]
    scored = "over 1 image and 1 class of part of coco"
    markdown, latex = ((tmp_path / "out/baselines").with_suffix(s) for s in (".md", ".tex"))
    assert f"\n\n{scored}\\_panoptic, ground truth gt.json\n" in markdown.read_text()
    assert latex.read_text().endswith(f"\n% {scored}\\_panoptic, ground truth gt.json\n")
    with (tmp_path / "out/baselines.csv").open() as file:
        row, _ = csv.DictReader(file)
    scope = (row["images"], row["classes"], row["label_space"], row["ground_truth"])
    assert scope == ("1", "1", "part of coco_panoptic", "gt.json")
    assert "the report shows no scores" in result.notes[1]
    assert f'"unscored":"{result.notes[1]}"' in result.report.read_text()


def draw(space):
    """A map per image of one thing, and one stuff where the space has any."""
    person = next(c.category_id for c in space.categories if c.name == "person")
    stuff = next((c.category_id for c in space.categories if not c.isthing), person)
    return {"a.jpg": panoptic([[1, 1, 2, 2]] * 2, {1: person, 2: stuff})}


def test_equal_names_get_a_number(job, tmp_path):
    (tmp_path / "other").mkdir()
    copy = tmp_path / "other/oracle.toml"
    copy.write_text(job.preset.read_text())
    shutil.copytree(job.gt.with_suffix(""), tmp_path / "other/gt")
    shutil.copy(job.gt, tmp_path / "other/gt.json")
    result = run(job, job.preset, copy)
    assert [one.name for one in result.baselines] == ["oracle", "oracle-2"]
    assert [one.error for one in result.baselines] == [None, None]


def test_a_run_may_stand_twice(job, theirs):
    result = api.baselines(gt=job.gt, out=job.out, runs=[theirs, theirs])
    first, second = list_rows(result.baselines, result.comparison)
    assert [first.name, second.name] == ["theirs", "theirs-2"]
    assert first.scores == second.scores
    assert first.difference is None
    assert second.difference.difference == 0


def test_nothing_to_do_is_said(job):
    with pytest.raises(ConfigError, match="no baselines"):
        run(job)
    with pytest.raises(ConfigError, match="give images"):
        api.baselines(gt=job.gt, out=job.out, pipelines=["tiny"])


def test_no_name_is_a_command_to_tex_or_markdown():
    rows = [BaselineRow(r"a_b|c\d~{}%", (0.5,) + (None,) * 6, error="x_y")]
    latex, markdown = make_latex(rows), make_markdown(rows)
    assert latex.splitlines()[1].startswith(
        r"a\_b|c\textbackslash{}d\textasciitilde{}\{\}\% & 50.0 & "
    )
    assert r"a\_b\|c\\d" in markdown


@pytest.mark.parametrize(("pipelines", "code"), [(["tinny"], 1), (["tinny", "oracle"], 3)])
def test_the_command_prints_a_table_and_ends_as_it_went(job, pipelines, code):
    asked = [str(job.preset) if name == "oracle" else name for name in pipelines]
    arguments = [f for name in asked for f in ("-p", name)]
    command = ["baselines", str(job.images), "--gt", str(job.gt), "-o", str(job.out), *arguments]
    result = CliRunner().invoke(main, [*command, "--no-profile", "--device", "cpu"])
    assert result.exit_code == code, result.output
    assert "failed: tinny: no pipeline 'tinny'" in result.stderr
    table = result.stdout.splitlines()
    assert table[0].split()[:3] == ["baseline", "PQ", "SQ"]
    if "oracle" in pipelines:
        pq = api.evaluate(job.gt, job.out / "runs/oracle").result.all.pq
        assert table[2].split()[:2] == ["oracle", f"{100 * pq:.1f}"]
        assert "report: " in table[-1]
