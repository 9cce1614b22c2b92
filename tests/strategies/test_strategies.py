"""Each strategy's plan, against what it says it is."""

from __future__ import annotations

import pytest
import torch

from convgraft.compose import compose, cost
from convgraft.errors import UsageError
from convgraft.plan import parse_plan
from convgraft.sources import source
from convgraft.strategies import (
    STRATEGIES,
    Ingredients,
    StrategyOptions,
    find_strategy,
    source_names,
)
from convgraft.studies import Design, build_arm


@pytest.fixture(scope="module")
def given() -> Ingredients:
    sources = {"a": source("cifar_resnet20"), "b": source("cifar_resnet32", seed=1)}
    return Ingredients(sources, image_size=32, classes=7)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_writes_a_plan_that_compiles_and_round_trips(
    name: str, given: Ingredients
) -> None:
    student = {"a": given.sources["a"], "b": source("cifar_resnet32", classes=7)}
    sources = student if name == "distil" else given.sources
    columns = {"kind": 7} if name == "multitask" else {}
    arm = build_arm(Design(name, loss="task"), Ingredients(sources, 32, 7, columns=columns))
    plan = arm.plan
    assert parse_plan(str(plan)) == plan
    outputs = compose(plan, arm.sources).eval()(torch.rand(2, 3, 32, 32))
    assert plan.answer == "label"
    assert {tuple(logits.shape) for logits in outputs.values()} == {(2, 7)}


def test_cross_skip_goes_both_ways_between_equal_blocks(given: Ingredients) -> None:
    plan = STRATEGIES["cross-skip"].write(given)
    ways = {str(wire) for wire in plan.wires}
    assert ways == {
        f"{one}:layer{n} -> {other}:layer{n}" for n in (1, 2, 3) for one, other in ("ab", "ba")
    }
    assert {(w.join, w.adapter, w.start) for w in plan.wires} == {("add", "identity", "zero")}


def test_the_papers_raw_addition_adds_the_other_networks_block(given: Ingredients) -> None:
    raw = Ingredients(given.sources, 32, 7, StrategyOptions(start="one"))
    plan = STRATEGIES["cross-skip"].write(raw)
    network = compose(plan, given.sources).eval()
    a, b = network.get_submodule("sources.a"), network.get_submodule("sources.b")
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        x = given.sources["a"].preprocessing.build()(images)
        h = {k: net.relu(net.bn1(net.conv1(x))) for k, net in (("a", a), ("b", b))}
        for layer in ("layer1", "layer2", "layer3"):
            left, right = getattr(a, layer)(h["a"]), getattr(b, layer)(h["b"])
            h = {"a": left + right, "b": right + left}
        pooled = [a.avgpool(h["a"]).flatten(1), b.avgpool(h["b"]).flatten(1)]
        expected = network.get_submodule("heads.label")(*pooled)
        assert torch.allclose(network(images)["label"], expected, atol=1e-5)


def test_near_shapes_get_a_resizing_conv_block() -> None:
    sources = {
        "a": source("torchvision/squeezenet1_1"),
        "b": source("torchvision/mobilenet_v2"),
    }
    plan = STRATEGIES["cross-skip"].write(Ingredients(sources, 100, 8))
    assert len(plan.wires) >= 6
    assert {wire.adapter for wire in plan.wires} == {"block"}


def test_three_networks_are_wired_in_a_row_without_a_circle() -> None:
    sources = {name: source("cifar_resnet20") for name in "abc"}
    plan = STRATEGIES["cross-skip"].write(Ingredients(sources, 32, 5))
    assert len(plan.wires) == 12
    compose(plan, sources)


def test_hidden_layers_make_an_mlp(given: Ingredients) -> None:
    options = StrategyOptions(hidden=(16,), dropout=0.1)
    plan = STRATEGIES["parallel"].write(Ingredients(given.sources, 32, 7, options))
    head = plan.heads[0]
    assert (head.kind, head.hidden, head.dropout) == ("mlp", (16,), 0.1)


def test_parallel_costs_the_sum_of_both_and_its_head(given: Ingredients) -> None:
    spent = cost(compose(STRATEGIES["parallel"].write(given), given.sources))
    alone = sum(
        survey.macs - 64 * 10 for survey in (given.surveys["a"], given.surveys["b"])
    )  # their own classifiers are pruned
    assert spent.macs == alone + (64 + 64) * 7


def test_probe_of_two_answers_by_their_average(given: Ingredients) -> None:
    network = compose(STRATEGIES["probe"].write(given), given.sources).eval()
    with torch.no_grad():
        out = network(torch.rand(3, 3, 32, 32))
    mean = (out["a"].softmax(1) + out["b"].softmax(1)) / 2
    assert torch.allclose(out["label"].softmax(1), mean, atol=1e-6)


def test_unknown_strategies_and_too_few_networks_are_told() -> None:
    with pytest.raises(UsageError, match="did you mean parallel"):
        find_strategy("paralel", 2)
    with pytest.raises(UsageError, match="at least 2"):
        find_strategy("cross-skip", 1)


def test_names_never_run_out() -> None:
    names = source_names(60)
    assert names[:2] == ["a", "b"]
    assert len(set(names)) == 60
