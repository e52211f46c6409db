"""Going on with a run by what its run.json says, and making what was not asked for at first."""

import json
import os
import zipfile
from io import BytesIO, TextIOWrapper
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from oracle_jobs import SIZE, SUPER, Job
from PIL import Image
from run_folders import write_maps

from fuse import api, read_id_map, write_id_map
from fuse.cli import main
from fuse.errors import ConfigError, DataError, RunStoppedError

NAMES = ["a.jpg", "b.jpg", "c.jpg"]
ALL = {"pictures": True, "keep_predictions": True}


@pytest.fixture
def job(tmp_path):
    job = Job(tmp_path, NAMES)
    job.add(*NAMES)
    return job


def call(*arguments, **options):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], **options)


def read_files(out):
    """Contents by path, without what holds times or tells of calls."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name not in ("records.jsonl", "run.json", ".lock")
    }


def read_times(out):
    return {path: path.stat().st_mtime_ns for path in out.rglob("*.???") if path.is_file()}


@pytest.mark.parametrize("flags", [["pictures"], ["keep_predictions"], [*ALL]])
def test_only_what_is_missing_is_made_and_ends_in_the_bytes_of_one_call(job, tmp_path, flags):
    asked = dict.fromkeys(flags, True)
    whole = job.run(tmp_path / "whole", gt=job.gt, **asked)
    job.run(gt=job.gt)
    before, times = read_files(job.out), read_times(job.out)
    result = api.resume(job.out, **asked)
    assert (result.done, result.tried, result.differing) == (3, 3, 0)
    assert result.evaluation.to_json() == whole.evaluation.to_json()
    assert read_files(job.out) == read_files(tmp_path / "whole")
    assert before.items() <= read_files(job.out).items()
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    assert api.verify(job.out).damages == ()
    again = api.resume(job.out)
    assert (again.tried, again.pictures) == (0, "pictures" in flags)


def test_the_command_itself_adds_them_and_goes_on_with_them(job):
    job.run()
    job.run(keep_predictions=True)
    job.run(pictures=True)
    assert job.run().tried == 0
    assert len(list(job.out.glob("*/b.*"))) == 3
    assert api.combine(job.out.parent / "again", predictions=job.out).images == 3


@pytest.mark.ray
@pytest.mark.slow
def test_ray_adds_them_too_and_does_changed_images_again(job, tmp_path):
    job.run(tmp_path / "whole", **ALL)
    job.run()
    assert api.resume(job.out, engine="ray", workers=1, **ALL).tried == 3
    assert read_files(job.out) == read_files(tmp_path / "whole")
    Image.new("RGB", SIZE[::-1], "red").save(job.images / "b.jpg")
    os.utime(job.images / "b.jpg", ns=(1, 1))
    result = api.resume(job.out, engine="ray", workers=1)
    assert (result.tried, result.changed) == (1, 1)


def test_what_an_earlier_call_left_undone_is_made_with_what_is_missing(job, tmp_path):
    with pytest.raises(RunStoppedError):
        job.run(should_stop=lambda: True)
    with pytest.raises(RunStoppedError):
        api.resume(job.out, should_stop=lambda: True, **ALL)
    result = api.resume(job.out)
    assert result.done == 3
    job.run(tmp_path / "whole", **ALL)
    assert read_files(job.out) == read_files(tmp_path / "whole")


def test_shards_get_them_and_are_merged(job, tmp_path):
    shards = job.run_shards(tmp_path)
    for shard in shards:
        api.resume(shard, **ALL)
    api.merge(shards, tmp_path / "joined")
    job.run(**ALL)
    assert read_files(tmp_path / "joined") == read_files(job.out)
    assert api.resume(tmp_path / "joined").tried == 0


def test_maps_of_an_earlier_run_stay_and_pictures_show_them(job):
    """As on another processor, whose nets answer otherwise in a few pixels."""
    job.run()
    kept = read_files(job.out)
    changed = job.truths["b.jpg"]
    changed.panoptic_map[:] = np.roll(changed.panoptic_map, 7, axis=1)
    write_maps(job.gt, job.truths, SUPER, first_id=100)
    result = api.resume(job.out, **ALL)
    assert result.differing == 1
    assert kept.items() <= read_files(job.out).items()
    assert json.loads((job.out / "run.json").read_text())["differing"] == 1
    note = call("run", "--resume", job.out).stderr
    assert "stay" not in note  # of this call alone


@pytest.mark.parametrize("damage", ["missing", "other"])
def test_a_damaged_map_is_made_again_with_its_picture(job, damage):
    job.run()
    path = job.out / "panoptic/b.png"
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        write_id_map(path, read_id_map(path) * 0 + 1)
    assert api.resume(job.out, pictures=True).differing == 0
    assert path.read_bytes() == whole


def test_a_changed_image_is_done_again_and_not_added_to(job):
    job.run()
    Image.new("RGB", SIZE[::-1], "red").save(job.images / "b.jpg")
    os.utime(job.images / "b.jpg", ns=(1, 1))
    result = api.resume(job.out, pictures=True)
    assert (result.tried, result.changed) == (3, 1)
    assert api.verify(job.out).damages == ()


def test_verify_needs_no_flags_repeated(job, monkeypatch):
    monkeypatch.chdir(job.images.parent)
    given = ("--pipeline", "oracle.toml", "--gt", "gt.json", "--device", "cpu")
    flags = ("--keep-predictions", "--pictures")
    assert call("run", "images", "-o", "out", *given, *flags).exit_code == 0
    before = read_files(job.out)
    (job.out / "predictions/b.npz").unlink()
    (job.out / "panoptic/c.png").write_bytes(b"")
    told = call("verify", "out", "--redo")
    assert "forgotten; fuse run --resume out does them again" in told.stdout
    monkeypatch.chdir("/")  # from anywhere
    result = call("run", "--resume", job.out)
    assert result.exit_code == 0, result.output
    assert "3 images (1 of them earlier)" in result.stdout
    assert result.stdout.startswith("  ")  # scored as before
    assert read_files(job.out) == before


def test_inputs_and_options_are_shown_first(job):
    job.run(gt=job.gt, timeout=7, batch_size=2)
    shown = call("run", "--resume", job.out, "--pictures", "--timeout", "8").stderr
    assert f"going on in {job.out}, pipeline oracle\n  images: {job.images}\n" in shown
    for text in ("semantic: oracle (gt ", f"gt {job.gt}", "timeout 8", "batch_size 2", "pictures"):
        assert text in shown
    assert "keep_predictions" not in shown


def test_permission_to_run_code_is_given_anew(job, tmp_path):
    plugin = Path(__file__).parents[2] / "fuse/models/adapters/oracle.py"
    (tmp_path / "mine.py").write_text(plugin.read_text())
    text = job.preset.read_text()
    head, _, tail = text.rpartition('model = "oracle"')
    job.preset.write_text(f'{head}model = "mine.py:InstanceOracle"{tail}')
    job.run(allow_plugins=True)
    with pytest.raises(ConfigError, match=r"runs code of its own; .*--allow-plugins"):
        api.resume(job.out)
    result = call("run", "--resume", job.out)
    assert (result.exit_code, "mine.py" in result.stderr) == (1, True)
    assert call("run", "--resume", job.out, "--allow-plugins").exit_code == 0


def test_a_preset_that_is_gone_or_changed_is_not_asked(job):
    job.run()
    job.preset.unlink()
    job.add("d/a.jpg")
    assert api.resume(job.out).tried == 1


def test_a_lost_run_json_takes_no_option_with_it(job):
    job.run(gt=job.gt)
    api.resume(job.out, pictures=True)
    (job.out / "run.json").unlink()
    (job.out / "panoptic.json").unlink()
    result = api.resume(job.out)
    assert (result.tried, result.pictures) == (0, True)
    assert result.evaluation.result.things.pq == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume", "out", "images"], "leave out IMAGES"),
        (["--resume", "out", "--pipeline", "tiny"], "leave out --pipeline"),
        (["--resume", "out", "--set", "fusion.stuff_area=1"], "leave out --"),
        (["--resume", "out", "--overwrite"], "leave out --overwrite"),
        (["--resume", "images"], "holds no run"),
        (["images"], "give IMAGES or --list FILE, and -o FOLDER; or --resume FOLDER"),
        (["-o", "out"], "give IMAGES or --list FILE"),
    ],
)
def test_what_makes_another_run_is_refused(job, monkeypatch, arguments, message):
    monkeypatch.chdir(job.images.parent)
    job.run()
    result = call("run", *arguments)
    assert result.exit_code in (1, 2)
    assert message in result.stderr


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content.pop("call"),
        lambda content: content["call"].update(timeout="7"),
        lambda content: content["call"].pop("gt"),
        lambda content: content["settings"].update(shard="x"),
        lambda content: content["settings"]["pipeline"].update(semantic=[]),
        lambda content: content["settings"]["pipeline"]["semantic"].update(options=7),
    ],
)
def test_a_run_json_that_does_not_say_how_is_told(job, spoil):
    job.run()
    path = job.out / "run.json"
    content = json.loads(path.read_text())
    spoil(content)
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"run's own command again|its own command again"):
        api.resume(job.out)


def test_an_archive_is_found_again_from_anywhere(job, monkeypatch):
    with zipfile.ZipFile(job.images.parent / "all.zip", "w") as archive:
        for name in NAMES:
            archive.write(job.images / name, name)
    monkeypatch.chdir(job.images.parent)
    given = ("zip://*.jpg::all.zip", "-o", job.out, "--pipeline", job.preset, "--device", "cpu")
    assert call("run", *given).exit_code == 0
    monkeypatch.chdir("/")
    result = call("run", "--resume", job.out, "--pictures")
    assert result.exit_code == 0, result.output
    assert api.resume(job.out).tried == 0
    assert api.report(job.out).missing == 0


# -- lists ---------------------------------------------------------------------------------


def test_a_list_is_read_again_and_may_have_grown(job):
    listed = job.images.parent / "names.txt"
    listed.write_text("images/a.jpg\nimages/b.jpg\n./images/a.jpg\n")
    result = job.run_list(listed)
    assert (result.done, result.doubled) == (2, ["images/a.jpg"])
    assert (job.out / "panoptic/images/a.png").is_file()
    listed.write_text("images/a.jpg\nimages/b.jpg\nimages/c.jpg\n")
    assert (api.resume(job.out).tried, job.run_list(listed).tried) == (1, 0)


def test_names_from_stdin_are_kept_for_going_on(tmp_path, monkeypatch):
    job = Job(tmp_path, ["a.jpg", "b.jpg", "gone.jpg"])
    job.add("a.jpg", "b.jpg")
    monkeypatch.chdir(job.images)
    given = ("run", "--list", "-", "-0", "-o", job.out, "--pipeline", job.preset, "--device", "cpu")
    result = call(*given, input=b"b.jpg\0a.jpg\0gone.jpg\0")
    assert result.exit_code == 3
    assert "failed: gone.jpg: " in result.stderr
    assert "2 images in" in result.stdout
    monkeypatch.chdir("/")
    job.add("gone.jpg")
    result = call("run", "--resume", job.out, "--pictures")
    assert "images: the list on stdin" in result.stderr
    assert {path.name for path in job.out.glob("pictures/*")} == {"a.jpg", "b.jpg", "gone.jpg"}


def test_names_that_are_no_text_are_listed_and_told(job, monkeypatch):
    content = os.fsencode(job.images) + b"/\xff.jpg\n" + os.fsencode(job.images) + b"/a.jpg\n"
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(content)))
    result = api.run([], job.out, image_list=api.read_image_list("-"), pipeline=job.preset)
    assert (result.done, len(result.failed)) == (1, 1)
    assert "no UTF-8" in result.failed[0][1]
    assert api.resume(job.out).tried == 0


@pytest.mark.parametrize("lost", ["panoptic/a.png", "predictions/b.npz", "pictures"])
def test_what_was_deleted_is_made_again_and_told(job, lost):
    job.run(**ALL)
    before = read_files(job.out)
    gone = [job.out / lost] if (job.out / lost).is_file() else sorted((job.out / lost).iterdir())
    for path in gone:
        path.unlink()
    result = job.run()
    assert (result.done, result.tried, result.missing) == (3, len(gone), len(gone))
    assert f"{len(gone)} images had lost files since" in " ".join(result.describe_notes())
    assert read_files(job.out) == before
    assert api.verify(job.out).damages == ()
    assert job.run().missing == 0
