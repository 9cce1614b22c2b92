"""What each strategy writes, as text, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from convgraft.compose import compose
from convgraft.errors import UsageError
from convgraft.plan import parse_plan
from convgraft.sources import Source
from convgraft.strategies import LOSSES, STRATEGIES, Ingredients, StrategyOptions, write_recipe
from convgraft.studies import Design, build_arm
from convgraft.training import work_out
from helpers import small

A_LABEL = "head label = linear(a:flatten) classes=7"
B_LABEL = "head label = linear(b:flatten) classes=7"
BOTH = "head label = linear(a:flatten, b:flatten) classes=7"
BLOCKS = ", ".join(f"{s}:{tap}" for s in "ab" for tap in ("layer1", "layer2", "layer3", "flatten"))
STITCH = "wire a:layer2 -> b:layer2 join=replace adapter=residual3x3 start=ridge"
KIND = "head kind_ = linear(a:flatten, b:flatten) classes=3"  # "kind" is a word of selections
OWN_HEADS = [f"head {name} = linear({name}:flatten) classes=7" for name in "ab"]


def both_ways(tap: str, adapter: str = "identity", start: str = "zero") -> list[str]:
    ends = f"join=add adapter={adapter} start={start}"
    return [f"wire a:{tap} -> b:{tap} {ends}", f"wire b:{tap} -> a:{tap} {ends}"]


def given(count: int = 2, **options: Any) -> Ingredients:
    sources: dict[str, Source] = {name: small(seed) for seed, name in enumerate("abc"[:count])}
    return Ingredients(sources, 16, 7, StrategyOptions(**options))


def written(strategy: str, count: int = 2, **options: Any) -> list[str]:
    """The lines of the plan after its size and sources; checked to compile and to be read back."""
    found = given(count, **options)
    columns = {"kind": 3} if strategy == "multitask" else {}
    found = Ingredients(found.sources, 16, 7, found.options, columns)
    arm = build_arm(Design(strategy, found.options, loss="task"), found)
    assert parse_plan(str(arm.plan)) == arm.plan
    compose(arm.plan, arm.sources)
    lines = str(arm.plan).splitlines()
    return [line for line in lines if not line.startswith(("image", "source"))]


@pytest.mark.parametrize(
    ("strategy", "options", "lines"),
    [
        (
            "cross-skip",
            {},
            [*both_ways("layer1"), *both_ways("layer2"), *both_ways("layer3"), BOTH],
        ),
        (
            "cross-skip",
            {"taps": "*:layer2", "start": "one", "adapter": "conv1x1"},
            [*both_ways("layer2", "conv1x1", "one"), BOTH],
        ),
        (
            "cross-skip",
            {"taps": "*:layer2", "direction": "forward"},
            [both_ways("layer2")[0], BOTH],
        ),
        (
            "cross-skip",
            {"taps": "*:layer2", "direction": "backward"},
            [both_ways("layer2")[1], BOTH],
        ),
        ("stitch", {}, [STITCH, B_LABEL]),
        ("stitch", {"classifier": "own"}, [STITCH, "head label = identity(b:fc)"]),
        (
            "stitch",
            {"at": "layer1:layer2", "adapter": "block"},
            ["wire a:layer1 -> b:layer2 join=replace adapter=block start=one", B_LABEL],
        ),
        ("parallel", {}, [BOTH]),
        (
            "parallel",
            {"fusion": "attention", "hidden": (8, 4), "dropout": 0.5},
            [BOTH.replace("linear", "mlp") + " hidden=8,4 dropout=0.5 fusion=attention"],
        ),
        (
            "cascade",
            {},
            ["wire a:layer3 -> b:input join=replace adapter=conv1x1 start=one", B_LABEL],
        ),
        (
            "cascade",
            {"via": "probabilities", "into": "layer1", "join": "add"},
            ["wire a:fc -> b:layer1 join=add adapter=softmax start=zero", B_LABEL],
        ),
        (
            "cascade",
            {"via": "features"},
            ["wire a:flatten -> b:input join=replace adapter=dense start=one", B_LABEL],
        ),
        ("multitask", {}, [KIND + " column=kind", BOTH]),
        ("multitask", {"fusion": "se"}, [KIND + " fusion=se column=kind", f"{BOTH} fusion=se"]),
        ("ensemble", {}, [*OWN_HEADS, "head label = average(heads:a, heads:b)"]),
        (
            "ensemble",
            {"vote": "plurality"},
            [*OWN_HEADS, "head label = plurality(heads:a, heads:b)"],
        ),
        ("ladder", {}, [f"head label = linear({BLOCKS}) classes=7"]),
        ("ladder", {"head": "side"}, [f"head label = side({BLOCKS}) classes=7"]),
        (
            "ladder",
            {"head": "mlp", "taps": "b:layer1"},
            ["head label = mlp(b:layer1) classes=7 hidden=256"],
        ),
        (
            "fixed-filters",
            {"filters": "sobel"},
            [
                "wire filters_a:filter -> a:input join=replace adapter=conv1x1 start=one",
                "wire filters_b:filter -> b:input join=replace adapter=conv1x1 start=one",
                BOTH,
            ],
        ),
        ("probe", {}, [*OWN_HEADS, "head label = average(heads:a, heads:b)"]),
        ("finetune", {}, [*OWN_HEADS, "head label = average(heads:a, heads:b)"]),
    ],
)
def test_the_plan_that_is_written(strategy: str, options: dict[str, Any], lines: list[str]) -> None:
    expected = (
        [line.replace("kind_", "kind") for line in lines] if strategy == "multitask" else lines
    )
    assert [line.replace("kind_", "kind") for line in written(strategy, **options)] == expected


@pytest.mark.parametrize("strategy", [name for name, row in STRATEGIES.items() if row.least == 1])
def test_what_needs_one_network_writes_a_plan_for_one(strategy: str) -> None:
    *_, last = written(strategy, 1)
    taps = "a:layer1, a:layer2, a:layer3, a:flatten" if strategy == "ladder" else "a:flatten"
    assert last == f"head label = linear({taps}) classes=7"


def test_a_filter_bank_of_one_network_is_called_filters() -> None:
    arm = build_arm(Design("fixed-filters", StrategyOptions(into="relu")), given(1))
    assert [ref.network for ref in arm.plan.sources] == ["module:CifarResNet", "filters/gaussian"]
    assert str(arm.plan.wires[0]) == "filters:filter -> a:relu"
    assert arm.sources["filters"].preprocessing.mean == arm.sources["a"].preprocessing.mean


def test_three_networks() -> None:
    assert len(written("cascade", 3)) == 3
    assert len([line for line in written("cross-skip", 3) if "wire" in line]) == 12
    assert "c:flatten" in written("parallel", 3)[-1]


def test_teachers_answer_with_their_own_classifiers_and_vote() -> None:
    sources = {"a": small(), "label": small(1, classes=7), "c": small(2, classes=7)}
    arm = build_arm(Design("distil"), Ingredients(sources, 16, 7))
    assert str(arm.plan).splitlines()[-4:] == [
        "head label_ = identity(label:fc)",
        "head c = identity(c:fc)",
        "head teacher = average(heads:label_, heads:c)",
        A_LABEL,
    ]
    assert arm.loss is not None
    assert str(arm.loss) == "1 x task(label) + 1 x distil(label, teacher)"
    assert (arm.loss.keep, arm.loss.teachers) == (("label",), ("label", "c"))


@pytest.mark.parametrize(
    ("strategy", "options", "message"),
    [
        ("cross-skip", {"direction": "sideways"}, "both or forward or backward"),
        ("cross-skip", {"taps": "*:layer9"}, 'selects no map in source "a"'),
        ("cross-skip", {"taps": "*:flatten"}, 'selects no map in source "a"'),
        ("cross-skip", {"taps": "kind:blok"}, "did you mean block"),
        ("stitch", {"at": "layer9"}, "layer9"),
        ("cascade", {"via": "logits"}, "map, features, probabilities"),
        ("cascade", {"into": "inputt"}, "did you mean input"),
        ("cascade", {"join": "addd"}, "did you mean add"),
        ("parallel", {"fusion": "atention"}, "did you mean attention"),
        ("ladder", {"head": "tower"}, "linear, ridge, mlp, side"),
        ("ladder", {"head": "side", "hidden": (8,)}, "only an mlp has hidden layers"),
        ("cascade", {"start": "zero"}, "--join add"),
        ("stitch", {"classifier": "own", "hidden": (8,)}, "as it is"),
        ("stitch", {"classifier": "mine"}, "new or own"),
        ("ladder", {"taps": "layer9"}, "selects no tap"),
        ("ensemble", {"vote": "plural"}, "did you mean plurality"),
        ("fixed-filters", {"filters": "gausian"}, "did you mean gaussian"),
        ("fixed-filters", {"into": "layr1"}, "did you mean"),
    ],
)
def test_choices_that_do_not_exist(strategy: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        written(strategy, **options)


def test_what_needs_more_than_it_is_given() -> None:
    with pytest.raises(UsageError, match="between two networks"):
        written("stitch", 3)
    with pytest.raises(UsageError, match="several label columns"):
        STRATEGIES["multitask"].write(given())
    with pytest.raises(UsageError, match="10 classes apart"):
        STRATEGIES["distil"].write(given())
    with pytest.raises(UsageError, match="in front of each network"):
        STRATEGIES["fixed-filters"].write(given())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_options_that_a_strategy_does_not_read_are_refused(strategy: str) -> None:
    unread = {"direction", "via", "at", "vote", "head"} - set(STRATEGIES[strategy].options)
    assert unread
    for name in unread:
        with pytest.raises(UsageError, match=f"does not know --{name}"):
            build_arm(Design(strategy, asked=("hidden", name)), given())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_option_of_a_row_exists(strategy: str) -> None:
    assert set(STRATEGIES[strategy].options) <= set(vars(StrategyOptions()))
    assert STRATEGIES[strategy].loss in LOSSES


@pytest.mark.parametrize("loss", ["mse", "final", "two-stage"])
def test_matching_needs_something_to_match(loss: str) -> None:
    found = given()
    plan = STRATEGIES["parallel"].write(found)
    with pytest.raises(UsageError, match="replace wire"):
        write_recipe(plan, found.sources, found, loss)


def test_losses_that_do_not_fit() -> None:
    with pytest.raises(UsageError, match="two or more"):
        build_arm(Design("probe", loss="co-learning"), given(1))
    with pytest.raises(UsageError, match="teacher's answer"):
        build_arm(Design("parallel", loss="distil"), given())
    with pytest.raises(UsageError, match="did you mean co-learning"):
        build_arm(Design("parallel", loss="colearning"), given())
    two = Ingredients(given().sources, 16, 7, columns={"kind": 3})
    with pytest.raises(UsageError, match="one label column"):
        build_arm(Design("multitask", loss="co-learning"), two)


def test_tasks_are_weighed_by_column() -> None:
    two = Ingredients(given().sources, 16, 7, columns={"kind": 3})
    arm = build_arm(Design("multitask", task_weights={"kind": 0.5}, balance="uncertainty"), two)
    assert arm.loss is not None
    (stage,) = arm.loss.stages
    assert [term.weight for term in stage.terms] == [0.5, 1.0]
    assert (stage.balance, arm.loss.judged) == ("uncertainty", arm.plan.trained)
    with pytest.raises(UsageError, match='"kin"'):
        build_arm(Design("multitask", task_weights={"kin": 0.5}), two)
    with pytest.raises(UsageError, match="did you mean gradnorm"):
        build_arm(Design("multitask", balance="gradnrm"), two)


@pytest.mark.parametrize(
    ("design", "message"),
    [
        (Design("parallel", StrategyOptions(fusion="bilinear"), loss="co-learning"), "bilinear"),
        (Design("ladder", StrategyOptions(head="side"), loss="co-learning"), "side"),
        (Design("ensemble", StrategyOptions(vote="weighted"), loss="co-learning"), "weighted"),
        (Design("stitch", loss="co-learning"), "whole networks"),
        (Design("stitch", loss="mse", balance="uncertainty"), "several tasks"),
        (Design("parallel", balance="gradnorm"), "several tasks"),
    ],
)
def test_losses_and_balances_that_would_be_lost(design: Design, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_arm(design, given())


def test_a_filter_bank_is_no_network_to_learn_from() -> None:
    one = replace(given(), sources={"a": small()})
    with pytest.raises(UsageError, match="two or more"):
        build_arm(Design("fixed-filters", loss="co-learning"), one)


@pytest.mark.parametrize("preset", ["discriminative", "all", "gradual"])
def test_fixed_filters_stay_fixed_under_any_policy(preset: str) -> None:
    arm = build_arm(Design("fixed-filters", freeze=preset), given())
    freeze = work_out(arm.policy, compose(arm.plan, arm.sources))
    kernels = [rate for name, rate in freeze.rates.items() if name.startswith("sources.filters")]
    assert kernels
    assert not any(kernels)
