"""Sources by name: one network, all of a plan, and a plan compiled with what it names.

Runs are sources, and have sources of their own: what opens a plan and what opens a network call
each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from convgraft.compose import Composite, compose
from convgraft.errors import ConvgraftError, PlanError, Problem, SourceError, UsageError
from convgraft.opening.nested import as_source, preprocessing
from convgraft.opening.runs import RUN_PREFIX, NamedRun, find_run
from convgraft.plan import Plan, SourceRef
from convgraft.sources import Source, source
from convgraft.sources.weights import compare_shapes, shapes_of


def compile_plan(
    plan: Plan, sources: Mapping[str, Source] | None = None, *, seed: int = 0
) -> Composite:
    """Compile a plan: check, resolve, link, prune.

    Args:
        plan: what to combine and how; its learned heads know their number of classes.
        sources: opened sources by name; opened from the plan's specs when not given.
        seed: of the weights of adapters, joins and heads.

    Raises PlanError with every problem of the plan, before a weight is loaded.
    """
    if not isinstance(plan, Plan):
        raise UsageError(
            "a plan is compiled", found=repr(plan)[:100], hint="convgraft.parse_plan(text)"
        )
    return compose(plan, open_sources(plan) if sources is None else sources, seed=seed)


def open_sources(
    plan: Plan, *, seed: int = 0, bare: bool = False, trust_python: bool = False
) -> dict[str, Source]:
    """Open every source of a plan, weights checked and not loaded; all failures in one PlanError.

    `bare` leaves out the weights that the plan names, for a caller who brings others.
    `trust_python` lets runs among the sources import `python:` sources of theirs.
    """
    opened: dict[str, Source] = {}
    problems: list[Problem] = []
    for number, ref in enumerate(plan.sources):
        try:
            opened[ref.name] = open_source(
                ref, seed=source_seed(seed, number), bare=bare, trust_python=trust_python
            )
        except ConvgraftError as error:
            problems.append(Problem.at(f"sources.{ref.name}", error))
    if problems:
        raise PlanError(problems)
    return opened


def source_seed(seed: int, number: int) -> int:
    """A seed of its own for each source, so that two random ones are two networks."""
    return 1000 * seed + number


def open_source(
    ref: SourceRef, *, seed: int = 0, bare: bool = False, trust_python: bool = False
) -> Source:
    """The source that a plan names, with the preprocessing that the plan gives it.

    A run whose plan is known and whose weights are left out is built without its folder; without
    its plan a name stands for a network, never for a folder.
    """
    if bare and ref.plan is not None:
        return open_plan(ref.plan, ref.network, trust_python=trust_python)
    said: dict[str, Any] = {"classes": ref.classes, "mean": ref.mean, "std": ref.std}
    said |= {"size": ref.size, "seed": seed, "load": False, "bare": bare}
    if bare and not ref.network.strip().startswith(RUN_PREFIX):
        return source(ref.network, **said)
    opened = open_network(ref.network, **said, trust_python=trust_python)
    if ref.plan is not None and opened.nested != ref.plan:
        raise SourceError(
            f'"{ref.network}" is not the run that the plan was written for',
            hint="leave its nested plan out, to take the run as it is now",
        )
    return opened


def open_network(
    spec: str | nn.Module,
    *,
    classes: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: int | None = None,
    seed: int = 0,
    load: bool = True,
    bare: bool = False,
    trust_python: bool = False,
) -> Source:
    """Make a source from a run's folder, from `ARCH[@WEIGHTS]` or from any `nn.Module`.

    Args:
        spec: a run (see `convgraft.opening.runs`), or what `convgraft.sources.source` takes.
        classes, mean, std, size, seed, load, bare: as of `convgraft.sources.source`. A run brings
            its own classes, preprocessing and image size; other ones are refused.
        trust_python: allow a run to import `python:` sources, that is, to run their code.

    Raises SourceError where the name, the weights or the network's forward will not do.
    """
    if not isinstance(spec, (str, nn.Module)):
        raise SourceError(
            "a source is a name or a network",
            expected="ARCH[@WEIGHTS], the folder of a run, or an nn.Module",
            found=repr(spec),
            hint='"runs/x" as text, MyNetwork() and not MyNetwork',
        )
    run = None if isinstance(spec, nn.Module) else find_run(spec.strip())
    if run is None:
        return source(
            spec, classes=classes, mean=mean, std=std, size=size, seed=seed, load=load, bare=bare
        )
    plan = run.read()
    own = preprocessing(plan)
    asked_for = own.adjusted(mean, std, size)
    if asked_for != own:
        raise SourceError(
            f'the run "{run.spec}" has its own preprocessing inside',
            expected=f"{own}, or nothing said",
            found=str(asked_for),
        )
    made = open_plan(plan, run.spec, trust_python=trust_python)
    if bare:
        return made
    made = _with_weights(made, run)
    return made.loaded() if load else made


def open_plan(plan: Plan, spec: str, *, trust_python: bool = False) -> Source:
    """The network that a run's plan describes as a source, without weights.

    Raises SourceError where the plan cannot be built, or only by code that is not trusted.
    """
    _refuse_code(plan, spec, trust_python)
    kept = plan.keeping((plan.answer,))
    try:
        composite = compose(kept, open_sources(kept, bare=True, trust_python=trust_python))
    except ConvgraftError as error:
        raise SourceError(f'the run "{spec}" cannot be rebuilt', found=str(error)) from error
    return as_source(composite, spec, plan)


def _refuse_code(plan: Plan, spec: str, trust_python: bool) -> None:
    """Run no code that the user did not name, and ask for no modules that no name can find."""
    for path, ref in plan.all_sources():
        if ref.plan is not None:
            continue
        if ref.network.strip().startswith("python:") and not trust_python:
            raise SourceError(
                f'the run "{spec}" wants to run Python code: its source "{path}" is {ref.network}',
                hint=f'convgraft.source("{spec}", trust_python=True), if you trust it',
            )
        if ref.network.startswith("module:"):
            raise SourceError(
                f'the run "{spec}" cannot be a source: its source "{path}" was made from an '
                f"nn.Module in Python ({ref.network}), which no name finds",
                hint="make that network by a factory: python:package.module:factory",
            )


def _with_weights(made: Source, run: NamedRun) -> Source:
    """The source with the run's weights looked at, and still to be loaded."""
    file = run.weights
    missing, _, differing = compare_shapes(file.shapes, shapes_of(made.module))
    if differing or (missing and not run.inner):
        raise SourceError(
            f'the weights of the run "{run.spec}" are not of its plan',
            found=f"{len(missing)} missing, {len(differing)} of another shape, "
            f"e.g. {[*missing, *differing][0]}",
        )
    return replace(made, pending=file, absent=tuple(missing))
