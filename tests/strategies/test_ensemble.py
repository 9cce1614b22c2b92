"""The ensemble's plans."""

from __future__ import annotations

import pytest

from convgraft.compose import compose, cost
from convgraft.errors import UsageError
from convgraft.layers.votes import VOTE_KINDS
from convgraft.plan import parse_plan
from convgraft.strategies import STRATEGIES, Ingredients, StrategyOptions
from convgraft.strategies.ensemble import ensemble, vote_plan
from helpers import images, opened


def given(vote: str = "average", **options: object) -> Ingredients:
    # the larger one first, so that a cascade has to turn them around
    sources = {"a": opened("cifar_resnet32"), "b": opened("cifar_resnet20", seed=1)}
    return Ingredients(sources, 16, 7, StrategyOptions(vote=vote, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("vote", VOTE_KINDS)
def test_every_vote_stands_over_a_trained_head_per_network(vote: str) -> None:
    plan = ensemble(given(vote))
    assert parse_plan(str(plan)) == plan
    assert [(head.name, head.kind) for head in plan.heads] == [
        ("a", "linear"), ("b", "linear"), ("label", vote)]  # fmt: skip
    assert plan.answer == "label"
    assert plan.trained == ("a", "b")
    outputs = compose(plan, given().sources).eval()(images(16))
    assert {tuple(logits.shape) for logits in outputs.values()} == {(2, 7)}


def test_hidden_layers_are_the_members_own() -> None:
    plan = ensemble(given(hidden=(8,), dropout=0.1))
    assert [(head.kind, head.hidden) for head in plan.heads[:2]] == [("mlp", (8,))] * 2


def test_a_cascade_runs_the_cheapest_network_first() -> None:
    for plan in (ensemble(given("cascade")), vote_plan(given(), ["cascade"])):
        assert [ref.tap for ref in plan.heads[-1].inputs] == ["b", "a"]
        alone = [cost(compose(plan.keeping((name,)), given().sources)).macs for name in "ba"]
        assert alone == sorted(alone)


def test_nothing_in_a_vote_plan_has_weights_of_its_own() -> None:
    plan = vote_plan(given(), ["stack", "average"])
    assert [(head.name, head.kind) for head in plan.heads] == [
        ("a", "identity"), ("b", "identity"),
        ("average", "average"), ("label", "stack"),
    ]  # fmt: skip
    network = compose(plan, given().sources)
    assert not list(network.get_submodule("heads").parameters())


def test_a_network_called_label_keeps_its_name() -> None:
    one = opened("cifar_resnet20")
    named = Ingredients({"label": one, "b": one}, 16, 7)
    assert ensemble(named).answer == vote_plan(named).answer == "vote"


@pytest.mark.parametrize("votes", [["avrage"], ["identity"], ["hard", "hard"], []])
def test_what_is_no_vote_is_told(votes: list[str]) -> None:
    with pytest.raises(UsageError):
        vote_plan(given(), votes)
    if len(votes) == 1:
        with pytest.raises(UsageError, match="average"):
            ensemble(given(votes[0]))


def test_it_is_in_the_table() -> None:
    assert STRATEGIES["ensemble"].write is ensemble
