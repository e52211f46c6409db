"""Sweeps: each setting scores as a run with that setting would."""

import csv
import xml.etree.ElementTree as ET
from itertools import product
from pathlib import Path

import pytest
from click.testing import CliRunner

from fuse import api
from fuse.analysis.opened_run import read_truth_of
from fuse.analysis.sweep import list_points, parse_grid
from fuse.cli import main
from fuse.errors import ConfigError, DataError
from fuse.fusion import METHODS
from fuse.labels import load_space
from fuse.metrics.pq import sum_stats, summarize
from fuse.runs.saved_predictions import open_saved_predictions

ROOT = Path(__file__).parent.parent.parent
TRUTH = ROOT / "examples" / "annotations.json"
NAMES = ("astronaut.jpg", "chelsea.jpg", "hopper.jpg")


def test_each_setting_scores_as_combine_and_evaluate_do(kept_run, tmp_path):
    result = api.sweep(kept_run, TRUTH, ["score_threshold=0.2:0.8:0.3", "stuff_area=0,4096"])
    assert len(result.settings) == 6
    space, images_by_setting = load_space("coco_super"), []
    for number, setting in enumerate(result.settings):
        out = tmp_path / str(number)
        fusion = setting.fusion
        api.combine(
            out,
            predictions=kept_run,
            score_threshold=fusion.score_threshold,
            stuff_area=fusion.stuff_area,
        )
        images = api.evaluate(TRUTH, out).images
        scored = [image.stats for image in images if Path(image.file_name).name in NAMES]
        assert len(scored) == 3
        images_by_setting.append(scored)
        expected = summarize(sum_stats(scored), space)
        assert setting.result.to_json() == expected.to_json()
    best = max(setting.result.all.pq for setting in result.settings)
    assert result.best.result.all.pq == best
    assert result.held_out is None
    # Each of the 27 draws of three images is 3.7 % of all, so both ends are beyond the outer ones.
    best_images = images_by_setting[result.settings.index(result.best)]
    drawn = [summarize(sum_stats(d), space).all.pq for d in product(best_images, repeat=3)]
    assert result.interval == pytest.approx((min(drawn), max(drawn)))

    result.write_csv(tmp_path / "grid.csv")
    rows = list(csv.DictReader((tmp_path / "grid.csv").read_text().splitlines()))
    assert [row["score_threshold"] for row in rows] == ["0.2"] * 2 + ["0.5"] * 2 + ["0.8"] * 2
    assert [float(row["all"]) for row in rows] == [s.result.all.pq for s in result.settings]


def test_each_rule_scores_as_combine_and_evaluate_do(kept_run, tmp_path):
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("above,below\nanimal,person\n")
    grid = [f"rule={','.join(METHODS)}", "temperature=0.5,2", f"pairs={pairs}"]
    result = api.sweep(kept_run, TRUTH, grid)
    assert [setting.point["rule"] for setting in result.settings] == [
        name
        for name, rule in METHODS.items()
        for _ in range(1 + ("temperature" in rule.parameters))
    ]
    for number, setting in enumerate(result.settings):
        out = tmp_path / str(number)
        overrides = [f"fusion.{key}={value}" for key, value in setting.point.items()]
        api.combine(out, predictions=kept_run, overrides=overrides)
        images = api.evaluate(TRUTH, out).images
        scored = [image.stats for image in images if Path(image.file_name).name in NAMES]
        expected = summarize(sum_stats(scored), load_space("coco_super"))
        assert setting.result.to_json() == expected.to_json(), setting.point


@pytest.mark.parametrize(
    ("name", "grid", "labels"),
    [
        (
            "pq.svg",
            ["rule=overlap,adaptive", "temperature=1,2", "stuff_area=9,4096"],
            {"overlap", "adaptive", "stuff_area", "temperature", "PQ things"},
        ),
        ("pq.svg", ["rule=overlap,vote,area-first"], {"overlap", "vote", "area-first", "PQ"}),
        ("pq.svg", ["rule=overlap,vote", "stuff_area=9,4096"], {"overlap", "vote", "stuff_area"}),
        ("pq.PNG", ["overlap_threshold=0.5"], set()),
    ],
)
def test_a_plot_names_its_lines_and_is_drawn_the_same_each_time(
    kept_run, tmp_path, name, grid, labels
):
    result = api.sweep(kept_run, TRUTH, grid)
    api.plot_sweep(result, tmp_path / name)
    drawn = (tmp_path / name).read_bytes()
    assert drawn[:5] == (b"<?xml" if labels else b"\x89PNG\r")
    if labels:
        assert labels <= {text.strip() for text in ET.fromstring(drawn).itertext()}
    api.plot_sweep(result, tmp_path / name)
    assert (tmp_path / name).read_bytes() == drawn


def test_a_plot_needs_an_ending_that_pictures_have(tmp_path):
    with pytest.raises(ConfigError, match=r"must end in \.png, \.svg, \.pdf"):
        api.check_plot_path(tmp_path / "pq.gif")


def test_the_command_warns_of_flattering_and_draws(kept_run, tmp_path):
    arguments = ["sweep", "--predictions", kept_run, "--gt", TRUTH, "--grid", "rule=overlap,vote"]
    arguments += ["--plot", tmp_path / "pq.png"]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert "warning: chosen by the images it is scored on" in result.stderr
    assert "best PQ" in result.stdout
    assert (tmp_path / "pq.png").exists()
    arguments += ["--holdout", "0.34"]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert "warning" not in result.stderr
    assert "on the others PQ" in result.stdout


def test_a_holdout_reports_on_other_images(kept_run):
    result = api.sweep(kept_run, TRUTH, ["score_threshold=0.3,0.6"], holdout=0.34)
    assert result.images == 2
    # The best setting's score is that of two images, and what is reported that of the third.
    run = open_saved_predictions(kept_run)
    scorer, pairs = read_truth_of(run, TRUTH, None)
    stats = [
        scorer.score(true_id, next(run.fuse_by_rules(own_id, [result.best.fusion]))).stats
        for own_id, true_id in pairs
    ]
    expected = [
        tuple(summarize(sum_stats(part), run.space).all.pq for part in (rest, [stats[n]]))
        for n in range(3)
        for rest in [stats[:n] + stats[n + 1 :]]
    ]
    found = (result.best.result.all.pq, result.held_out.all.pq)
    assert any(found == pytest.approx(one) for one in expected)
    with pytest.raises(DataError, match="leaves"):
        api.sweep(kept_run, TRUTH, ["score_threshold=0.3"], holdout=0.01)


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ("score_threshold=0.1:0.7:0.2", [0.1, 0.3, 0.5, 0.7]),
        ("score_threshold=0.5:0.5:0.1", [0.5]),
        ("stuff_area=0.01,64,4096", [0.01, 64, 4096]),
        ("overlap_threshold=0:1:0.3", [0, 0.3, 0.6, 0.9]),
    ],
)
def test_grids(axis, values):
    (parsed,) = parse_grid([axis]).values()
    assert parsed == values


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (["score=0.1:0.2:0.1"], "the key must be one of score_threshold"),
        (["score_threshold=0.5:0.1:0.1"], "LO <= HI"),
        (["score_threshold=0:1:0"], "STEP > 0"),
        (["score_threshold=low"], "write KEY=LO:HI:STEP"),
        (["score_threshold=0:1:nan"], "STEP > 0"),
        (["stuff_area=0:1e9:1"], "asks for more than 100000 settings"),
        (
            ["stuff_area=0:999:1", "score_threshold=0:0.99:0.001"],
            "asks for 991000 settings; give 1",
        ),
        ([], "--grid is missing: write KEY="),
        (["stuff_area=1", "fusion.stuff_area=2"], "stuff_area is there already; write stuff_area="),
        (["temperature=1,2"], "only the rules upsnet-logits, adaptive have it"),
    ],
)
def test_a_wrong_grid_says_what_is_wrong(grid, message):
    with pytest.raises(ConfigError, match=message):
        list_points(parse_grid(grid), "overlap")


def test_a_grid_may_have_as_many_settings_as_the_message_says():
    values = parse_grid(["stuff_area=0:999:1", "score_threshold=0:0.99:0.01"])
    assert [len(points) for points in values.values()] == [1000, 100]


def test_a_threshold_below_what_was_kept_is_refused(kept_run, tmp_path):
    message = r"score_threshold 0.01 is below 0.05, down to which .*out kept instances"
    with pytest.raises(ConfigError, match=message):
        api.sweep(kept_run, TRUTH, ["score_threshold=0.01,0.5"])
    with pytest.raises(ConfigError, match=message):
        api.combine(tmp_path / "out", predictions=kept_run, score_threshold=0.01)


def test_a_wrong_value_is_found_before_any_work(kept_run):
    with pytest.raises(ConfigError, match="score_threshold must lie in"):
        api.sweep(kept_run, TRUTH, ["score_threshold=0.5,1.5"])
