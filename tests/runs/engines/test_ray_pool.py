"""How many workers fit a cluster, and how one of our own is started."""

import os
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse.errors import EngineError
from fuse.runs.engines import ray_data
from fuse.runs.engines.pool import RayPool
from fuse.runs.engines.ray_data import Machine, fit_workers

MACHINES = st.lists(
    st.builds(Machine, st.integers(0, 64), st.integers(0, 8)), min_size=1, max_size=5
)


def room(machines, cores, share):
    """Workers placed one by one, a slow way."""
    placed = 0
    for machine in machines:
        cpus, thirds_of_gpus = machine.cpus, round(machine.gpus / share) if share else 10**9
        while cpus >= cores and thirds_of_gpus >= 1:
            cpus, thirds_of_gpus, placed = cpus - cores, thirds_of_gpus - 1, placed + 1
    return placed


@given(MACHINES, st.sampled_from([0, 1, 1 / 2, 1 / 3, 0.1]), st.integers(1, 300) | st.none())
def test_workers_fit_and_get_all_the_cores_that_there_are(machines, share, asked):
    pool = RayPool(workers=asked, gpus_per_worker=share)
    most = room(machines, 1, share)
    if not 0 < (asked or most) <= most:
        with pytest.raises(EngineError, match=f"room for {most} workers"):
            fit_workers(pool, machines)
        return
    workers, cores = fit_workers(pool, machines)
    assert workers == (asked or most)
    assert room(machines, cores, share) >= workers > room(machines, cores + 1, share)


def test_an_own_cluster_needs_neither_a_home_nor_shared_memory(monkeypatch):
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that it is taken away again afterwards
        monkeypatch.delenv(name)
    monkeypatch.setattr(ray_data.sys, "platform", "linux")
    home = os.path.expanduser("~")  # noqa: PTH111 - as text
    monkeypatch.setattr(ray_data.os, "access", lambda path, _mode: path != "/dev/shm")
    ray_data._describe_own_cluster()
    assert "RAY_AUTH_TOKEN" not in os.environ  # Ray's own, which it may know already
    missing = ("/dev/shm", home)
    monkeypatch.setattr(ray_data.os, "access", lambda path, _mode: path not in missing)
    options = ray_data._describe_own_cluster()
    assert options["_plasma_directory"] == tempfile.gettempdir()
    token = os.environ["RAY_AUTH_TOKEN"]
    assert len(token) == 64
    monkeypatch.setattr(ray_data.os, "access", lambda _path, _mode: True)
    assert "_plasma_directory" not in ray_data._describe_own_cluster()
    assert os.environ["RAY_AUTH_TOKEN"] == token


def test_what_a_cluster_does_not_start_for_is_a_line():
    class Broken:
        is_initialized = staticmethod(lambda: False)

        @staticmethod
        def init(*_address, **_options):
            raise Exception("The current node timed out during startup.\nIt could ...")

    with (
        pytest.raises(EngineError, match=r"timed out during startup\.; without --engine ray"),
        ray_data._connect(Broken, "local"),
    ):
        pass
