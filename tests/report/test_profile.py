"""A profile's numbers: every node belongs to a part, and parts add up to the whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, fx, nn

from convgraft.compose import Composite, compose, cost
from convgraft.report.profile import (
    Costs,
    Profile,
    costs_of_composite,
    profile_parts,
)
from convgraft.report.profile_clock import side_by_side
from convgraft.report.profile_nodes import node_costs
from convgraft.report.profile_table import engine_rows, part_rows, profile_data, time_rows
from helpers import head, images, plan_for, small, wire

BATCHES = {1: images(count=1), 4: images(count=4)}


class Steps(nn.Module):
    """Values of known sizes: [N, 4], a view of it, in place, [N, 8], [N, 4]."""

    def forward(self, x: Tensor) -> Tensor:
        doubled = torch.cat([x, x], 1)
        view = doubled.view(-1, 4).relu_()
        wide = torch.cat([view, view], 1)
        return wide[:, :4] + view


def test_memory_is_what_is_alive_at_once() -> None:
    network = fx.symbolic_trace(Steps())
    found = node_costs(network, network.graph, torch.rand(5, 2), seconds=0)
    # when the sum is made: the view's memory (4 of 5 rows), the wide value and the sum
    assert found.peak == 4 * 5 * (4 + 8 + 4)
    assert set(found.seconds) == set(network.graph.nodes)
    assert all(seconds >= 0 for seconds in found.seconds.values())


@pytest.fixture(scope="module")
def composite() -> Composite:
    sources = {"a": small(0), "b": small(1)}
    wires = [
        wire("a:layer1 -> b:layer1", "add", "block"),
        wire("b:layer2 -> a:layer2", "add", "identity", "one"),
    ]
    heads = [head("label", "mlp", "a:features", "b:features", classes=3, hidden=(8,))]
    return compose(plan_for(sources, wires=wires, heads=heads), sources).eval()


@pytest.fixture(scope="module")
def costs(composite: Composite) -> Costs:
    return costs_of_composite(composite, BATCHES, seconds=0)


def test_parts_add_up(composite: Composite, costs: Costs) -> None:
    parts = profile_parts(composite, costs, costs)
    spent = cost(composite)
    assert sum(part.macs for part in parts) == spent.macs
    assert sum(part.parameters for part in parts) == spent.parameters
    for count in BATCHES:
        assert sum(part.memory[count] for part in parts) == costs.peak[count]
        everything = sum(seconds[count] for seconds in costs.seconds.values())
        assert sum(part.seconds[count] for part in parts) == pytest.approx(everything)


def test_parts_are_those_of_the_plan(composite: Composite, costs: Costs) -> None:
    parts = {(p.kind, p.name): p for p in profile_parts(composite, costs, costs)}
    assert list(parts) == [
        ("source", "a"),
        ("source", "b"),
        ("wire", "a:layer1 -> b:layer1"),
        ("wire", "b:layer2 -> a:layer2"),
        ("head", "label"),
        ("other", "image and answers"),
    ]
    block = parts["wire", "a:layer1 -> b:layer1"]
    assert block.macs == 16 * 16 * 9 * 32 * 32
    assert block.parameters == 16 * 16 * 9 + 3 * 16
    bare = parts["wire", "b:layer2 -> a:layer2"]
    assert (bare.macs, bare.parameters) == (0, 0)
    assert bare.seconds[1] > 0  # its sum
    assert parts["other", "image and answers"].macs == 0
    assert parts["other", "image and answers"].parameters == 0


def test_data_and_rows(composite: Composite, costs: Costs) -> None:
    parts = profile_parts(composite, costs, costs)
    whole = {"eager": {1: 0.002, 4: 0.004}, "optimised": {1: 0.001, 4: 0.001}}
    profile = Profile(parts, whole, {"eager": costs.peak}, 1, ("folded",))
    data = profile_data(profile)
    for count in ("1", "4"):
        assert sum(part["share"][count] for part in data["parts"]) == pytest.approx(1)
        together = sum(part["ms"][count] for part in data["parts"])
        assert together == pytest.approx(data["sum"]["ms"][count])
    assert data["whole"]["eager"]["peak_bytes"] == {"1": costs.peak[1], "4": costs.peak[4]}
    assert data["whole"]["optimised"]["peak_bytes"] is None
    for rows in (part_rows(profile), time_rows(profile)):
        assert [row[0] for row in rows] == [
            "source a",
            "source b",
            "a:layer1 -> b:layer1",
            "b:layer2 -> a:layer2",
            "head label",
            "image and answers",
            "sum",
        ]
    assert part_rows(profile)[-1][1] == f"{cost(composite).macs / 1e6:.2f} M"
    assert engine_rows(profile)[1][:5] == ("optimised", "1.00", "2.00", "1.00", "4.00")


def test_calls_take_turns() -> None:
    order: list[str] = []

    def call(name: str) -> object:
        return lambda given: order.append(name)

    calls = {name: call(name) for name in "xyz"}
    found = side_by_side(calls, torch.zeros(1), seconds=0)  # pyright: ignore[reportArgumentType]
    assert list(found) == ["x", "y", "z"]
    turns = order[3:]
    assert turns[0] == "x"
    assert turns[12] == "y"
    assert turns[24] == "z"
    assert len({turns.count(name) for name in "xyz"}) == 1
