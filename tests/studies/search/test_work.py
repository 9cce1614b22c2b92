"""A search goes on where it stopped, and trains nothing that costs too much."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convgraft.data import open_images, split_images
from convgraft.errors import RunError, UsageError
from convgraft.sources import source
from convgraft.strategies import Ingredients
from convgraft.studies import Trained
from convgraft.studies.search import Ceiling, Rules, SearchStore, first, run_search, work
from convgraft.studies.search.front import choose
from convgraft.training import FitOptions, Task
from helpers import Tiny

IMAGES = open_images("digits")
GIVEN = Ingredients({n: source(Tiny(classes=10, seed=s)) for s, n in enumerate("ab")}, 8, 10)
RULES = Rules(5.0, trials=2, options=FitOptions(batch_size=20, accelerator="cpu"))
Trial = Callable[..., Trained]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One closed candidate, and two epochs for every one that is trained."""
    monkeypatch.setattr(first, "SOLVED", 1)
    real = work.train_arm

    def short(arm: Any, task: Any, options: FitOptions, **more: Any) -> Trained:
        return real(arm, task, replace(options, epochs=2), **more)

    monkeypatch.setattr(work, "train_arm", short)


def task() -> Task:
    split = split_images(IMAGES, seed=0, limit=40)
    return Task(IMAGES, replace(split, val=split.val[:40]), 8)


def keep(path: Path, trained: Trained) -> None:
    path.mkdir(parents=True)
    (path / "name.txt").write_text(trained.arm.name)


def quiet(what: str, done: int, total: int) -> None:
    pass


def searched(folder: Path, rules: Rules = RULES) -> SearchStore:
    store = SearchStore.claim(folder, {})
    run_search(GIVEN, task(), rules, store, keep, quiet)
    return store


def test_it_goes_on_with_what_it_has_and_keeps_the_best(tmp_path: Path) -> None:
    begun = searched(tmp_path)
    assert [line["number"] for line in begun.lines] == [0, 1]
    assert [line["kind"] for line in begun.lines] == ["closed", "frozen"]
    assert begun.lines[0]["predicted"] > 0
    spent = begun.elapsed
    assert spent > 0
    again = searched(tmp_path, replace(RULES, trials=4))
    assert again.lines[:2] == begun.lines
    assert len({line["key"] for line in again.lines}) == 4
    assert again.elapsed > spent
    best = choose(again.lines)
    assert best is not None
    assert (again.kept(best["number"]) / "name.txt").read_text() == best["name"]
    assert len(list((tmp_path / "kept").iterdir())) == 1


def test_networks_learn_when_frozen_ones_have_had_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "FROZEN_TRIALS", 1)
    lines = searched(tmp_path, replace(RULES, trials=4)).lines
    assert [line["kind"] for line in lines[:2]] == ["closed", "frozen"]
    assert [line["way"] for line in lines[2:]] == ["co-learning", "tuned-ensemble"]


def test_a_search_whose_time_is_up_has_trained_one(tmp_path: Path) -> None:
    rules = replace(RULES, minutes=1e-6, trials=None)
    assert len(searched(tmp_path, rules).lines) == 1
    assert len(searched(tmp_path, rules).lines) == 1


def test_no_test_image_is_looked_at(tmp_path: Path) -> None:
    one = task()
    run_search(GIVEN, one, RULES, SearchStore.claim(tmp_path, {}), keep, quiet)
    assert one.test_reads == []


def test_what_costs_too_much_is_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "SKIPS", 4)
    alone = max(one.survey(8).macs for one in GIVEN.sources.values())
    cheap = replace(RULES, ceiling=Ceiling(macs=1.2 * alone))
    lines = searched(tmp_path / "cheap", cheap).lines
    assert len(lines) == 2
    assert all(line["macs"] <= 1.2 * alone for line in lines)
    assert all(len(line["networks"]) == 1 for line in lines)
    with pytest.raises(UsageError, match="costs more than it may") as told:
        searched(tmp_path / "none", replace(RULES, ceiling=Ceiling(macs=10)))
    assert "--max-macs of " in str(told.value)
    with pytest.raises(UsageError, match="no candidate could be trained") as told:
        searched(tmp_path / "slow", replace(RULES, ceiling=Ceiling(latency=1e-6)))
    assert " ms" in str(told.value)


def test_an_interrupt_loses_the_running_trial_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = work.train_arm

    def interrupted(*given: Any, **more: Any) -> Trained:
        def tell(done: int, total: int) -> None:
            signal.raise_signal(signal.SIGINT)

        return real(*given, **{**more, "on_progress": tell})

    done = searched(tmp_path, replace(RULES, trials=1)).lines
    with monkeypatch.context() as patch:
        patch.setattr(work, "train_arm", interrupted)
        with pytest.raises(RunError, match="stopped while training") as told:
            searched(tmp_path)
    assert "1 trials are in" in str(told.value)
    lost = str(told.value).splitlines()[0].removeprefix("stopped while training ")
    lines = searched(tmp_path).lines
    assert lines[:1] == done
    assert lines[1]["name"] == lost
