"""A run as a source obeys the outer freeze policy, not what was frozen when it was made."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from convgraft.compose import Composite, compose, cost
from convgraft.export import load, save
from convgraft.opening import compile_plan, open_network
from convgraft.plan import parse_plan
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.training import PRESETS, FitOptions, FreezePolicy, Task, fit, one_phase

SIZE = 8
INNER = """\
image 8
source a = cifar_resnet20 classes=10
head label = linear(a:layer3) classes=10
"""
PART = one_phase("part", ("**", 1.0), ("x:sources.a.layer1*", 0.0), ("x:heads**", 0.0))


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Ingredients:
    network = compile_plan(parse_plan(INNER)).holding(["sources.a"])
    folder = save(tmp_path_factory.mktemp("runs") / "inner", network, labels="0123456789")
    sources = {"x": open_network(str(folder), load=False), "y": open_network("cifar_resnet20")}
    return Ingredients(sources, SIZE, 10)


def hashes(composite: Composite) -> dict[str, str]:
    return {
        name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
        for name, tensor in composite.state_dict().items()
    }


@pytest.mark.parametrize(
    ("policy", "prefix"),
    [
        (PRESETS["heads-only"], "sources."),
        (PART, "sources.x.sources.a.layer1"),
        (PART, "sources.x.heads"),
    ],
)
def test_frozen_parts_of_a_run_stay_equal_by_hash(
    given: Ingredients, digits_task: Task, policy: FreezePolicy, prefix: str
) -> None:
    composite = compose(STRATEGIES["parallel"].write(given), given.sources)
    before = hashes(composite)
    frozen = {name for name in before if name.startswith(prefix)}
    result = fit(composite, digits_task, policy, FitOptions(epochs=1, batch_size=50))
    after = hashes(result.composite)
    assert frozen
    assert {name for name in frozen if before[name] != after[name]} == set()
    assert any(before[name] != after[name] for name in before if name not in frozen)


def test_what_was_frozen_inside_learns_again(given: Ingredients, digits_task: Task) -> None:
    composite = compose(STRATEGIES["parallel"].write(given), given.sources)
    before = hashes(composite)
    result = fit(composite, digits_task, PRESETS["all"], FitOptions(epochs=1, batch_size=50))
    after = hashes(result.composite)
    inner = [name for name in before if name.startswith("sources.x.sources.a.")]
    assert inner
    assert all(before[name] != after[name] for name in inner)


def test_held_runs_are_held_after_loading(given: Ingredients, tmp_path: Path) -> None:
    twins = {"x": given.sources["x"], "y": given.sources["x"]}
    both = Ingredients(twins, SIZE, 10)
    composite = compose(STRATEGIES["parallel"].write(both), twins)
    held = composite.holding(["sources.x", "sources.y"])
    loaded = load(save(tmp_path / "outer", held, labels="0123456789")).composite
    assert cost(loaded).macs == cost(held).macs < 0.51 * cost(composite).macs
