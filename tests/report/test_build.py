"""The file of a report: what stands in it, and that it is whole or not there."""

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from oracle_jobs import SIZE, Job
from PIL import Image
from run_folders import draw_predictions, write_maps, write_run

from fuse import api
from fuse.cli import main
from fuse.errors import CocoFormatError, ConfigError, DataError
from fuse.report.document import PAGE_DIR, SCRIPTS, make_block
from fuse.report.extras import read_sweep

BLOCK = re.compile(r'<script type="application/json" id="([\w-]+)">(.*?)</script>', re.DOTALL)

TRUTH = Path(__file__).parent.parent.parent / "examples" / "annotations.json"


def read_blocks(path):
    return {name: json.loads(text) for name, text in BLOCK.findall(path.read_text("utf-8"))}


def test_figures_and_images_of_a_report(kept, tmp_path):
    steps = []
    out = tmp_path / "report.html"
    result = api.report(
        *kept, gt=TRUTH, out=out, photos=3, on_progress=lambda *step: steps.append(step)
    )
    assert (result.path, result.images, result.shown, result.missing) == (out, 8, 3, 0)
    assert result.size == out.stat().st_size
    assert steps == [(done, 11) for done in range(1, 12)]
    blocks = read_blocks(out)
    assert list(blocks) == ["figures", "image-0", "image-1", "image-2"]
    figures = blocks["figures"]
    for shown, path in zip(figures["runs"], kept, strict=True):
        assert shown["scores"] == api.evaluate(TRUTH, path).result.to_json()
        assert shown["name"] == path.name
    assert figures["runs"][0]["pipeline"]["name"] == "tiny"
    assert set(figures["runs"][0]["weights"]) == {"semantic", "instance"}
    assert figures["runs"][0]["seconds"]["total"] > 0
    assert len(figures["all_pq"]) == 8
    assert len(figures["images"]) == 3


def test_the_report_lies_in_the_run(tmp_path):
    run = write_run(tmp_path, draw_predictions(["a.jpg"]))
    for _ in range(2):
        assert api.report(run).path == run / "report.html"


def test_a_report_of_a_json_is_put_where_it_is_told_and_in_no_other_file_s_place(tmp_path):
    run = write_run(tmp_path, draw_predictions(["a.jpg"]))
    before = set(run.iterdir())
    with pytest.raises(ConfigError, match=r"panoptic\.json is no folder of a run.*-o FILE\.html"):
        api.report(run / "panoptic.json")
    assert set(run.iterdir()) == before
    (tmp_path / "empty").mkdir()
    with pytest.raises(CocoFormatError, match=r"empty is no run and has no panoptic\.json"):
        api.report(tmp_path / "empty")
    out = tmp_path / "a.html"
    assert api.report(run / "panoptic.json", out=out).path == out
    out.write_text("mine")
    with pytest.raises(ConfigError, match=r"a\.html is no report of fuse; give another name"):
        api.report(run, out=out)
    assert out.read_text() == "mine"
    (run / "report.html").write_text("mine")
    with pytest.raises(ConfigError, match=r"report\.html is no report of fuse"):
        api.report(run)
    assert (run / "report.html").read_text() == "mine"


def test_images_that_changed_since_the_run_or_between_two_are_told(tmp_path):
    job = Job(tmp_path, ["a.jpg", "b.jpg"])
    job.add("a.jpg", "b.jpg")
    job.run()
    Image.new("RGB", SIZE[::-1], "red").save(job.images / "b.jpg")
    job.run(tmp_path / "second")
    result = api.report(job.out)
    assert (result.changed, result.missing) == (1, 0)
    blocks = read_blocks(job.out / "report.html")
    images = blocks["figures"]["images"]
    assert [(image["stale"], image["changed"]) for image in images] == [(False, None), (True, None)]
    assert blocks["image-0"]["jpeg"] is not None
    assert blocks["image-1"]["jpeg"] is None
    result = CliRunner().invoke(main, ["report", str(job.out), str(tmp_path / "second")])
    figures = read_blocks(job.out / "report.html")["figures"]
    assert all(isinstance(image["changed"], float) for image in figures["images"])  # a share
    assert "warning: 1 images changed since the run" in result.stderr
    assert "warning: 1 images changed between the runs" in result.stderr
    assert "differ" not in CliRunner().invoke(main, ["report", str(tmp_path / "second")]).stderr


def test_images_that_are_gone_are_counted(tmp_path):
    run = write_run(tmp_path, draw_predictions(["a.jpg", "b.jpg"]))
    shutil.rmtree(tmp_path / "images")
    assert api.report(run).missing == 2
    blocks = read_blocks(run / "report.html")
    assert [image["missing"] for image in blocks["figures"]["images"]] == [True, True]
    assert blocks["image-0"]["jpeg"] is None


def test_a_report_is_whole_or_not_there(tmp_path):
    predictions = draw_predictions(["a.jpg", "b.jpg"])
    run = write_run(tmp_path, predictions)
    (run / "panoptic" / "b.png").write_bytes(b"damaged")
    before = set(run.iterdir())
    with pytest.raises(CocoFormatError, match=r"b\.png: not a panoptic PNG"):
        api.report(run)
    assert set(run.iterdir()) == before


HOSTILE = '<img src=x onerror="hit()"></script><script>hit()</script>&amp;\u2028'


def test_a_block_holds_any_text_and_no_tag():
    block = make_block("figures", {"name": HOSTILE, HOSTILE: [1]}).decode("ascii")
    ((_, text),) = BLOCK.findall(block)
    assert "<" not in text
    assert json.loads(text) == {"name": HOSTILE, HOSTILE: [1]}


def test_the_script_puts_no_text_into_the_page_as_markup():
    for name in SCRIPTS:
        script = (PAGE_DIR / name).read_text("utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script
        )
        assert "</script" not in script
        assert len(script.splitlines()) <= 400
    assert {path.name for path in PAGE_DIR.glob("*.js")} == set(SCRIPTS)


@pytest.mark.parametrize(
    ("option", "content", "message"),
    [
        ("sweep", "{", "is not a JSON of `fuse sweep --json`"),
        ("sweep", "{}", "missing required field `settings`"),
        ("sweep", '{"settings": [{"all": 0.5}], "best": {}}', "lacks one of all, things, stuff"),
        ("sweep", '{"settings": [], "best": {"all": NaN}}', "is NaN, no number of JSON"),
        ("sweep", '{"settings": [], "best": {}, "interval": [1]}', "length 2"),
        ("ledger", '{"settings": []}', "missing required field `ledger`"),
        ("ledger", '{"rest": 0, "ledger": [{"key": "masks"}]}', "missing required field `share`"),
        ("ledger", '{"rest": "nan", "ledger": []}', "Expected `float`, got `str`"),
    ],
)
def test_a_wrong_file_of_figures_is_named(tmp_path, option, content, message):
    run = write_run(tmp_path, draw_predictions(["a.jpg"]))
    path = tmp_path / "figures.json"
    path.write_text(content)
    with pytest.raises(CocoFormatError, match=message):
        api.report(run, **{option: path})


def test_sweep_and_ledger_are_drawn_as_their_commands_write_them(kept, tmp_path):
    run, _ = kept
    sweep, ledger = tmp_path / "sweep.json", tmp_path / "ledger.json"
    grid = ["score_threshold=0.3,0.6"]
    sweep.write_text(json.dumps(api.sweep(run, TRUTH, grid).to_json()))
    ledger.write_text(json.dumps(api.diagnose(run, TRUTH, orders=2).to_json()))
    api.report(run, gt=TRUTH, photos=1, sweep=sweep, ledger=ledger, out=tmp_path / "r.html")
    figures = read_blocks(tmp_path / "r.html")["figures"]
    assert len(figures["sweep"]["settings"]) == 2
    assert figures["error_types"]["run"] == str(run)
    costs = figures["error_types"]["costs"]
    assert costs[-1]["title"] == "the rule itself"
    pq = figures["runs"][0]["scores"]["pq"]["all"]["pq"]
    assert sum(cost["share"] for cost in costs) == pytest.approx(1 - pq)
    assert [cost["share"] for cost in costs[:-1]] == sorted(
        (cost["share"] for cost in costs[:-1]), reverse=True
    )


def test_a_sweep_with_a_holdout_says_what_its_interval_is_of(tmp_path):
    sweep = tmp_path / "sweep.json"
    point = {"all": 0.5, "things": 0.5, "stuff": None, "rule": "overlap"}
    held_out = {"all": {"pq": 0.4, "sq": 0.8, "rq": 0.5, "n": 2}}
    content = {"settings": [point], "best": point, "photos": 3, "interval": [0.3, 0.45]}
    sweep.write_text(json.dumps(content | {"held_out": held_out}))
    drawn = read_sweep(sweep)
    assert (drawn["images"], drawn["held_out"]["all"]["pq"]) == (3, 0.4)


def test_two_runs_are_scored_on_the_images_that_both_have(tmp_path):
    predictions = draw_predictions(["a.jpg", "b.jpg", "c.jpg"])
    truth = write_maps(tmp_path / "truth.json", predictions)
    whole = write_maps(tmp_path / "whole.json", predictions)
    part = write_maps(tmp_path / "part.json", dict(list(predictions.items())[:2]))
    for first, second in ((whole, part), (part, whole)):
        api.report(first, second, gt=truth, out=tmp_path / "r.html")
        figures = read_blocks(tmp_path / "r.html")["figures"]
        assert figures["compared"] == 2
        a, b = (run["scores"] for run in figures["runs"])
        assert a == b
    last = write_maps(tmp_path / "last.json", dict(list(predictions.items())[2:]), first_id=3)
    with pytest.raises(DataError, match="have no image in common"):
        api.report(part, last, gt=truth, out=tmp_path / "r2.html")


def test_the_command_says_where_the_report_is(tmp_path):
    predictions = draw_predictions(["a.jpg", "b.jpg"])
    run = write_run(tmp_path, predictions)
    truth = write_maps(tmp_path / "truth.json", predictions)
    shutil.rmtree(tmp_path / "images")
    result = CliRunner().invoke(main, ["report", str(run), "--gt", str(truth), "--photos", "1"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("1 of 2 images, 0.1 MB -> ")
    assert str(run / "report.html") in result.stdout
    assert "warning: 1 images are not where the run found them" in result.stderr
    assert result.stderr.endswith("; name their folder with --images\n")
