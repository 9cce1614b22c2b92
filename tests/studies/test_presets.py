"""The preset studies: which arms they have, what learns in them, and what they refuse."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import torch

from convgraft.compose import compose
from convgraft.errors import UsageError
from convgraft.layers import FUSIONS
from convgraft.sources import source
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.studies import STUDIES, Entry, entries, find_study, taking, wire_gates
from convgraft.training import work_out
from helpers import Tiny, opened


def ingredients(classes: int = 10) -> Ingredients:
    sources = {"a": opened("cifar_resnet20"), "b": opened("cifar_resnet20", seed=1)}
    return Ingredients(sources, 16, classes)


def planned(name: str, given: Ingredients | None = None, **changes: Any) -> dict[str, Entry]:
    study = replace(find_study(name), **changes)
    return {entry.name: entry for entry in entries(study, taking(study, given or ingredients()))}


def small() -> Ingredients:
    """Networks of two layers, for what is not about stages or weights."""
    return Ingredients({name: source(Tiny(seed=n)) for n, name in enumerate("ab")}, 16, 5)


@lru_cache
def preset(name: str) -> dict[str, Entry]:
    return planned(name, small() if name in ("strategies", "directions") else None)


def learning(entry: Entry) -> set[str]:
    """The parts, and of sources the names, in which a weight learns."""
    assert entry.arm is not None
    rates = work_out(entry.arm.policy, compose(entry.arm.plan, entry.arm.sources)).rates
    paths = [name.split(".") for name, rate in rates.items() if rate > 0]
    return {path[1] if path[0] == "sources" else path[0] for path in paths}


def test_an_unknown_study_is_told_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="no study called") as told:
        find_study("stiches")
    assert told.value.hint == "did you mean stitches?"


def test_every_preset_has_a_question_and_its_own_name() -> None:
    assert all(study.name == name and study.words for name, study in STUDIES.items())


def test_strategies_has_every_strategy_that_the_given_networks_allow() -> None:
    given = replace(small(), columns={"kind": 3})
    plain, several = preset("strategies"), planned("strategies", given)
    assert set(several) - set(plain) == {"multitask"}
    for strategy in set(STRATEGIES) - {"multitask", "distil"}:
        assert any(name.startswith(strategy) for name in plain), strategy
    assert {f"parallel-{fusion}" for fusion in FUSIONS} < set(plain)
    raw, gated = plain["cross-skip-one"].arm, plain["cross-skip"].arm
    assert raw is not None and {wire.start for wire in raw.plan.wires} == {"one"}
    assert gated is not None and {wire.start for wire in gated.plan.wires} == {"zero"}


def test_every_arm_composes() -> None:
    for entry in (*preset("strategies").values(), *planned("co-learning", small()).values()):
        if entry.arm is not None:
            compose(entry.arm.plan, entry.arm.sources)


def test_fixed_filters_trains_the_classifier_alone_unless_it_says_otherwise() -> None:
    found = preset("fixed-filters")
    assert learning(found["gaussian"]) == learning(found["random-weights"]) == {"heads"}
    assert learning(found["sobel"]) == {"heads", "adapters"}  # six channels have to become three
    assert learning(found["gaussian-learned"]) == {"heads", "filters"}
    assert learning(found["from-scratch"]) == {"heads", "a"}
    assert [name for name in found if name.startswith("average")] == []


def test_random_weights_are_other_weights_of_the_same_network() -> None:
    found = preset("fixed-filters")
    trained, random = found["probe-a"].arm, found["random-weights"].arm
    assert trained is not None and random is not None
    ours, theirs = (arm.sources["a"].module.state_dict() for arm in (trained, random))
    assert {n: t.shape for n, t in ours.items()} == {n: t.shape for n, t in theirs.items()}
    assert not torch.equal(ours["conv1.weight"], theirs["conv1.weight"])


def test_directions_ablates_each_direction() -> None:
    wires = {
        name: {(w.inputs[0].source, w.target.source, w.start) for w in entry.arm.plan.wires}
        for name, entry in preset("directions").items()
        if entry.kind == "join" and entry.arm
    }
    assert wires["forward-zero"] == {("a", "b", "zero")}
    assert wires["backward-one"] == {("b", "a", "one")}
    assert wires["both-zero"] == {("a", "b", "zero"), ("b", "a", "zero")}
    assert len(wires) == 6


def test_stitches_go_both_ways_at_every_stage_each_beside_a_random_front() -> None:
    given = ingredients()
    found = planned("stitches", given)
    every = [name for name, entry in found.items() if entry.kind == "join"]
    joins = [name for name in every if "solved" not in name]
    assert joins == [f"{way}-layer{n}" for n in (1, 2, 3) for way in ("a-b", "b-a")]
    assert set(every) == {
        f"{name}{end}" for name in joins for end in ("", "-solved", "-solved-3x3")
    }
    for name in joins:
        arm, control = found[name].arm, found[f"{name}-random"].arm
        assert arm is not None and control is not None
        front, back = name.split("-")[:2]
        assert arm.plan.wires == control.plan.wires
        solved = found[f"{name}-solved-3x3"].arm
        assert solved is not None and solved.solved
        assert solved.plan.wires[0].adapter == "ridge3x3"
        assert arm.plan.wires[0].target.source == back
        assert arm.sources[front] is given.sources[front]
        assert control.sources[front] is not given.sources[front]
        assert control.sources[back] is given.sources[back]
    assert learning(found["b-a-layer2"]) == {"adapters"}
    assert {"own-a", "own-b", "average-own"} < set(found)


def test_stitches_need_networks_that_know_the_classes() -> None:
    with pytest.raises(UsageError, match="own classifiers") as told:
        planned("stitches", ingredients(classes=8))
    assert (told.value.expected, told.value.found) == ("8, as the data has", "10")


def test_a_policy_for_the_study_frees_what_learns_and_nothing_else() -> None:
    found = planned("strategies", small(), freeze="all")
    policies = {name: entry.arm.policy.name for name, entry in found.items() if entry.arm}
    assert policies["cross-skip"] == policies["stitch"] == policies["finetune-b"] == "all"
    assert policies["ladder-mlp"] == policies["probe-a"] == "heads-only"


def test_some_arms_can_be_asked_for_and_an_average_brings_its_members() -> None:
    some = planned("directions", small(), only=("forward-one", "average-finetune"))
    assert list(some) == ["forward-one", "finetune-a", "finetune-b", "average-finetune"]
    with pytest.raises(UsageError, match='no arm called "foward-one"') as told:
        planned("directions", small(), only=("foward-one",))
    assert "forward-one" in (told.value.hint or "")


def test_a_study_of_networks_together_needs_two() -> None:
    given = small()
    with pytest.raises(UsageError, match="compares networks"):
        planned("ladder", replace(given, sources={"a": given.sources["a"]}))


def test_gates_are_the_mean_distance_from_zero_of_each_wire() -> None:
    arm = preset("directions")["both-zero"].arm
    assert arm is not None
    network = compose(arm.plan, arm.sources)
    assert set(wire_gates(network)) == {str(wire) for wire in arm.plan.wires}
    assert set(wire_gates(network).values()) == {0.0}
    first = arm.plan.wires[0]
    name = f"adapters.{first.adapter_name(first.inputs[0])}.gate.scale"
    with torch.no_grad():
        network.get_parameter(name)[:8] = -0.5
    gates = wire_gates(network)
    assert gates[str(first)] == pytest.approx(0.5 * 8 / len(network.get_parameter(name)))
    assert sum(gates.values()) == gates[str(first)]


def test_wires_that_start_at_one_have_no_gate() -> None:
    arm = preset("directions")["both-one"].arm
    assert arm is not None
    assert wire_gates(compose(arm.plan, arm.sources)) == {}
