"""Joins against formulas written out."""

import pytest
import torch
from torch import Tensor

from convgraft.layers import JOINS, Concat, CrossFade, Gate, build_adapter

SHAPES = [(4, 5, 5), (4,)]
LAYERS = {kind: row.build for kind, row in JOINS.items() if row.build is not None}


def values(shape: tuple[int, ...], count: int) -> list[Tensor]:
    return [torch.randn(3, *shape) for _ in range(count)]


@pytest.mark.parametrize("shape", SHAPES)
def test_cross_fade(shape: tuple[int, ...]):
    own, arriving = values(shape, 2)
    join = CrossFade(4, 0.0)
    join.gate.data = torch.tensor([0.0, 0.25, 1.0, -1.0])
    result = join(own, arriving)
    for channel, gate in enumerate(join.gate.tolist()):
        expected = (1 - gate) * own[:, channel] + gate * arriving[:, channel]
        torch.testing.assert_close(result[:, channel], expected)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_concat(shape: tuple[int, ...], gated: bool):
    own, first = values(shape, 2)
    second = torch.randn(3, 2, *shape[1:])
    join = Concat(4, 6, gated=gated)
    if gated:
        join.gate.scale.data = torch.tensor([0.0, 1.0, 2.0, -1.0])
    both = torch.cat([own, first, second], 1)
    weight, bias = join.mix.weight[:, :, 0, 0], join.mix.bias
    mixed = torch.einsum("nc...,oc->no...", both, weight) + bias.view(-1, *[1] * (own.dim() - 2))
    scale = join.gate.scale.view(-1, *[1] * (own.dim() - 2)) if gated else None
    expected = mixed if scale is None else own + scale * mixed
    torch.testing.assert_close(join(own, first, second), expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("adapter", ["identity", "conv1x1", "block"])
def test_a_zero_start_does_nothing(shape: tuple[int, ...], kind: str, adapter: str):
    join = LAYERS[kind](shape, (shape,), True)
    own, other = values(shape, 2)
    arriving = build_adapter(adapter, shape, shape, gated=JOINS[kind].gated_adapter)(other)
    assert torch.equal(join(own, arriving), own)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_start_at_one_does_something(kind: str):
    join = LAYERS[kind]((4, 5, 5), ((4, 5, 5),), False)
    own, arriving = values((4, 5, 5), 2)
    assert not torch.equal(join(own, arriving), own)
    assert join(own, arriving).shape == own.shape
    assert "one" in JOINS[kind].starts


@pytest.mark.parametrize("kind", LAYERS)
def test_a_zero_start_can_learn(kind: str):
    join = LAYERS[kind]((4, 5, 5), ((4, 5, 5),), True)
    join(*values((4, 5, 5), 2)).square().sum().backward()
    gates = [p for name, p in join.named_parameters() if "gate" in name]
    assert all(gate.grad.abs().max() > 0 for gate in gates)
    assert len(gates) == 1


def test_gates_start_closed():
    assert torch.equal(Gate(3).scale, torch.zeros(3))
