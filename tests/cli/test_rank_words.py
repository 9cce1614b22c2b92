"""An error that all of several ranks meet: rank zero tells it, and all end with its code."""

from __future__ import annotations

import sys
from datetime import timedelta

import pytest
from helpers_cli import Outcome, convgraft
from torch.distributed import HashStore

from convgraft.cli import main, rank_words
from convgraft.errors import RunError, UsageError
from convgraft.training.process_group import Group, enter_group, leave_group


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_words, "LINGER", 0.0)
    monkeypatch.setattr(rank_words, "WAIT", timedelta(milliseconds=100))


def failed(
    rank: int, store: HashStore, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> Outcome:
    """How a command ends as that rank of two, where it fails so."""

    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(main, "_run", fail)
    monkeypatch.setattr(main, "_end_at_once", sys.exit)  # which would end the tests too
    enter_group(Group(rank, 2, store=store))
    try:
        return convgraft("doctor")
    finally:
        leave_group()


def test_rank_zero_has_told_it_before_others_may_end_and_all_end_with_its_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, told = HashStore(), list[bool]()
    complain = main._complain

    def complains(text: str) -> None:
        told.append(store.check([rank_words.FAILED]))
        complain(text)

    monkeypatch.setattr(main, "_complain", complains)
    first = failed(0, store, UsageError("no such plan"), monkeypatch)
    assert (first.code, first.err, told) == (2, "error: no such plan\n", [False])
    other = failed(1, store, RunError("rank 0 has failed"), monkeypatch)
    assert (other.code, other.err) == (2, "")


def test_what_rank_zero_does_not_tell_another_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    other = failed(1, HashStore(), RunError("no disk"), monkeypatch)
    assert (other.code, other.err) == (1, "rank 1: error: no disk\n")


@pytest.mark.parametrize(("world", "many"), [(1, False), (2, True)])
def test_one_that_works_alone_is_not_one_of_many(world: int, many: bool) -> None:
    assert not rank_words.is_one_of_many()
    enter_group(Group(0, world, store=HashStore()))
    try:
        assert rank_words.is_one_of_many() == many
    finally:
        leave_group()
