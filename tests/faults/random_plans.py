"""Random plans: what is compiled is what the plan says, and every promise about plans holds."""

from __future__ import annotations

import random
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from campaign import Campaign, Trial
from drawn_plans import Drawn, draw_plan, is_legal, propose_wire
from plan_promises import CHECKS, Case, Check, faster
from spoilt_plans import circle, spoil

from convgraft.compose import check as check_plan
from convgraft.errors import PlanError
from convgraft.plan import Plan


def legal(seed: int, count: int, folder: Path, *, first: int = 0) -> Iterator[Trial]:
    """Every check of `plan_promises` on one random legal plan after the other."""
    for number in range(first, count):
        yield try_plan(f"{seed}:{number}")


def fast(seed: int, count: int, folder: Path, *, first: int = 0) -> Iterator[Trial]:
    """The networks made for speed and for export, of the same plans; they take seconds to make."""
    for number in range(first, count):
        yield try_plan(f"{seed}:{number}", (faster,))


def try_plan(seed: str, checks: Sequence[Check] = CHECKS) -> Trial:
    """Some checks on the plan of that seed."""
    try:
        case = Case(draw_plan(seed), random.Random(seed))
        wrong = [f"{check.__name__}: {one}" for check in checks for one in check(case)]
    except Exception:
        wrong = [traceback.format_exc()]
    return Trial(f"random plan {seed}", "; ".join(wrong))


def illegal(seed: int, count: int, folder: Path, *, first: int = 0) -> Iterator[Trial]:
    """Legal plans, spoilt: each mistake is told, and so is a circle."""
    for number in range(first, count):
        yield try_spoilt(f"{seed}:{number}")


def try_spoilt(seed: str) -> Trial:
    """Mistakes of many kinds in the plan of that seed, a circle, and a wire drawn blindly."""
    given = random.Random(f"spoilt {seed}")
    try:
        drawn = draw_plan(seed)
        wrong = [*_mistakes(given, drawn), *_circle(given, drawn), *_blind(given, drawn)]
    except Exception:
        wrong = [traceback.format_exc()]
    return Trial(f"spoilt plan {seed}", "; ".join(wrong))


def _mistakes(given: random.Random, drawn: Drawn) -> Iterator[str]:
    spoilt = spoil(given, drawn)
    told = _problems(spoilt.plan, drawn)
    for where, words in spoilt.expected:
        if not any(at.startswith(where) and words in text for at, text in told):
            yield f'"{words}" is not told of {where}, but {told}'
    expected = {where for where, _ in spoilt.expected}
    if more := [at for at, _ in told if not at.startswith(tuple(expected))]:
        yield f"told of what is right: {more}"


def _circle(given: random.Random, drawn: Drawn) -> Iterator[str]:
    wire = circle(given, drawn)
    if wire is None:
        return
    told = _problems(replace(drawn.plan, wires=(*drawn.plan.wires, wire)), drawn)
    if not any("in a circle" in text for _, text in told):
        yield f"the circle that {wire} closes is not told, but {told}"


def _blind(given: random.Random, drawn: Drawn) -> Iterator[str]:
    wire = propose_wire(given, drawn)
    told = _problems(replace(drawn.plan, wires=(*drawn.plan.wires, wire)), drawn)
    if is_legal(drawn, drawn.plan.wires, wire) == bool(told):
        yield f"{wire} with {wire.join} {wire.adapter}: {told or 'taken, though it is illegal'}"


def _problems(plan: Plan, drawn: Drawn) -> list[tuple[str, str]]:
    """Where something is wrong, and what, as `check` tells it."""
    try:
        check_plan(plan, drawn.sources)
    except PlanError as error:
        return [(problem.where, str(problem)) for problem in error.problems]
    return []


CAMPAIGNS = (
    Campaign(
        8,
        "random-plans",
        "a composite is its plan, naively interpreted, in answers and gradients; promises 2 to 6",
        small=20,
        full=2000,
        trials=legal,
    ),
    Campaign(
        8,
        "fast-plans",
        "folded, simplified and optimised networks answer as the composite, within 1e-4",
        small=2,
        full=200,
        trials=fast,
    ),
    Campaign(
        8,
        "illegal-plans",
        "every mistake of a plan is told, all at once, and nothing that is right",
        small=30,
        full=2000,
        trials=illegal,
    ),
)
