"""Stage 1, check: a plan and its opened sources, or every problem of the plan at once.

Nothing is loaded here: sources come with their weights checked and not read.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from convgraft.compose.check_heads import HeadCheck
from convgraft.compose.check_wires import WireCheck
from convgraft.compose.flow import cycles
from convgraft.errors import PlanError, Problem, SourceError
from convgraft.plan import Plan, SourceRef, TapRef
from convgraft.sources import Source, Survey, Tap
from convgraft.sources.select import ADDED_PARTS

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_\-]*")
_RESERVED = (*ADDED_PARTS, "kind", "depth", "sources", "preprocess")


@dataclass(frozen=True, eq=False)
class Checked:
    """A plan without problems, and what it was checked against.

    Attributes:
        sources, surveys: by the names that the plan gives them.
    """

    plan: Plan
    sources: Mapping[str, Source]
    surveys: Mapping[str, Survey]

    def tap(self, ref: TapRef) -> Tap:
        """The tap that a reference means."""
        return self.surveys[ref.source].tap(ref.tap)

    @property
    def complete_plan(self) -> Plan:
        """The plan with what its sources know of themselves, so that it can be built without them.

        That is their classes and preprocessing, and the plans of the runs among them.
        """
        return replace(self.plan, sources=tuple(map(self._complete, self.plan.sources)))

    def _complete(self, ref: SourceRef) -> SourceRef:
        return replace(source_ref(ref.name, self.sources[ref.name]), network=ref.network)


def source_ref(name: str, opened: Source) -> SourceRef:
    """An opened source as a plan names it, with everything needed to make it again."""
    own = opened.preprocessing
    nested = opened.nested if isinstance(opened.nested, Plan) else None
    return SourceRef(name, opened.spec, opened.classes, own.mean, own.std, own.size, nested)


def check(plan: Plan, sources: Mapping[str, Source], *, name: str = "the plan") -> Checked:
    """Look the whole plan over; raises PlanError with all problems, cycles included."""
    problems = _check_frame(plan, sources)
    surveys, found = _survey_all(plan, sources)
    problems += found
    for number, wire in enumerate(plan.wires):
        problems += WireCheck(plan, surveys, f"wires[{number}] {wire}").check(
            wire, plan.wires[:number]
        )
    for number, head in enumerate(plan.heads):
        problems += HeadCheck(plan, surveys, f"heads.{head.name}").check(head, plan.heads[:number])
    if not problems:
        problems += _check_cycles(plan, sources, surveys)
    if problems:
        raise PlanError(problems, name=name)
    return Checked(plan, dict(sources), surveys)


def _check_frame(plan: Plan, sources: Mapping[str, Source]) -> list[Problem]:
    problems: list[Problem] = []
    if plan.image_size < 1:
        problems.append(
            Problem("image_size", "an image has at least 1 pixel", found=str(plan.image_size))
        )
    if not plan.sources:
        problems.append(Problem("sources", "there is nothing to combine", "at least one source"))
    names = [ref.name for ref in plan.sources]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.append(Problem(f"sources.{name}", "two sources have this name"))
    for name in [*names, *(head.name for head in plan.heads)]:
        if not is_usable_name(name):
            expected = "a word of letters, digits, _ and - that Python and torch leave free"
            hint = f"{name}_" if _NAME.fullmatch(name) else None
            what = "this is not a usable name"
            problems.append(Problem(name or "a name", what, expected, name, hint))
    for name in names:
        if name not in sources:
            problems.append(Problem(f"sources.{name}", "no such source was given"))
        elif not isinstance(sources[name], Source):
            what, found = "this is no source", type(sources[name]).__name__
            hint = "convgraft.source(network)"
            problems.append(Problem(f"sources.{name}", what, found=found, hint=hint))
    return problems


def is_usable_name(name: str) -> bool:
    """Whether a module can be called so."""
    taken = name in _RESERVED or keyword.iskeyword(name) or hasattr(nn.Module(), name)
    return bool(_NAME.fullmatch(name)) and not taken


def _survey_all(
    plan: Plan, sources: Mapping[str, Source]
) -> tuple[dict[str, Survey], list[Problem]]:
    surveys: dict[str, Survey] = {}
    problems: list[Problem] = []
    for ref in plan.sources:
        if not isinstance(sources.get(ref.name), Source) or plan.image_size < 1:
            continue
        try:
            surveys[ref.name] = sources[ref.name].survey(plan.image_size)
        except SourceError as error:
            problem = Problem.at(f"sources.{ref.name} ({ref.network})", error)
            problems.append(replace(problem, hint=_enough(sources[ref.name], plan)))
    return surveys, problems


def _enough(source: Source, plan: Plan) -> str | None:
    """The smallest image that passes, as a hint."""
    low, high = plan.image_size, source.image_size
    if high <= low or not _passes(source, high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _passes(source, middle) else (middle, high)
    return f"--image-size {high} or larger"


def _passes(source: Source, size: int) -> bool:
    try:
        source.survey(size)
    except SourceError:
        return False
    return True


def _check_cycles(
    plan: Plan, sources: Mapping[str, Source], surveys: Mapping[str, Survey]
) -> list[Problem]:
    return [
        Problem(
            "wires",
            "these wires feed each other in a circle",
            expected="wires that keep to the order in which the networks compute",
            found="; ".join(map(str, ring)),
            hint="turn one of them around, or start it from an earlier tap",
        )
        for ring in cycles(plan, sources, surveys)
    ]
