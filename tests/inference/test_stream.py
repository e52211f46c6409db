"""Images of every kind through a pipeline: one, lists, generators; the bytes of a run."""

import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from real_data import COCO_IMAGES, needs_real_data

import fuse
from fuse.errors import DataError, ImageReadError, ModelError
from fuse.io.png import encode_id_map

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "images").iterdir())


@pytest.fixture(scope="module")
def tiny():
    return fuse.Pipeline.load("tiny", device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Small copies of the examples, which need little time."""
    folder = tmp_path_factory.mktemp("small")
    for path in EXAMPLES:
        with Image.open(path) as image:
            image.reduce(4).convert("RGB").save(folder / f"{path.stem}.png")
    return folder


@pytest.fixture(scope="module")
def paths(folder):
    return sorted(folder.iterdir())


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def maps(results):
    return [encode_id_map(result.panoptic_map) for result in results]


def read_run(out, paths):
    return [(out / "panoptic" / f"{path.stem}.png").read_bytes() for path in paths]


@pytest.mark.slow
@pytest.mark.usefixtures("two_threads")
def test_one_image_a_list_a_generator_and_a_run_give_the_same_bytes(tiny, folder, paths, tmp_path):
    fuse.run(folder, tmp_path / "out", device="cpu")
    expected = read_run(tmp_path / "out", paths)
    assert maps(tiny(path) for path in paths) == expected
    assert maps(tiny(paths)) == expected
    assert maps(tiny([str(path) for path in paths], batch_size=3)) == expected
    assert maps(tiny(fuse.read_image(path) for path in paths)) == expected
    assert torch.get_num_threads() == 2


@pytest.mark.slow
@needs_real_data
@pytest.mark.usefixtures("two_threads")
def test_fifty_photos_have_the_bytes_of_a_run(tiny, tmp_path):
    paths = sorted(COCO_IMAGES.rglob("*.jpg"))[:50]
    assert len(paths) == 50
    fuse.run(paths, tmp_path / "out", device="cpu")
    expected = read_run(tmp_path / "out", paths)
    assert maps(tiny(path) for path in paths) == expected
    assert maps(tiny(paths)) == expected


def test_results_know_their_image(tiny, paths):
    result = tiny(paths[0])
    assert result.path == str(paths[0])
    assert np.array_equal(result.image, fuse.read_image(paths[0]))
    assert set(result.speed) == {"preprocess", "inference", "postprocess"}
    assert all(milliseconds > 0 for milliseconds in result.speed.values())


def test_a_list_may_mix_kinds_and_keeps_its_order(tiny, paths):
    array = fuse.read_image(paths[1])
    tensor = torch.from_numpy(fuse.read_image(paths[2])).permute(2, 0, 1)
    mixed = [str(paths[0]), array, tensor, Image.open(paths[3])]
    assert maps(tiny(mixed)) == maps(tiny(tuple(paths[:4])))


def test_the_same_picture_may_be_given_twice(tiny, paths):
    picture = Image.open(paths[0])
    assert len(set(maps(tiny([picture] * 4)))) == 1


def test_a_buffer_that_is_filled_again_is_not_mixed_up(tiny, paths):
    images = [fuse.read_image(path) for path in paths]
    images = [image for image in images if image.shape == images[0].shape] * 3
    buffer = np.empty_like(images[0])

    def fill():
        for image in images:
            buffer[:] = image
            yield buffer

    images[1:] = [image[::-1].copy() for image in images[1:]]
    assert maps(tiny(fill())) == maps(tiny(images))


def test_a_generator_is_drawn_as_results_are_taken(tiny, paths):
    drawn = []

    def give():
        for number in range(1000):
            drawn.append(number)
            yield paths[number % len(paths)]

    results = tiny(give())
    assert not drawn
    next(results)
    assert 1 <= len(drawn) < 40
    results.close()


@pytest.mark.slow
def test_results_that_are_dropped_leave_the_memory(tiny, paths):
    images, most = [], 0
    for result in tiny(paths[n % len(paths)] for n in range(30)):
        images.append(weakref.ref(result.image))
        most = max(most, sum(image() is not None for image in images))
    assert most <= 2


GROWTH = """
import resource, sys
from itertools import cycle, islice
import fuse
tiny, peaks = fuse.Pipeline.load("tiny", device="cpu"), []
for number, _ in enumerate(tiny(islice(cycle(sys.argv[1:]), 400))):
    if number in (100, 399):
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(peaks[1] - peaks[0])
"""


@pytest.mark.slow
def test_memory_stays_flat(paths):
    """In a process of its own: what other tests have left moves a peak, too."""
    pytest.importorskip("resource")  # not on Windows
    command = [sys.executable, "-c", GROWTH, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20_000  # KiB


def test_an_image_that_cannot_be_read_is_told_at_its_turn(tiny, paths):
    results = tiny(iter([paths[0], "none.jpg", paths[1]]))
    next(results)
    with pytest.raises(ImageReadError, match=r"none.jpg: there is no such file"):
        next(results)
    with pytest.raises(ImageReadError, match=r"none\.jpg"):
        tiny([paths[0], "none.jpg"])


def test_a_generator_that_raises_is_told_behind_its_images(tiny, paths):
    def give():
        yield from paths[:2]
        raise KeyError("camera")

    results = tiny(give())
    assert len([next(results), next(results)]) == 2
    with pytest.raises(DataError, match=r"ended after 2 with KeyError: 'camera'") as caught:
        next(results)
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_net_that_fails_is_told_with_the_image(tiny, paths, monkeypatch):
    def fail(images, *, score_threshold=None):
        raise ModelError("semantic model 'x' failed")

    monkeypatch.setattr(tiny, "predict", fail)
    with pytest.raises(ModelError, match=rf"{paths[0].name}: semantic model 'x' failed"):
        tiny(paths[:1])
    with pytest.raises(ModelError, match=r"^semantic model 'x' failed"):
        tiny(paths[0])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([], ValueError, r"a list of images is expected, got an empty one"),
        ({"image": 1}, TypeError, "an image is a path, .* got dict"),
        (None, TypeError, "an image is a path, .* got NoneType"),
        (b"jpeg", TypeError, "got bytes"),
        ([3], TypeError, "got int"),
    ],
)
def test_what_is_no_image(tiny, given, error, message):
    with pytest.raises(error, match=message):
        tiny(given)


def test_what_is_no_image_in_a_list_has_its_place(tiny, paths):
    with pytest.raises(TypeError, match=r"^images\[1\]: an image is a path, .* got NoneType$"):
        tiny([paths[0], None])
    with pytest.raises(
        ValueError, match=r"^images\[2\]: an array must be an image .* shape \(4, 4\)"
    ):
        list(tiny(iter([paths[0], paths[0], np.zeros((4, 4), np.uint8)])))


def test_arrays_that_come_to_predict_are_told_where_to_go(tiny):
    with pytest.raises(TypeError, match=r"takes NamedImages, got ndarray; pipeline\(image\) takes"):
        tiny.predict([np.zeros((4, 4, 3), np.uint8)])


def test_a_batch_size_below_one(tiny, paths):
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        tiny(paths, batch_size=0)


def test_nothing_to_iterate_over_gives_nothing(tiny):
    assert list(tiny(iter(()))) == []


@pytest.mark.slow
def test_no_thread_outlives_a_generator_that_is_closed(tiny, paths):
    def count():
        return len(list(Path("/proc/self/task").glob("*")))  # none where there is no such folder

    list(tiny(paths))  # torch's own threads are there from now on
    before = count()
    results = tiny(paths[n % len(paths)] for n in range(1000))
    next(results)
    results.close()
    assert count() <= before + 1
