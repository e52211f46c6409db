"""What the benchmark compares must do the same work."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("OMP", "MKL", "OPENBLAS"):  # the script sets them for its process
            patch.setenv(f"{variable}_NUM_THREADS", "1")
        patch.setenv("RAYON_NUM_THREADS", "1")
        patch.syspath_prepend(SCRIPTS)
        import bench

        yield bench


@pytest.mark.parametrize("seed", range(6))
def test_peers_fuse_to_the_same_map(bench: ModuleType, seed: int) -> None:
    size, kept = ((240, 320), 15) if seed % 2 else ((301, 203), 40)
    scene = bench.scenes.generate_scene(np.random.default_rng(seed), size, kept)
    assert len(scene.fused.segments_info) > 5
    peers = bench.peers
    assert (peers.torchvision_and_detectron2(scene).numpy() == scene.fused.panoptic_map).all()
    assert (peers.coco_combine(scene) == scene.fused.panoptic_map).all()
    assert (bench.fuse_rles(scene).panoptic_map == scene.fused.panoptic_map).all()


def test_peers_write_read_and_score_alike(bench: ModuleType, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    images = [bench.scenes.generate_scene(rng, (120, 160), 9) for _ in range(2)]
    for row in bench.png_rows(
        "any", images, tmp_path / "png"
    ):  # each reads what the one before wrote
        answers = {name: [task() for task in tasks] for name, tasks in row.contenders.items()}
    for maps in answers.values():
        for image, panoptic_map in zip(images, maps, strict=True):
            assert (panoptic_map == image.fused.panoptic_map).all()
    pq, ap = bench.scoring_rows("any", images, tmp_path / "pairs")
    ours, hotcoco, torchmetrics = (
        pq.contenders[name][0]() for name in ("fuse", "hotcoco", "torchmetrics, PIL")
    )
    assert ours.result.all.pq == pytest.approx(hotcoco["All"]["pq"], abs=1e-12)
    assert 0 < torchmetrics.item() <= 1
    ours, pycocotools = (ap.contenders[name][0]() for name in ("fuse", "pycocotools COCOeval"))
    assert ours.ap == pytest.approx(pycocotools[0], abs=1e-12)


def test_measures_of_peers_agree(bench: ModuleType) -> None:
    images = [bench.scenes.generate_scene(np.random.default_rng(2), (120, 160), 9)]
    plain, boundary, rles = bench.measure_rows("any", images)
    names = ("fuse", "vernier", "vernier, arrays read before")
    for update, *peers in zip(*map(plain.contenders.get, names), strict=True):
        metric = update.func.__self__
        metric.reset()
        update()
        counted = metric.compute().per_category.values()
        for peer in peers:
            found = peer().per_class().values()
            assert sum(c.tp for c in counted) == sum(counts.n_tp for counts in found)
            expected = sum(counts.iou_sum for counts in found)
            assert sum(c.iou_sum for c in counted) == pytest.approx(expected, abs=1e-12)
    plain.contenders["torchmetrics"][0]()
    for ours, theirs in zip(*boundary.contenders.values(), strict=True):
        stats, found = ours(), theirs().per_class()
        assert stats.tp.sum() == sum(counts.n_tp for counts in found.values())
        expected = sum(counts.iou_sum for counts in found.values())
        assert stats.iou_sum.sum() == pytest.approx(expected, abs=1e-12)
    first, second = ([task() for task in tasks] for tasks in rles.contenders.values())
    assert first == second


def test_upsampling_peers_agree(bench: ModuleType) -> None:
    logits = bench.scenes.generate_logits(np.random.default_rng(0), (9, 24, 32))
    theirs = bench.peers.torch_upsample_argmax(bench.torch.from_numpy(logits), (96, 128)).numpy()
    assert (bench.upsample(logits, (96, 128)) != theirs + 1).mean() < 1e-4


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak")
def test_memory_is_measured_of_fusing_and_of_scoring(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = (480, 640)
    for name in ("small", "large"):
        image = bench.scenes.generate_scene(np.random.default_rng(1), size, 9)
        bench.save_pairs(tmp_path / name, bench.make_pairs([image])[:1])
    for work, contenders in bench.MEMORY_WORKS.items():
        for name in contenders:
            bench.print_memory(work, name, tmp_path, size)
            assert float(capsys.readouterr().out.splitlines()[-1]) >= 0


def test_a_peer_that_cannot_be_imported_is_named(
    bench: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.can_import("hotcoco")
    assert not bench.can_import("no_such_peer")
    assert "cannot be imported: no_such_peer" in capsys.readouterr().err


@pytest.mark.slow
def test_help_tells_what_to_expect() -> None:
    command = [sys.executable, SCRIPTS / "bench.py", "--help"]
    assert (
        "Expected on" in subprocess.run(command, check=True, capture_output=True, text=True).stdout
    )
