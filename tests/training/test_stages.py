"""Stages: which objective runs under which phase, for how long, and who never learns."""

from __future__ import annotations

import pytest

from convgraft.compose import Composite, compose
from convgraft.errors import UsageError
from convgraft.sources import Source
from convgraft.strategies import STRATEGIES, Ingredients, Recipe, StrategyOptions, write_recipe
from convgraft.training import PRESETS, FitOptions, FreezePolicy, Loss, Phase, Rule
from convgraft.training.check import check_reach
from convgraft.training.stages import plan_stages, share_epochs
from helpers import small


@pytest.mark.parametrize(
    ("asked", "epochs", "shared"),
    [
        ([None], 7, [7]),
        ([None, None], 7, [3, 4]),
        ([None, None, None], 3, [1, 1, 1]),
        ([None, 2, None], 7, [2, 2, 3]),
        ([5, None], 6, [5, 1]),
        ([2, 3], 99, [2, 3]),
    ],
)
def test_epochs_are_shared_out(asked: list[int | None], epochs: int, shared: list[int]) -> None:
    assert share_epochs(asked, epochs) == shared


@pytest.mark.parametrize(
    ("asked", "epochs", "least"), [([None, None], 1, 2), ([5, None], 5, 6), ([None, 4, None], 5, 6)]
)
def test_too_few_epochs(asked: list[int | None], epochs: int, least: int) -> None:
    with pytest.raises(UsageError, match=f"at least {least}"):
        share_epochs(asked, epochs)
    assert share_epochs(asked, least)


def stitched(loss: str, classifier: str = "new") -> tuple[Recipe, Composite]:
    sources: dict[str, Source] = {"a": small(), "b": small(1)}
    given = Ingredients(sources, 8, 10, StrategyOptions(classifier=classifier))
    recipe = write_recipe(STRATEGIES["stitch"].write(given), sources, given, loss)
    return recipe, compose(recipe.plan, recipe.sources)


def told(composite: Composite, policy: FreezePolicy, loss: Loss, epochs: int = 7) -> list[tuple]:
    stages = plan_stages(composite, policy, loss, FitOptions(epochs))
    return [(one.name, one.objective.terms[0].kind, one.options.epochs) for one in stages]


def test_the_first_stages_of_a_loss_run_under_the_first_phase() -> None:
    recipe, composite = stitched("two-stage")
    assert told(composite, PRESETS["gradual"], recipe.loss) == [
        ("added parts", "match", 1),
        ("added parts", "task", 1),
        ("upper half", "task", 1),
        ("all", "task", 4),
    ]
    assert told(composite, PRESETS["adapters-only"], recipe.loss) == [
        ("adapters-only", "match", 3),
        ("adapters-only", "task", 4),
    ]


def test_a_stage_with_a_preset_of_its_own() -> None:
    recipe, composite = stitched("mse")
    assert told(composite, PRESETS["gradual"], recipe.loss) == [
        ("added parts", "match", 3),
        ("heads-only", "task", 4),
    ]


def test_a_loss_of_one_stage_goes_through_all_phases() -> None:
    recipe, composite = stitched("mse", classifier="own")
    assert [stage[:2] for stage in told(composite, PRESETS["gradual"], recipe.loss)] == [
        ("added parts", "match"),
        ("upper half", "match"),
        ("all", "match"),
    ]


@pytest.mark.parametrize("loss", ["mse", "final", "two-stage"])
@pytest.mark.parametrize("policy", ["all", "gradual", "frozen-statistics"])
def test_teachers_never_learn(loss: str, policy: str) -> None:
    recipe, composite = stitched(loss)
    assert recipe.loss.teachers == ("b_teacher",)
    for stage in plan_stages(composite, PRESETS[policy], recipe.loss, FitOptions(9)):
        own = {n: r for n, r in stage.freeze.rates.items() if n.startswith("sources.b_teacher")}
        assert own
        assert set(own.values()) == {0.0}
        assert "sources.b_teacher" in stage.freeze.held


def test_phases_bring_their_own_options() -> None:
    recipe, composite = stitched("task")
    every = (Rule("**"),)
    policy = FreezePolicy(
        "mine", (Phase("one", every, 2, lr=0.5), Phase("two", every, optimiser="sgd"))
    )
    one, two = plan_stages(composite, policy, recipe.loss, FitOptions(5, seed=3))
    assert (one.options.epochs, one.options.rate, one.options.optimiser) == (2, 0.5, "adamw")
    assert (two.options.epochs, two.options.rate, two.options.optimiser) == (3, 2e-2, "sgd")
    assert one.options.seed == two.options.seed == 3


def test_a_stage_whose_loss_reaches_nothing_that_learns_is_refused() -> None:
    recipe, composite = stitched("two-stage")
    stages = plan_stages(composite, PRESETS["lp-ft"], recipe.loss, FitOptions(5))
    learning = [parameter.requires_grad for parameter in composite.parameters()]
    with pytest.raises(UsageError, match=r'learns in "probe" has a part in the loss 1 x match'):
        check_reach(composite, stages)
    check_reach(composite, stages[1:])
    assert [parameter.requires_grad for parameter in composite.parameters()] == learning


def test_a_stage_is_told_by_all_that_makes_it_what_it_is() -> None:
    recipe, composite = stitched("task")

    def text(policy: str, **options: object) -> list[str]:
        given = FitOptions(3, **options)  # type: ignore[arg-type]
        return [str(one) for one in plan_stages(composite, PRESETS[policy], recipe.loss, given)]

    assert text("all") == text("all", workers=2)
    others = [
        text("discriminative"),
        text("lp-ft"),
        text("all", lr=0.1),
        text("all", schedule="constant"),
    ]
    assert all(other != text("all") for other in others)
    assert text("discriminative") != text("frozen-statistics")
