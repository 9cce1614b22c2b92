"""A study on a Ray cluster of two machines comes to what it comes to in one process.

Both are on this machine, each with a raylet of its own, and one of them is killed in the middle.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
# before Ray is imported: addresses of this machine alone, nobody is told that it is used, and
# workers do not wait for all else that a busy machine does
os.environ |= {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
}
from helpers_spread import (
    CELLS,
    STUDY,
    Opener,
    assert_same,
    gone,
    killed_in_work,
    options,
    quiet,
)

from convgraft.errors import UsageError
from convgraft.studies import StudyStore, failures, run_study
from convgraft.studies.on_ray import OnRay
from convgraft.studies.ray_cluster import places
from convgraft.studies.workers import Report

ray: Any = pytest.importorskip("ray")
HERE = {"node_ip_address": "127.0.0.1", "num_cpus": 1}
LOST_SOON = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 3,
}
SIX = ("cross-skip", "ladder", "finetune-a", "finetune-b", "average-finetune", "distilled-a")
TWELVE = replace(STUDY, only=SIX)  # six arms in each of two cells


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two raylets; the test's process is of the first one."""
    from ray.cluster_utils import Cluster

    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([*folders, before])  # for workers
    head = {**HERE, "include_dashboard": False, "_system_config": LOST_SOON}
    made = Cluster(initialize_head=True, head_node_args=head)
    made.add_node(**HERE)
    yield made
    made.shutdown()
    os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study in one process."""
    place = tmp_path_factory.mktemp("whole")
    store = StudyStore.claim(place / "study", {"n": 1})
    run_study(TWELVE, CELLS, Opener(place), options, store, quiet)
    assert len(store.lines) == 12 and failures(store.lines) == []
    return place / "study"


def spread(opener: Opener, workers: OnRay, report: Report = quiet) -> StudyStore:
    store = StudyStore.claim(opener.place / "study", {"n": 1})
    run_study(TWELVE, CELLS, opener, options, store, report, workers)
    return store


@pytest.mark.slow
def test_two_machines_come_to_what_one_process_does_also_when_one_is_killed(
    cluster: Any, whole: Path, tmp_path: Path
) -> None:
    workers = OnRay(cluster.address, watched=True)
    try:
        assert workers.count == 2
        untouched(tmp_path / "untouched", whole, workers)
        one_killed(tmp_path / "killed", whole, workers, cluster)
    finally:
        workers.close()
    assert not ray.is_initialized()


def untouched(place: Path, whole: Path, workers: OnRay) -> None:
    place.mkdir()
    told: list[tuple[str, int, int]] = []
    opener = Opener(place, crowd=2)  # one of each machine does some of it
    store = spread(opener, workers, lambda *one: told.append(one))
    assert failures(store.lines) == []
    assert_same(store.folder, whole)
    assert told[-1] == ("study tiny", 12, 12)


def one_killed(place: Path, whole: Path, workers: OnRay, cluster: Any) -> None:
    place.mkdir()
    (node,) = cluster.worker_nodes
    opener = Opener(place, stuck=node.node_id)

    def kill(what: str, done: int, total: int) -> None:
        if (place / "stuck").exists() and cluster.worker_nodes:
            cluster.remove_node(node, allow_graceful=False)

    store = spread(opener, workers, kill)
    assert not cluster.worker_nodes  # it was killed, with an arm in work
    assert len(store.lines) == 12 and failures(store.lines) == []
    assert_same(store.folder, whole)


@pytest.mark.slow
def test_nobody_is_left_behind_by_a_study_that_is_killed(tmp_path: Path) -> None:
    opener = killed_in_work(tmp_path, "ray")
    assert gone(opener)
    store = StudyStore.claim(tmp_path / "study", {"n": 1})
    run_study(STUDY, CELLS, opener, options, store, quiet)
    assert len(store.lines) == 20 and failures(store.lines) == []


@pytest.mark.parametrize("address", ["cluster", ":6379", "ray://host", "host:port", "host:70000"])
def test_an_address_that_cannot_be_read_is_told(address: str) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        OnRay(address)


def test_an_address_at_which_nothing_answers_is_told_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        with pytest.raises(UsageError, match="nothing answers"):
            OnRay(address)


def test_there_is_room_for_as_many_arms_as_processors_and_gpus_allow() -> None:
    small, large = {"CPU": 4.0}, {"CPU": 16.0, "GPU": 2.0}
    assert places({"CPU": 1, "GPU": 0}, [small, large]) == 20
    assert places({"CPU": 3, "GPU": 0}, [small, large]) == 6
    assert places({"CPU": 1, "GPU": 1}, [small, large]) == 2
    assert places({"CPU": 1, "GPU": 0.25}, [small, large]) == 8
    with pytest.raises(UsageError, match="no machine of the cluster") as told:
        places({"CPU": 20, "GPU": 1}, [small, large])
    assert told.value.found == "16 CPU, 2 GPU at most"


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="not installed") as told:
        OnRay()
    assert told.value.hint == "pip install convgraft[ray]"
