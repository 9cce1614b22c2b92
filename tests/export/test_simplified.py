"""The simplified network gives the composite's answers, with fewer and plainer layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers_export import apart, as_trained
from torch import Tensor, fx, nn

from convgraft.compose import Composite, compose
from convgraft.export import save
from convgraft.export.simplified import simplified, simplify
from convgraft.layers.adapters import Gate, ResidualMix
from convgraft.layers.heads import DenseHead
from convgraft.layers.joins import Concat, CrossFade
from convgraft.opening import open_network
from convgraft.plan import Wire
from convgraft.sources import source
from convgraft.strategies import STRATEGIES, Ingredients, StrategyOptions
from helpers import Tiny, head, images, opened, plan_for, small, wire

KINDS = (Gate, Concat, CrossFade, ResidualMix, nn.BatchNorm2d, nn.BatchNorm1d, nn.Dropout)


def pair() -> dict[str, Any]:
    return {"a": small(0), "b": small(1)}


def written(strategy: str, **options: Any) -> Composite:
    sources = pair()
    given = Ingredients(sources, 32, 5, StrategyOptions(**options))
    return compose(STRATEGIES[strategy].write(given), sources, seed=2)


def joined(*wires: Wire, kind: str = "linear", **options: Any) -> Composite:
    heads = [head("label", kind, "a:features", "b:features", classes=3, **options)]
    return compose(plan_for(pair(), wires=wires, heads=heads), pair(), seed=2)


@torch.inference_mode()
def assert_same(composite: Composite, network: nn.Module) -> None:
    for given in (images(count=3), pixels(1)):
        assert apart(network(given), composite(given)) <= 1e-5


def pixels(count: int) -> Tensor:
    return (255 * images(count=count, seed=5)).to(torch.uint8)


def kinds(network: fx.GraphModule) -> set[type[nn.Module]]:
    """Of the modules that are called."""
    calls = network.graph.find_nodes(op="call_module")
    return {type(network.get_submodule(str(node.target))) for node in calls}


@pytest.mark.parametrize("strategy", ["cross-skip", "ladder"])
def test_strategies(strategy: str) -> None:
    composite = as_trained(written(strategy))
    before = {name: tensor.clone() for name, tensor in composite.state_dict().items()}
    code = composite.code
    network = simplified(composite)
    assert_same(composite, network)
    assert not kinds(network) & {*KINDS, DenseHead}
    assert composite.code == code
    assert all(torch.equal(before[name], t) for name, t in composite.state_dict().items())
    assert not any(weights.requires_grad for weights in network.parameters())


@pytest.mark.parametrize(
    "wires",
    [
        (wire("a:layer1 -> b:layer1", "add", "block"),),
        (wire("a:layer1 -> b:layer2", "add", "residual3x3"),),
        (wire("a:layer2 -> b:layer1", "concat", "identity"),),
        (wire("a:layer1 -> b:features", "concat", "conv1x1"),),
        (wire("a:layer1 -> b:layer1", "gate", "conv1x1"),),
        (wire("a:layer1 -> b:layer2", "replace", "cnn", "one"),),
        (wire("a:layer1 -> b:layer1"), wire("b:layer1 -> a:layer1", "gate", "identity")),
    ],
    ids=str,
)
def test_joins_and_adapters(wires: tuple[Wire, ...]) -> None:
    composite = as_trained(joined(*wires))
    network = simplified(composite)
    assert_same(composite, network)
    assert not kinds(network) & {CrossFade, ResidualMix, nn.BatchNorm2d, nn.Sequential}


@pytest.mark.parametrize("fusion", ["concat", "bilinear"])
def test_fusions(fusion: str) -> None:
    composite = as_trained(joined(kind="mlp", hidden=(6, 4), dropout=0.2, fusion=fusion))
    assert_same(composite, simplified(composite))


def test_open_gates_of_one_sign_are_part_of_the_convolutions() -> None:
    composite = as_trained(joined(wire("a:layer1 -> b:layer1", "add", "block")), gate=0.1)
    network = simplified(composite)
    assert_same(composite, network)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert not any(m.groups > 1 for m in convolutions)
    shaken = simplified(as_trained(composite))
    assert any(m.groups == m.in_channels for m in shaken.modules() if isinstance(m, nn.Conv2d))


def test_shut_gates_leave_their_wires_out_and_are_named() -> None:
    wires = (wire("a:layer1 -> b:layer1", "add", "block"), wire("b:layer2 -> a:layer2", "gate"))
    composite = as_trained(joined(*wires), gate=0.0)
    done = simplify(composite)
    assert_same(composite, done.network)
    assert done.shut == ("adapters.a:layer1->b:layer1.gate", "joins.b:layer2->a:layer2")
    alone = simplified(as_trained(joined()))
    assert len(done.network.graph.nodes) == len(alone.graph.nodes)


def test_a_shut_gate_before_a_layer_that_overwrites() -> None:
    sources = {"a": source(Tiny(seed=1)), "b": source(Tiny(seed=2))}
    wires = [wire("a:bn -> b:bn"), wire("b:conv -> a:bn", "add", "conv1x1", "one")]
    heads = [head("label", "linear", "a:conv2", "b:conv2", "b:bn", classes=3)]
    composite = as_trained(compose(plan_for(sources, wires=wires, heads=heads), sources), gate=0.0)
    assert_same(composite, simplified(composite))


def test_equal_sources_run_their_common_layers_once() -> None:
    twins = {"a": small(0), "b": small(0)}
    heads = [head("label", "linear", "a:features", "b:layer2", classes=3)]
    composite = compose(plan_for(twins, heads=heads), twins).eval()
    composite.get_submodule("heads").train()
    modes = {name: module.training for name, module in composite.named_modules()}
    done = simplify(composite)
    assert modes == {name: module.training for name, module in composite.named_modules()}
    assert done.shared > 0
    assert_same(composite.eval(), done.network)


def test_a_run_within_a_run(tmp_path: Path) -> None:
    nets = {"a": opened("cifar_resnet20"), "b": opened("cifar_resnet20", seed=1)}
    wires = [wire("a:layer1 -> b:layer1", "add", "residual"), wire("b:layer2 -> a:layer2", "gate")]
    answer = [head("label", "linear", "a:features", "b:features", classes=3)]
    inner = as_trained(compose(plan_for(nets, wires=wires, heads=answer), nets))
    folder = save(tmp_path / "inner", inner, labels=("x", "y", "z"))
    sources = {"n": open_network(str(folder)), "b": small(1)}
    heads = [head("label", "linear", "n:features", "b:features", classes=3)]
    composite = as_trained(compose(plan_for(sources, heads=heads), sources))
    network = simplified(composite)
    assert_same(composite, network)
    assert not kinds(network) & {Gate, CrossFade, ResidualMix, nn.Sequential, nn.BatchNorm2d}
