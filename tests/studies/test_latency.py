"""What an image takes: measured once for an arm, without a trace in the network or in chance."""

from __future__ import annotations

import time

import pytest
import torch

from convgraft.compose import Composite, compose
from convgraft.sources import source
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.studies import latency
from convgraft.studies.latency import known_latency, latency_of
from helpers import Tiny


@pytest.fixture
def network() -> Composite:
    given = Ingredients({"a": source(Tiny(classes=3))}, 8, 3)
    return compose(STRATEGIES["probe"].write(given), given.sources)


def test_it_is_milliseconds_of_one_image_and_nothing_else_changes(network: Composite) -> None:
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    began = time.perf_counter()
    found = latency_of(network)
    spent = 1000 * (time.perf_counter() - began)
    assert list(found) == ["1", "32"]
    assert all(0 < value < spent for value in found.values())
    assert network.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_batch_of_images_is_told_for_one_of_them(
    network: Composite, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(latency, "SECONDS", 1000)
    monkeypatch.setattr(latency.time, "perf_counter", lambda: float(next(clock)))
    # each pass begins one tick after it was asked whether there is time, and ends a tick later
    assert latency_of(network, (4,)) == {"4": 250.0}


def test_a_slow_network_has_one_pass(network: Composite, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    network.register_forward_hook(lambda module, given, found: passes.append(len(given[0])))
    monkeypatch.setattr(latency, "fastest_format", lambda composite: torch.contiguous_format)
    ticks = iter(range(0, 10_000, 5))
    monkeypatch.setattr(latency.time, "perf_counter", lambda: float(next(ticks)))
    monkeypatch.setattr(latency, "SECONDS", 8)  # less than a pass takes
    latency_of(network, (1, 32))
    assert passes == [1, 32]


def test_another_cell_knows_it_of_the_same_arm_at_the_same_cost() -> None:
    lines = [
        {"cell": "all-0", "arm": "x", "failed": "it fell over"},
        {"cell": "all-1", "arm": "x", "macs": 5, "test": {}},
        {"cell": "all-2", "arm": "x", "macs": 5, "test": {}, "latency": {"1": 2.0, "32": 0.5}},
    ]
    assert known_latency(lines, "x", 5) == {"1": 2.0, "32": 0.5}
    assert known_latency(lines, "x", 6) is None  # other wires
    assert known_latency(lines, "y", 5) is None
