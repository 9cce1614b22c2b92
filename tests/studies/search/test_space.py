"""Candidates: every way can be built, and says what it is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from convgraft.compose import compose
from convgraft.strategies import Ingredients
from convgraft.studies import build_arm
from convgraft.studies.search.networks import subsets
from convgraft.studies.search.space import CLOSED, FROZEN, LEARNING, WAYS, Candidate
from convgraft.training import FitOptions
from helpers import small

SOURCES = {name: small(seed) for seed, name in enumerate("ab")}
GIVEN = Ingredients(SOURCES, 16, 10)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_makes_an_arm_of_as_many_networks_as_it_takes(way: str) -> None:
    names = tuple(SOURCES)[: WAYS[way].least]
    candidate = Candidate(way, names)
    arm = build_arm(candidate.design, replace(GIVEN, sources={n: SOURCES[n] for n in names}))
    assert arm.name == str(candidate)
    assert set(compose(arm.plan, arm.sources).plan.answers)
    assert arm.policy.name == candidate.choices["freeze"]


@pytest.mark.parametrize("way", WAYS)
def test_every_choice_is_read_by_the_strategy_or_the_fit(way: str) -> None:
    names = tuple(SOURCES)[: WAYS[way].least]
    plain = Candidate(way, names)
    for choice, values in WAYS[way].choices.items():
        for value in values[1:]:
            other = plain.choosing(**{choice: value})
            assert (other.design, other.options(FitOptions())) != (
                replace(plain.design, name=str(other)),
                plain.options(FitOptions()),
            )
            assert other.key != plain.key


def test_frozen_ways_let_no_network_learn_and_store_what_it_makes_of_images() -> None:
    for way in (*CLOSED, *FROZEN):
        candidate = Candidate(way.name, ("a", "b"))
        assert candidate.options(FitOptions()).augment == "none"
        assert candidate.design.freeze == "heads-only"
    for way in LEARNING:
        assert Candidate(way.name, ("a", "b")).options(FitOptions()).augment == "light"


def test_a_candidate_comes_back_from_its_line() -> None:
    given = Candidate("ladder", ("a", "b"), {"head": "mlp", "lr": 5e-4})
    line = {"way": "ladder", "networks": ["a", "b"], "choices": dict(given.choices)}
    again = Candidate.of(json.loads(json.dumps(line)))
    assert again == given
    assert again.key == given.key
    assert str(again) == "ladder a+b head=mlp lr=0.0005"


def test_of_many_networks_pairs_triples_and_all_are_looked_at() -> None:
    assert len(subsets("abcde")) == 31
    sizes = [len(one) for one in subsets("abcdefg")]
    assert {size: sizes.count(size) for size in sizes} == {1: 7, 2: 21, 3: 35, 7: 1}
