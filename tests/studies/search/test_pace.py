"""Clocks and estimates."""

from __future__ import annotations

from convgraft.studies.search.features import Features
from convgraft.studies.search.first import first_closed, first_frozen, first_learning
from convgraft.studies.search.pace import Clock, Pace
from convgraft.studies.search.predict import Prediction
from convgraft.studies.search.space import Candidate

FEATURES = {name: Features((), {}, seconds, 1) for name, seconds in (("a", 0.01), ("b", 0.1))}


def pace() -> Pace:
    return Pace(FEATURES, train=100, val=50, batch_size=10)


def prediction(way: str, networks: str, score: float, macs: int) -> Prediction:
    return Prediction(Candidate(way, tuple(networks)), score, score, score, macs)


PREDICTIONS = [
    prediction("ridge-ladder", "ab", 0.9, 11),
    prediction("ridge-probe", "b", 0.8, 10),
    prediction("ridge-ladder", "a", 0.7, 1),
    prediction("ridge-probe", "a", 0.6, 1),
]


def test_time_of_earlier_calls_counts() -> None:
    now = [100.0]
    clock = Clock(60, before=50, now=lambda: now[0])
    now[0] = 105.0
    assert (clock.spent, clock.left) == (55, 5)


def test_learning_costs_epochs_and_what_trials_took_corrects_the_guess() -> None:
    found = pace()
    frozen, tuned = Candidate("probe", ("a",)), Candidate("finetune", ("a",))
    assert found.estimate(tuned) > 4 * found.estimate(frozen)
    assert found.estimate(tuned) > 2 * found.estimate(tuned.choosing(epochs=8))
    assert found.estimate(Candidate("finetune", ("b",))) > 4 * found.estimate(tuned)
    guess, other = found.estimate(tuned), found.estimate(frozen)
    for factor in (2, 3, 30):
        found.learn(tuned, factor * guess)
    assert found.estimate(tuned) == 3 * guess
    assert found.estimate(frozen) == other


def test_the_best_prediction_the_best_single_and_the_front_come_first() -> None:
    tried = [str(one) for one in first_closed(PREDICTIONS)]
    assert tried == ["ridge-ladder a+b", "ridge-probe b", "ridge-ladder a", "ridge-probe a"]
    assert [str(one) for one in first_frozen(PREDICTIONS)] == [
        name.removeprefix("ridge-") for name in tried
    ]


def test_networks_learn_first_in_ways_that_there_is_time_for() -> None:
    assert first_learning(PREDICTIONS, pace(), 1.0) == []
    short = {one.way: one for one in first_learning(PREDICTIONS, pace(), 100.0)}
    assert short["finetune"].networks == ("a",)
    assert "co-learning" not in short
    long = {one.way: one for one in first_learning(PREDICTIONS, pace(), 6000.0)}
    assert long["finetune"].networks == ("b",)
    assert long["co-learning"].networks == ("a", "b")
    assert long["co-learning"].choices["epochs"] == 20
