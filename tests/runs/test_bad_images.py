"""Spoilt and hostile images: each becomes a picture or a failure with its reason, never more."""

import json
import random
import subprocess
import sys

import numpy as np
import pytest
from bad_images import BOMBS, EXAMPLE, FORMATS, HOSTILE_NAMES, REFUSED_NAMES, encode, spoil
from click.testing import CliRunner
from flat_nets import FLAT_NETS, PRESET
from PIL import Image

from fuse import api
from fuse.cli import main
from fuse.errors import ImageReadError
from fuse.io.images import read_image

SEEDS, SEEDS_IN_ALL = 6, 40  # per format, so 600 pictures in all


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A folder for images beside a preset of flat nets, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flat.py").write_text(FLAT_NETS)
    (tmp_path / "flat.toml").write_text(PRESET)
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def run(*arguments):
    options = ["-o", "out", "--pipeline", "flat.toml", "--allow-plugins", "--device", "cpu"]
    return CliRunner().invoke(main, ["run", "images", *options, *arguments])


def read_spoilt(path, name, seed):
    path.write_bytes(spoil(random.Random(f"{name} {seed}"), name, encode(name)))
    try:
        image = read_image(path)
    except ImageReadError:
        return
    assert image.dtype == np.uint8
    assert image.shape[2:] == (3,)
    assert image.size


@pytest.mark.filterwarnings("ignore")  # Pillow's, on damaged pictures
@pytest.mark.parametrize("name", FORMATS)
def test_spoilt_pictures(tmp_path, name):
    for seed in range(SEEDS):
        read_spoilt(tmp_path / "photo", name, seed)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_many_spoilt_pictures(tmp_path, name):
    for seed in range(SEEDS, SEEDS_IN_ALL):
        read_spoilt(tmp_path / "photo", name, seed)


@pytest.mark.parametrize("name", BOMBS)
def test_a_picture_that_unpacks_to_more_than_it_may_is_not_unpacked(tmp_path, name):
    (tmp_path / "bomb").write_bytes(BOMBS[name])
    with pytest.raises(
        ImageReadError,
        match=r"more than 178,956,970 pixels|data too large|could not create decoder",
    ):
        read_image(tmp_path / "bomb")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is told in kB on Linux alone")
def test_the_largest_picture_takes_no_more_than_sixteen_bytes_a_pixel(tmp_path):
    side = 13_000
    Image.new("1", (side, side)).save(tmp_path / "large.png")
    code = (
        "import resource, sys; from fuse.io.images import read_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "read_image(sys.argv[1])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "large.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 16 * side**2


@pytest.mark.filterwarnings("ignore")
def test_a_run_over_spoilt_pictures_records_each(images):
    for number, name in enumerate(FORMATS):
        for seed in range(2):
            rng = random.Random(f"run {name} {seed}")
            (images / f"{number}_{seed}.jpg").write_bytes(spoil(rng, name, encode(name)))
    for name, bomb in BOMBS.items():
        (images / f"bomb {name}.png").write_bytes(bomb)
    (images / "good.jpg").write_bytes(EXAMPLE.read_bytes())
    result = run()
    assert result.exit_code == 3, result.output
    assert "Traceback" not in result.output
    counts = json.loads((images.parent / "out" / "run.json").read_bytes())["photos"]
    assert counts["done"] + counts["failed"] == 2 * len(FORMATS) + len(BOMBS) + 1
    assert counts["failed"] > 10  # ten are named, a line each, and one line says where all stand
    assert result.stderr.count("failed: ") == 11
    assert f"failed: {counts['failed'] - 10} more" in result.stderr
    assert api.verify(images.parent / "out").damages == ()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse most of these names")
def test_hostile_names_get_maps_or_reasons_and_never_reach_a_terminal(images):
    for name in (*HOSTILE_NAMES, *REFUSED_NAMES):
        (images / name).write_bytes(encode("jpeg"))
    (images / "\x1b[2Jempty\n.jpg").write_bytes(b"")
    result = run("--pictures", "--keep-predictions")
    assert result.exit_code == 3, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("failed: ")]
    assert len(lines) == len(REFUSED_NAMES) + 1
    assert result.stderr.count("its name is no UTF-8; rename it") == 2
    assert result.stderr.count("leads out of its folder, here or on Windows; rename it") == 3
    assert any(r"failed: \x1b[2Jempty\n.jpg: " in line for line in lines)
    assert "\x1b" not in result.output
    assert "\x9b" not in result.output
    out = images.parent / "out"
    listed = json.loads((out / "panoptic.json").read_text())["images"]
    assert {image["file_name"] for image in listed} == set(HOSTILE_NAMES)
    assert api.verify(out).damages == ()
    evaluation = api.evaluate(out, out)
    assert evaluation.result.all.pq == 1
    assert run("--pictures", "--keep-predictions").exit_code == 3  # and goes on
    (out / "panoptic" / "\x1b[31mred\x1b[0m.png").unlink()
    verified = CliRunner().invoke(main, ["verify", "out"])
    assert r"damaged: panoptic/\x1b[31mred\x1b[0m.png is missing" in verified.stdout


def test_links_that_go_round_or_nowhere(images):
    (images / "good.jpg").write_bytes(EXAMPLE.read_bytes())
    (images / "loop").symlink_to(images, target_is_directory=True)
    (images / "self.jpg").symlink_to(images / "self.jpg")
    (images / "gone.jpg").symlink_to(images / "nowhere.jpg")
    result = run()
    assert result.exit_code == 3, result.output
    assert result.stderr.count("there is no such file") == 2
    assert [p.name for p in (images.parent / "out" / "panoptic").rglob("*.png")] == ["good.png"]


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1), (2, 3), (1, 7)])
def test_the_nets_take_images_of_any_shape(tmp_path, size):
    Image.effect_noise(size, 80).save(tmp_path / "odd.png")
    result = api.run([str(tmp_path / "odd.png")], tmp_path / "out", device="cpu")
    assert (result.done, result.failed) == (1, ())


def test_a_name_too_long_for_its_map_fails_alone(images):
    for name in ("x" * 252 + ".gif", "y" * 251 + ".jpg", "y" * 251 + ".png"):
        (images / name[-255:]).write_bytes(encode("png"))
    result = run()
    assert result.exit_code == 3, result.output
    assert result.stderr.count("its map's name is longer than 255 bytes; rename it") == 2
