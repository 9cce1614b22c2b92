"""`convgraft explain PLAN|RUN`: what is combined, with every shape and cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convgraft.cli.completion import PRESETS, one_of
from convgraft.cli.console import print_json, say
from convgraft.cli.explain_folding import explain_folding
from convgraft.cli.explain_frontier import explain_frontier, print_frontier
from convgraft.cli.explain_gradients import explain_gradients, print_gradients, what_learns
from convgraft.cli.explain_plan import describe, print_description

if TYPE_CHECKING:
    from convgraft.compose import Composite
    from convgraft.training import FreezePolicy

FROZEN = "heads-only"  # of --frontier, where neither the user nor a run says what is frozen


def explain(
    what: Annotated[str, typer.Argument(metavar="PLAN|RUN", help="A plan file or a run folder.")],
    freeze: Annotated[
        str | None,
        typer.Option(
            help="Also say what this preset or policy file lets learn.",
            autocompletion=one_of(PRESETS),
        ),
    ] = None,
    gradients: Annotated[
        bool, typer.Option("--gradients", help="Say which weights a loss changes, and why.")
    ] = False,
    frontier: Annotated[
        bool, typer.Option("--frontier", help="Say which values a fit stores, and what that saves.")
    ] = False,
    loss: Annotated[
        str | None,
        typer.Option(help="Of those two: task, co-learning, mse, ...; a run's own by default."),
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Of --frontier: how many there are.")] = 10_000,
    views: Annotated[
        int, typer.Option(min=1, help="Of --frontier: augmented versions of each that are stored.")
    ] = 1,
    classes: Annotated[
        int, typer.Option(min=2, help="For heads of a plan that leave the number of classes open.")
    ] = 10,
    draw: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw the graph, as .svg or .png.")
    ] = None,
    trust_python: Annotated[
        bool, typer.Option(help="Let the run import its python: sources, that is, run code.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show sources, wires and heads with shapes, adapters, weights and MACs.

    Example: convgraft explain runs/x --freeze heads-only
    """
    from convgraft.errors import UsageError
    from convgraft.training import read_policy

    if gradients and frontier:
        raise UsageError("--gradients and --frontier are two questions", hint="one at a time")
    composite, noted = _open(Path(what), classes, trust_python)
    policy = read_policy(freeze) if freeze else _policy(noted)
    if draw:
        _draw(composite, policy, draw)
    chosen, is_run = loss or _own_loss(noted), Path(what).is_dir()
    if frontier:
        policy = policy or read_policy(FROZEN)
        told = explain_frontier(composite, policy, chosen, images, views, with_weights=is_run)
        print_json(told) if json else print_frontier(told)
        return
    if gradients:
        stages = explain_gradients(composite, policy, chosen, with_weights=is_run)
        print_json(stages) if json else print_gradients(stages)
        return
    description = describe(composite)
    if policy:
        description["learns"] = what_learns(composite, policy)
    folding = explain_folding(composite) if is_run else None
    if folding:
        description["folding"] = folding
    if json:
        print_json(description)
        return
    print_description(what, description)


def _open(path: Path, classes: int, trust_python: bool) -> tuple[Composite, Mapping[str, Any]]:
    """The network, and for a run what was noted of how it was trained."""
    from convgraft.errors import UsageError
    from convgraft.export import load
    from convgraft.opening import compile_plan
    from convgraft.plan import read_plan

    if path.is_dir():
        run = load(path, trust_python=trust_python)
        return run.composite, run.metrics
    if not path.exists():
        raise UsageError(
            f'there is no plan or run at "{path}"',
            expected="a YAML file or a run folder",
            hint="convgraft fit ... --out RUN makes a run, with RUN/plan.yaml in it",
        )
    return compile_plan(read_plan(path).with_classes(classes)), {}


def _own_loss(noted: Mapping[str, Any]) -> str:
    """The loss that a run was trained with; a distilled run has no teacher any more."""
    name = noted.get("loss_name", "task")
    if name != "distil":
        return name
    say("the teacher is not part of the run: this is about the task alone")
    return "task"


def _policy(noted: Mapping[str, Any]) -> FreezePolicy | None:
    """The freeze policy that a run was trained with."""
    from convgraft.training import FreezePolicy

    told = noted.get("freeze")
    return FreezePolicy.from_data(told["name"], told["phases"]) if told else None


def _draw(composite: Composite, policy: FreezePolicy | None, path: Path) -> None:
    """The plan's picture; sources in which the policy lets nothing learn are drawn as frozen."""
    from convgraft.report import draw_plan, frozen_sources

    frozen = frozen_sources(composite, policy) if policy else ()
    say(f"drawn in {draw_plan(composite.resolved, path, frozen=frozen)}")
