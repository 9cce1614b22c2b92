"""Which weights a loss changes: as told, as autograd has it, and as a step of training does it."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from convgraft.compose import Composite, compose
from convgraft.layers import build_adapter
from convgraft.layers.joins import Concat, CrossFade
from convgraft.layers.side import SideBlock, SideHead
from convgraft.plan import Plan, TapRef, Wire
from convgraft.sources import source
from convgraft.strategies import STRATEGIES, Ingredients, write_recipe
from convgraft.training import PRESETS, FreezePolicy, Loss, one_phase
from convgraft.training.gradient_check import verify
from convgraft.training.gradient_words import in_words, rows
from convgraft.training.gradients import (
    ONLY_GOAL,
    PRUNED,
    UNREACHED,
    Reach,
    StageGradients,
    gradients,
)
from convgraft.training.zero_gates import zero_gates

Matching = tuple[Composite, Loss, StageGradients]
STITCHED = ("sources.a.conv1", "sources.a.bn1", "sources.a.layer1", "adapters.a:layer1->b:layer1")


def recipe(given: Ingredients, strategy: str, loss: str, **options: str) -> tuple[Composite, Loss]:
    given = replace(given, options=replace(given.options, **options))
    plan = STRATEGIES[strategy].write(given)
    made = write_recipe(plan, given.sources, given, loss)
    return compose(made.plan, made.sources), made.loss


def stitched(given: Ingredients, loss: str) -> tuple[Composite, Loss]:
    return recipe(given, "stitch", loss, at="layer1", adapter="conv1x1", classifier="own")


@pytest.fixture(scope="module")
def matching(given: Ingredients) -> Matching:
    """A stitch after layer1 under the loss `mse`, and what it changes where all is open."""
    composite, loss = stitched(given, "mse")
    return composite, loss, first(composite, PRESETS["all"], loss)


def first(composite: Composite, policy: FreezePolicy, loss: Loss) -> StageGradients:
    return gradients(composite, policy, loss)[0]


def by_name(told: StageGradients) -> dict[str, Reach]:
    return {reach.name: reach for reach in told.reaches}


def changed(told: StageGradients) -> set[str]:
    return {reach.name for reach in told.reaches if reach.changes}


def below(composite: Composite, *paths: str) -> set[str]:
    names = [name for name, _ in composite.named_parameters()]
    return {n for n in names if any(n.startswith(f"{path}.") for path in paths)}


def test_mse_changes_the_front_and_the_adapter_alone(matching: Matching) -> None:
    composite, _, told = matching
    assert changed(told) == below(composite, *STITCHED)
    reaches = by_name(told)
    assert reaches["sources.b.layer2.0.conv1.weight"].why == UNREACHED
    assert reaches["sources.a.layer2.0.conv1.weight"].why == PRUNED
    assert reaches["sources.b.conv1.weight"].why == PRUNED
    assert reaches["sources.b_teacher.conv1.weight"].why == ONLY_GOAL
    assert reaches["sources.a.conv1.weight"].why == "learns from match(match0)"
    # and nothing in the back is held: its statistics move, though no weight of it does
    assert set(told.moving_statistics) == {"sources.b"}


def test_a_step_of_training_changes_what_was_told_and_nothing_else(matching: Matching) -> None:
    composite, loss, told = matching
    composite = copy.deepcopy(composite)
    weights = dict(composite.named_parameters())
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    composite.train()
    outputs = composite(torch.rand(4, 3, 8, 8))
    torch.stack(loss.stages[0].losses(composite.plan, outputs, {})).sum().backward()
    torch.optim.AdamW(composite.parameters(), lr=0.1, weight_decay=0.1).step()
    assert {n for n, w in weights.items() if not torch.equal(w, before[n])} == changed(told)


def test_task_reaches_the_back_too(given: Ingredients) -> None:
    composite, loss = stitched(given, "task")
    told = first(composite, PRESETS["all"], loss)
    assert changed(told) == {name for name, _ in composite.named_parameters()}
    assert "sources.b.layer2.0.conv1.weight" in changed(told)
    assert told.moving_statistics == {}


def test_frozen_layers_let_the_gradient_pass(given: Ingredients) -> None:
    composite, loss = stitched(given, "task")
    told = first(composite, PRESETS["adapters-only"], loss)
    assert changed(told) == below(composite, "adapters.a:layer1->b:layer1")
    reach = by_name(told)["sources.b.layer2.0.conv1.weight"]
    assert (reach.receives, reach.terms) == (False, ("task(label)",))
    assert reach.why == "frozen by the rule `**`"


def test_heads_only_of_two_stages(given: Ingredients) -> None:
    composite, loss = recipe(given, "stitch", "two-stage", at="layer1", adapter="conv1x1")
    match, task = gradients(composite, PRESETS["heads-only"], loss)
    assert changed(match) == set()
    assert changed(task) == below(composite, "heads.label")
    assert verify(composite, match).disagreements == ()
    assert by_name(match)["heads.label.classifier.weight"].why == UNREACHED


def test_rates_and_rules_are_named(given: Ingredients) -> None:
    composite, loss = recipe(given, "parallel", "task")
    policy = one_phase("mine", ("**", 0.1), ("heads", 1.0), ("a:layer1*", 0.0))
    reaches = by_name(first(composite, policy, loss))
    assert reaches["sources.a.layer1.0.conv1.weight"].why == "frozen by the rule `a:layer1*`"
    assert reaches["sources.b.layer1.0.conv1.weight"].why == (
        "learns at 0.1 of the rate from task(label)"
    )


def test_co_learning_reaches_both_networks_from_every_head_that_reads_them(
    given: Ingredients,
) -> None:
    composite, loss = recipe(given, "parallel", "co-learning")
    reaches = by_name(first(composite, PRESETS["all"], loss))
    mutual = "mutual(a, b, label)"
    assert reaches["sources.a.conv1.weight"].terms == ("task(a)", "task(label)", mutual)
    assert reaches["sources.b.conv1.weight"].terms == ("task(b)", "task(label)", mutual)
    assert reaches["heads.a.classifier.weight"].terms == ("task(a)", mutual)
    assert reaches["sources.a.fc.weight"].why == PRUNED


def test_before_a_gate_at_zero_the_gradient_is_zero(given: Ingredients) -> None:
    composite, loss = recipe(given, "cross-skip", "task", adapter="conv1x1")
    told = first(composite, PRESETS["all"], loss)
    adapters = [reach for reach in told.reaches if reach.name.startswith("adapters.")]
    assert {reach.gate for reach in adapters if "gate.scale" in reach.name} == {""}
    assert {reach.gate for reach in adapters if "gate.scale" not in reach.name} == {"first"}
    assert {reach.gate for reach in told.reaches if reach.part == "sources.a"} == {""}
    verified = verify(composite, told)
    assert verified.disagreements == ()
    # once the gates are open, it is not
    with torch.no_grad():
        for name, weight in composite.named_parameters():
            if name.endswith("gate.scale"):
                weight.fill_(0.5)
    assert {r.gate for r in first(composite, PRESETS["all"], loss).reaches} == {""}
    assert "should receive a gradient of zero" in verify(composite, told).disagreements[0]


def test_a_source_that_leads_to_the_loss_by_a_frozen_gate_alone(given: Ingredients) -> None:
    wire = Wire((TapRef("a", "layer1"),), TapRef("b", "layer1"), "add", "conv1x1", "zero")
    head = given.dense_head("label", [given.features("b")])
    composite = compose(Plan(given.image_size, given.refs, (wire,), (head,)), given.sources)
    policy = one_phase("mine", ("adapters", 0.0))
    told = gradients(composite, policy)[0]
    assert by_name(told)["sources.a.conv1.weight"].gate == "always"
    assert by_name(told)["sources.b.conv1.weight"].gate == ""
    assert verify(composite, told).disagreements == ()


def test_a_teacher_gets_nothing(given: Ingredients) -> None:
    composite, loss = recipe(given, "distil", "distil")
    told = first(composite, PRESETS["all"], loss)
    teacher = [reach for reach in told.reaches if reach.part == "sources.b"]
    assert {(reach.why, reach.receives, reach.changes) for reach in teacher} == {
        (ONLY_GOAL, False, False)
    }
    assert "sources.b" not in told.moving


def test_statistics_that_a_policy_keeps_do_not_move(given: Ingredients) -> None:
    composite, loss = recipe(given, "parallel", "task")
    told = first(composite, PRESETS["frozen-statistics"], loss)
    assert "sources.a" not in told.moving
    assert "sources.a.bn1.weight" in changed(told)
    assert verify(composite, told).disagreements == ()


PAIRS = [
    *((strategy, list(PRESETS)[n % len(PRESETS)]) for n, strategy in enumerate(STRATEGIES)),
    *((strategy, "all") for strategy in ("stitch", "cascade")),
]


@pytest.mark.parametrize(("strategy", "preset"), PAIRS)
def test_autograd_agrees_for_every_strategy(strategy: str, preset: str, given: Ingredients) -> None:
    row = STRATEGIES[strategy]
    brought = {
        name: source(spec)
        for name, (spec, _) in row.brings(list(given.sources), given.options).items()
    }
    columns = {"other": 3} if strategy == "multitask" else {}
    given = replace(given, sources={**given.sources, **brought}, columns=columns)
    composite, loss = recipe(given, strategy, row.loss)
    before = {name: value.clone() for name, value in composite.state_dict().items()}
    modes = [module.training for module in composite.modules()]
    for told in gradients(composite, PRESETS[preset], loss):
        assert verify(composite, told).disagreements == ()
        assert in_words(composite.plan, told)
    after = composite.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert modes == [module.training for module in composite.modules()]
    assert all(w.requires_grad and w.grad is None for w in composite.parameters())


def test_a_wrong_analysis_is_found_out(matching: Matching) -> None:
    composite, _, told = matching
    wrong = tuple(replace(reach, receives=not reach.receives) for reach in told.reaches)
    disagreements = verify(composite, replace(told, reaches=wrong)).disagreements
    assert any(s.startswith("sources.a.conv1.weight should receive no") for s in disagreements)
    assert any("sources.b.fc.weight should receive a" in s for s in disagreements)
    still = verify(composite, replace(told, moving={})).disagreements
    assert any("statistics of sources.b.layer2" in sentence for sentence in still)


def test_words_and_rows(matching: Matching) -> None:
    composite, loss, _ = matching
    told = first(composite, PRESETS["adapters-only"], loss)
    words = in_words(composite.plan, told)
    assert "match(match0) compares what arrives at b:layer1 with b_teacher:layer1." in words
    assert "This changes adapter a:layer1->b:layer1 (272 weights); and no other weight." in words
    assert "frozen by the rule `**`: conv1, bn1, layer1 of source a" in words
    found = rows(told.reaches)
    assert sum(row.weights for row in found) == sum(reach.weights for reach in told.reaches)
    assert [str(row) for row in found][:2] == [
        "sources.a: conv1, bn1, layer1",
        "sources.a: layer2, layer3, fc",
    ]


def test_layers_that_differ_in_rate_alone_are_one_row(given: Ingredients) -> None:
    composite, loss = recipe(given, "parallel", "task")
    found = rows(first(composite, PRESETS["layer-decay"], loss).reaches)
    learning = [row for row in found if row.changes and row.part == "sources.a"]
    assert len(learning) == 1 and len(learning[0].rates) > 5
    assert " to 0.3 of the rate" in learning[0].why


def modules_with_zero_gates() -> list[tuple[nn.Module, list[tuple[int, ...]]]]:
    zero_norm = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    nn.init.zeros_(zero_norm[1].weight)
    plain = [(2, 4, 3, 3)]
    return [
        (build_adapter("block", (4, 3, 3), (4, 3, 3), gated=True), plain),
        (build_adapter("residual", (4, 3, 3), (4, 3, 3), gated=False), plain),
        (build_adapter("residual", (4, 3, 3), (4, 3, 3), gated=True), plain),
        (CrossFade(4, 0.0), plain * 2),
        (CrossFade(4, 1.0), plain * 2),
        (CrossFade(4, 0.5), plain * 2),
        (Concat(4, 8, gated=True), plain * 3),
        (Concat(4, 4, gated=False), plain * 2),
        (SideHead([(4, 3, 3), (4, 3, 3)], 3), plain * 2),
        (SideBlock(4), [(2, 4)]),
        (zero_norm, plain),
    ]


@pytest.mark.parametrize(("module", "shapes"), modules_with_zero_gates())
def test_zero_gates_against_autograd(module: nn.Module, shapes: list[tuple[int, ...]]) -> None:
    inputs = [torch.rand(shape, requires_grad=True) for shape in shapes]
    output = module(*inputs)
    (output * torch.rand_like(output)).sum().backward()
    quiet = {name for name, w in module.named_parameters() if not w.grad.any()}
    shut = {place for place, value in enumerate(inputs) if not value.grad.any()}
    gates = zero_gates(module, len(shapes))
    if not isinstance(module, SideBlock):  # only whole side heads are looked into
        assert {name for gate in gates for name in gate.weights} == quiet
    assert {place for gate in gates for place in gate.inputs} == shut
