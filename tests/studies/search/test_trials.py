"""Proposals: in the order enqueued, remembered in a file, within what is to be had."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from convgraft.errors import UsageError
from convgraft.studies.search.networks import Networks, subsets
from convgraft.studies.search.space import FROZEN, LEARNING, Candidate
from convgraft.studies.search.trials import Proposals, import_optuna

FIRST = [Candidate("ladder", ("a", "b"), {"head": "mlp"}), Candidate("probe", ("b",))]


def opened(path: Path, seed: int = 0) -> Proposals:
    networks = Networks(("a", "b"), subsets("ab"))
    return Proposals.open(path / "optuna.journal", "frozen", FROZEN, networks, seed)


def test_what_is_enqueued_comes_first_and_the_rest_is_within_the_space(tmp_path: Path) -> None:
    proposals = opened(tmp_path)
    assert proposals.is_new
    proposals.enqueue(FIRST)
    assert not proposals.is_new
    asked = [proposals.ask() for _ in range(2)]
    assert [one.candidate for one in asked] == FIRST
    proposals.tell(asked[0], 0.5)
    proposals.tell(asked[1], None)
    for _ in range(15):
        one = proposals.ask()
        way = next(way for way in FROZEN if way.name == one.candidate.way)
        assert way.takes(len(one.candidate.networks))
        assert all(one.candidate.choices[name] in way.choices[name] for name in way.choices)
        proposals.drop(one)


def test_a_trial_that_was_broken_off_is_proposed_again(tmp_path: Path) -> None:
    proposals = opened(tmp_path)
    proposals.enqueue(FIRST)
    proposals.tell(proposals.ask(), 0.5)
    proposals.ask()  # and then the process is killed
    again = opened(tmp_path)
    assert not again.is_new
    assert again.ask().candidate == FIRST[1]


def test_the_same_seed_draws_the_same(tmp_path: Path) -> None:
    drawn = []
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        (tmp_path / name).mkdir()
        proposals = opened(tmp_path / name, seed)
        drawn.append([proposals.ask().candidate.key for _ in range(5)])
    assert drawn[0] == drawn[1] != drawn[2]


def test_ways_that_need_more_networks_are_left_out(tmp_path: Path) -> None:
    alone = Networks(("a",), [("a",)])
    one = Proposals.open(tmp_path / "journal", "learning", LEARNING, alone, 0)
    assert {way.name for way in one.ways} == {"finetune", "tuned-ladder"}


def test_stitches_are_proposed_in_both_orders_whatever_both_networks_cost(tmp_path: Path) -> None:
    networks = Networks(("a", "b"), [("a",), ("b",)])  # both together are too expensive
    one = Proposals.open(tmp_path / "journal", "learning", LEARNING, networks, 0)
    assert {way.name for way in one.ways} == {"finetune", "tuned-ladder", "stitch"}
    drawn = [one.ask().candidate for _ in range(40)]
    taken = {candidate.networks for candidate in drawn if candidate.way == "stitch"}
    assert taken == {("a", "b"), ("b", "a")}
    other = {candidate.networks for candidate in drawn if candidate.way != "stitch"}
    assert other == {("a",), ("b",)}


def test_without_optuna_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("optuna"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError) as told:
        import_optuna()
    assert "pip install convgraft[search]" in str(told.value)
