"""What learns: by a freeze policy alone, and with `--gradients` by a loss too, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from convgraft.cli.console import print_table

if TYPE_CHECKING:
    from convgraft.compose import Composite
    from convgraft.sources import Source
    from convgraft.strategies import Recipe
    from convgraft.training import FreezePolicy

HEADER = ("part", "weights", "receives", "changes", "rate", "why")


def what_learns(composite: Composite, policy: FreezePolicy) -> list[dict[str, Any]]:
    """Per part of the network: weights that learn, weights that are frozen, and the rates."""
    from convgraft.training import work_out

    freeze = work_out(policy, composite)
    parts: dict[str, dict[str, Any]] = {}
    for name, parameter in composite.named_parameters():
        part = ".".join(name.split(".")[:2])
        row = parts.setdefault(part, {"part": part, "learn": 0, "frozen": 0, "rates": set()})
        rate = freeze.rates[name]
        row["learn" if rate else "frozen"] += parameter.numel()
        row["rates"].add(rate)
    return [{**row, "rates": sorted(row["rates"]), "policy": policy.name} for row in parts.values()]


def explain_gradients(
    composite: Composite, policy: FreezePolicy | None, loss: str, *, with_weights: bool
) -> list[dict[str, Any]]:
    """Per stage of a fit of the composite's plan: words, rows of a table, what autograd says.

    Args:
        policy: what a fit of a plan takes by default where not given.
        loss: a row of `convgraft.strategies.LOSSES`.
        with_weights: whether gates and the like are as the composite has them (else as at the
            start of a fit).

    Raises UsageError where plan, policy and loss do not go together.
    """
    from convgraft.cli.fit_steps import DEFAULT_FREEZE
    from convgraft.training import read_policy
    from convgraft.training.gradient_check import verify
    from convgraft.training.gradient_words import in_words, rows
    from convgraft.training.gradients import gradients

    network, recipe = with_loss(composite, loss, with_weights=with_weights)
    stages = []
    for told in gradients(network, policy or read_policy(DEFAULT_FREEZE), recipe.loss):
        verified = verify(network, told)
        stages.append(
            {
                "loss": str(told.stage.objective),
                "phase": told.stage.name,
                "words": in_words(recipe.plan, told).split("\n"),
                "rows": [{**vars(row), "name": str(row)} for row in rows(told.reaches)],
                "moving_statistics": told.moving_statistics,
                "disagreements": list(verified.disagreements),
                "zero_on_this_batch": list(verified.silent),
            }
        )
    return stages


def with_loss(composite: Composite, loss: str, *, with_weights: bool) -> tuple[Composite, Recipe]:
    """What a fit of the composite's plan under a loss trains, and its recipe.

    The arguments are those of `explain_gradients`.
    """
    from convgraft.compose import compose
    from convgraft.strategies import write_recipe

    plan, sources = composite.plan, composite.resolved.checked.sources
    recipe = write_recipe(plan, sources, _ingredients(composite, sources), loss)
    network = composite if recipe.plan == plan else compose(recipe.plan, recipe.sources)
    if with_weights:
        # a loss may bring heads of its own, of other shapes
        shapes = {name: value.shape for name, value in network.state_dict().items()}
        kept = {n: v for n, v in composite.state_dict().items() if shapes.get(n) == v.shape}
        network.load_state_dict(kept, strict=False)
    return network, recipe


def _ingredients(composite: Composite, sources: Mapping[str, Source]) -> Any:
    """What the losses want to know: the sources, and the number of classes."""
    from convgraft.strategies import Ingredients

    plan = composite.plan
    counts = {head.column: head.classes for head in plan.heads if head.classes}
    answer = next((h.classes for h in reversed(plan.heads) if h.classes and not h.column), None)
    classes = answer or sources[plan.sources[-1].name].classes
    columns = {name: count for name, count in counts.items() if name}
    return Ingredients(sources, plan.image_size, classes, columns=columns)


def print_gradients(stages: list[dict[str, Any]]) -> None:
    """The words, the table and the verdict of each stage, on standard output."""
    for number, stage in enumerate(stages, 1):
        print(f"\nstage {number} of {len(stages)}: {stage['loss']} ({stage['phase']})\n")
        print("\n".join(stage["words"]))
        print_table("", HEADER, [_cells(row) for row in stage["rows"]])
        for line in stage["disagreements"]:
            print(f"autograd disagrees: {line}")
        if not stage["disagreements"]:
            print("verified by autograd on a batch: agrees")
        if silent := stage["zero_on_this_batch"]:
            print(f"zero on this batch: {', '.join(silent)}")


def _cells(row: Mapping[str, Any]) -> list[str]:
    low, high = (f"{rate:.3g}" for rate in (row["rates"][0], row["rates"][-1]))
    learns = "yes" if row["changes"] else "no"
    rate = "" if not row["changes"] else low if low == high else f"{low} to {high}"
    receives = "yes" if row["receives"] else "no"
    return [row["name"], f"{row['weights']:,}", receives, learns, rate, row["why"]]
