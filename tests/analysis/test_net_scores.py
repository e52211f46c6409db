"""Nets of a run with kept predictions are scored by `fuse evaluate` as by `fuse compare`."""

import inspect
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fuse import api
from fuse.analysis.sweep import sweep
from fuse.cli import main
from fuse.errors import ConfigError
from fuse.evaluation import evaluate as files
from fuse.metrics.measures import PQ_MEASURES
from fuse.runs.saved_predictions import open_saved_predictions

TRUTH = Path(__file__).parent.parent.parent / "examples" / "annotations.json"


def test_nets_score_as_compare_has_it(kept_run):
    own_maps = kept_run / "panoptic.json"  # as ground truth of the very images
    run = api.compare([kept_run, kept_run], own_maps).runs[0]
    evaluation = api.evaluate(own_maps, kept_run)
    assert evaluation.semantic.miou == pytest.approx(run.miou)
    assert evaluation.instances.ap == pytest.approx(run.ap)


def test_images_that_the_run_lacks_are_missed(kept_run):
    evaluation = api.evaluate(TRUTH, kept_run)
    assert {finding.code for finding in evaluation.findings} >= {"pred-missing"}
    run = api.compare([kept_run, kept_run], TRUTH).runs[0]
    assert 0 < evaluation.semantic.miou < run.miou


def test_it_is_the_function_of_files_otherwise(kept_run):
    assert inspect.signature(api.evaluate) == inspect.signature(files.evaluate)
    plain = api.evaluate(TRUTH, kept_run / "panoptic.json")
    assert plain.semantic is None
    assert plain.instances is None
    assert plain.result.to_json() == api.evaluate(TRUTH, kept_run).result.to_json()


def test_a_run_that_kept_nothing_has_none(kept_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(kept_run, run, ignore=shutil.ignore_patterns("predictions"))
    evaluation = api.evaluate(TRUTH, run)
    assert (evaluation.semantic, evaluation.instances) == (None, None)


def test_files_that_are_named_take_the_place_of_the_nets(kept_run, tmp_path):
    (tmp_path / "none.json").write_text("[]")
    evaluation = api.evaluate(TRUTH, kept_run, instances=tmp_path / "none.json")
    assert evaluation.instances.ap == 0
    assert evaluation.semantic is None


def test_the_command_shows_them(kept_run):
    gt = kept_run / "panoptic.json"  # of the very images
    shown = CliRunner().invoke(main, ["evaluate", "--gt", str(gt), "--pred", str(kept_run)])
    evaluation, saved = api.evaluate(gt, kept_run), open_saved_predictions(kept_run)
    per_class = evaluation.semantic.to_json()["per_class"]
    ids = {c.file_id: c.category_id for c in saved.space.categories}
    counted = {ids[int(i)] for i, iou in per_class.items() if iou is not None}
    logits = [saved.load(image_id).semantic.category_ids for image_id in saved.dataset.images]
    known = counted & set(np.concatenate(logits).tolist())
    assert 0 < len(known) < len(counted)
    words = f"over {len(counted)} classes, of which the net knows {len(known)}"
    assert f"{100 * evaluation.semantic.miou:.1f} {words}\n" in shown.stdout
    compare = ["compare", str(kept_run), str(kept_run), "--gt", str(gt)]
    assert f"note: {kept_run}: mIoU {words}\n" in CliRunner().invoke(main, compare).stdout
    assert "mask AP of the instances" in shown.stdout


@pytest.mark.parametrize("objective", PQ_MEASURES)
def test_a_sweep_chooses_by_any_measure(kept_run, objective):
    own_area = open_saved_predictions(kept_run).fusion.stuff_area
    result = sweep(kept_run, TRUTH, [f"stuff_area={own_area},0"], objective=objective)
    assert result.best.pq == max(setting.pq for setting in result.settings)
    assert result.to_json().get("objective", "pq") == objective
    maps = kept_run / "panoptic.json"
    measured = api.compare([maps, maps], TRUTH, measures=["all"]).runs[0].measured
    expected = measured.pq[objective].result
    assert result.settings[0].result.to_json() == expected.to_json()


def test_an_unknown_objective_is_refused(kept_run):
    with pytest.raises(ConfigError, match="no objective 'ece'; known are pq, boundary"):
        sweep(kept_run, TRUTH, ["score_threshold=0.5"], objective="ece")
