"""A worker of the Ray engine, called as Ray does, without Ray."""

import pickle
from pathlib import Path

import pytest

from fuse.inference.presets import read_pipeline
from fuse.runs.engines.ray_worker import RayWorker
from fuse.runs.tasks import ImageTask
from fuse.runs.worker import RunOptions

IMAGE = Path(__file__).parents[3] / "examples" / "images" / "rocket.jpg"


def ask(out, folder, task):
    options = RunOptions(
        *(read_pipeline("tiny"), "cpu", None, out, None, None),
        pictures=False,
        keep_predictions=False,
        batch_size=None,
        timeout=60.0,
    )
    there = pickle.loads(pickle.dumps(options))  # noqa: S301 - our own
    row = RayWorker(there, folder, cores=1)({"tasks": [pickle.dumps([task])]})
    return pickle.loads(row["result"][0])  # noqa: S301 - our own


@pytest.mark.parametrize("path", [IMAGE, IMAGE.as_uri()], ids=["path", "url"])
def test_it_answers_with_records_and_its_seconds(tmp_path, path):
    (tmp_path / "run.json").touch()
    answer = ask(tmp_path, Path.cwd(), ImageTask(path, "rocket.jpg", "rocket.png", 1))
    (image,) = answer.images
    assert image.record.error is None
    assert (tmp_path / "panoptic" / "rocket.png").is_file()
    assert answer.seconds["nets"] > 0
    assert answer.memory["process"] > 0
    assert len(pickle.dumps(answer)) < 20_000  # small records cross processes, no maps


@pytest.mark.parametrize(
    ("out", "folder", "message"),
    [
        ("elsewhere", "", "elsewhere on .* is not the output folder of this run; .* share"),
        ("", "elsewhere", "elsewhere, where the run was started, is not there on .* share"),
        ("blocked", "", "a worker on .*blocked/panoptic"),
    ],
)
def test_what_it_cannot_reach_is_an_answer(tmp_path, monkeypatch, out, folder, message):
    monkeypatch.chdir(tmp_path)  # the worker does so too, and the next test must not notice
    (tmp_path / "run.json").touch()
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "run.json").touch()
    (tmp_path / "blocked" / "panoptic").write_text("a file where the maps should go")
    task = ImageTask(IMAGE, "rocket.jpg", "rocket.png", 1)
    answer = ask(tmp_path / out, tmp_path / folder, task)
    with pytest.raises(type(answer.error), match=message):
        raise answer.error
    assert answer.images == ()
    assert type(answer.error).__name__ == "EngineError"


def test_a_bug_in_a_worker_keeps_its_traceback(tmp_path):
    (tmp_path / "run.json").touch()
    answer = ask(tmp_path, Path.cwd(), task="no task")
    assert isinstance(answer.error, RuntimeError)
    assert "Traceback" in str(answer.error)
