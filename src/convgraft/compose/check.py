"""Stage 1, check: a plan and its opened sources, or every problem of the plan at once.

Nothing is loaded here: sources come with their weights checked and not read.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from convgraft.compose.flow import cycles
from convgraft.errors import PlanError, Problem, SourceError, near_miss
from convgraft.layers import ADAPTERS, FUSIONS, HEADS, JOINS
from convgraft.plan import Head, Plan, SourceRef, TapRef, Wire
from convgraft.plan.values import HEADS_OWNER
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
        opened = self.sources[ref.name]
        own, nested = opened.preprocessing, opened.nested
        return SourceRef(
            ref.name,
            ref.network,
            opened.classes,
            own.mean,
            own.std,
            own.size,
            nested if isinstance(nested, Plan) else None,
        )


def check(plan: Plan, sources: Mapping[str, Source], *, name: str = "the plan") -> Checked:
    """Look the whole plan over; raises PlanError with all problems, cycles included."""
    problems = [*_check_frame(plan, sources)]
    surveys, found = _survey_all(plan, sources)
    problems += found
    for number, wire in enumerate(plan.wires):
        problems += _Wires(plan, surveys, f"wires[{number}] {wire}").check(
            wire, plan.wires[:number]
        )
    for number, head in enumerate(plan.heads):
        problems += _Heads(plan, surveys, f"heads.{head.name}").check(head, plan.heads[:number])
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
        if ref.name not in sources or plan.image_size < 1:
            continue
        try:
            surveys[ref.name] = sources[ref.name].survey(plan.image_size)
        except SourceError as error:
            problems.append(
                Problem(
                    f"sources.{ref.name} ({ref.network})",
                    error.what,
                    error.expected,
                    error.found,
                    _enough(sources[ref.name], plan),
                )
            )
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


class _Refs:
    """What wires and heads have in common: they name taps."""

    def __init__(self, plan: Plan, surveys: Mapping[str, Survey], where: str) -> None:
        self.plan, self.surveys, self.where = plan, surveys, where
        self.problems: list[Problem] = []

    def complain(self, what: str, **details: str | None) -> None:
        self.problems.append(Problem(self.where, what, **details))

    def find(self, ref: TapRef) -> Tap | None:
        """The tap, or None and a problem; None alone where its source could not be opened."""
        names = [source.name for source in self.plan.sources]
        if ref.source not in names:
            self.complain(
                f'"{ref}" names no source of the plan',
                expected=f"one of {', '.join(names)}",
                hint=near_miss(ref.source, names),
            )
            return None
        survey = self.surveys.get(ref.source)
        tap = survey.find(ref.tap) if survey else None
        if survey and tap is None:
            known = [name for tap in survey.taps for name in tap.names]
            network = next(s.network for s in self.plan.sources if s.name == ref.source)
            self.complain(
                f'source "{ref.source}" has no tap "{ref.tap}"',
                hint=near_miss(ref.tap, known) or f"list them with: convgraft taps {network}",
            )
        return tap

    def one_of(self, what: str, word: str, known: list[str]) -> bool:
        if word not in known:
            self.complain(
                f'there is no {what} called "{word}"',
                expected=", ".join(known),
                hint=near_miss(word, known),
            )
        return word in known


class _Wires(_Refs):
    def check(self, wire: Wire, earlier: tuple[Wire, ...]) -> list[Problem]:
        target = self.find(wire.target)
        inputs = [self.find(ref) for ref in wire.inputs]
        if not wire.inputs:
            self.complain("a wire starts from at least one tap")
        if self.one_of("adapter", wire.adapter, list(ADAPTERS)) and self.one_of(
            "join", wire.join, list(JOINS)
        ):
            self._check_join(wire)
            for ref, tap in zip(wire.inputs, inputs, strict=True):
                if tap and target:
                    self._check_shapes(wire, ref, tap, target)
        known = {(self._own(ref), self._own(w.target)) for w in earlier for ref in w.inputs}
        for ref in wire.inputs:
            if self._own(ref) == self._own(wire.target):
                self.complain("the wire ends where it starts")
            if (self._own(ref), self._own(wire.target)) in known:
                self.complain("another wire does the same already")
        return self.problems

    def _own(self, ref: TapRef) -> tuple[str, str]:
        """A tap under the one name that all its names stand for."""
        survey = self.surveys.get(ref.source)
        tap = survey.find(ref.tap) if survey else None
        return ref.source, tap.name if tap else ref.tap

    def _check_join(self, wire: Wire) -> None:
        kind = JOINS[wire.join]
        if wire.start not in kind.starts:
            self.complain(
                f'a {wire.join} wire cannot start at "{wire.start}"',
                expected=" or ".join(f"start: {start}" for start in kind.starts),
            )
        if len(wire.inputs) > 1 and not kind.many:
            self.complain(f"a {wire.join} wire takes one tap", found=f"{len(wire.inputs)} taps")

    def _check_shapes(self, wire: Wire, ref: TapRef, tap: Tap, target: Tap) -> None:
        free = JOINS[wire.join].any_channels
        if ADAPTERS[wire.adapter].changes_channels or free or tap.shape[0] == target.shape[0]:
            return
        self.complain(
            "an identity adapter cannot change the number of channels",
            expected=f"{wire.target} takes {list(target.shape)}",
            found=f"{ref} gives {list(tap.shape)}",
            hint="adapter: conv1x1",
        )


class _Heads(_Refs):
    def check(self, head: Head, earlier: tuple[Head, ...]) -> list[Problem]:
        if any(other.name == head.name for other in earlier):
            self.complain("two heads have this name")
        if not head.inputs:
            self.complain("a head needs at least one input")
        if self.one_of("head", head.kind, list(HEADS)):
            self._check_kind(head)
            self._check_fusion(head)
        widths = {str(ref): self._width(ref, earlier) for ref in head.inputs}
        if head.kind in HEADS and HEADS[head.kind].takes == "logits":
            self._check_logits(head, {ref: width for ref, width in widths.items() if width})
        return self.problems

    def _check_kind(self, head: Head) -> None:
        kind = HEADS[head.kind]
        if kind.learns and (head.classes is None or head.classes < 2):
            self.complain(
                f"a {head.kind} head needs its number of classes",
                expected="2 or more",
                found=str(head.classes),
            )
        if len(head.inputs) > 1 and not kind.many:
            self.complain(f"a {head.kind} head takes one input", found=str(len(head.inputs)))
        if head.hidden and not kind.hidden:
            self.complain(f"a {head.kind} head has no hidden layers", hint="kind: mlp")
        if kind.hidden and (not head.hidden or min(head.hidden) < 1):
            self.complain(f"a {head.kind} head needs widths of hidden layers", hint="hidden: [256]")
        if not 0 <= head.dropout < 1:
            self.complain("dropout is a share from 0 to 1", found=str(head.dropout))

    def _check_fusion(self, head: Head) -> None:
        if not self.one_of("fusion", head.fusion, list(FUSIONS)):
            return
        if head.fusion != "concat" and not HEADS[head.kind].fuses:
            takers = [kind for kind, row in HEADS.items() if row.fuses]
            self.complain(
                f"a {head.kind} head takes no fusion",
                expected=f"a head of kind {' or '.join(takers)}, or no fusion",
                found=head.fusion,
            )
        elif 0 < len(head.inputs) < FUSIONS[head.fusion].least:
            self.complain(
                f"a {head.fusion} fusion joins several inputs",
                expected=f"{FUSIONS[head.fusion].least} or more",
                found=str(len(head.inputs)),
                hint="fusion: concat",
            )

    def _width(self, ref: TapRef, earlier: tuple[Head, ...]) -> int | None:
        """Length of the vector that an input is; None where unknown or where it is a map."""
        if ref.source != HEADS_OWNER:
            tap = self.find(ref)
            return tap.shape[0] if tap and not tap.is_map else None
        names = [head.name for head in earlier]
        if ref.tap not in names:
            self.complain(
                f'no head before this one is called "{ref.tap}"', hint=near_miss(ref.tap, names)
            )
            return None
        place = names.index(ref.tap)
        found = earlier[place]
        if found.classes or not found.inputs:
            return found.classes
        return self._width(found.inputs[0], earlier[:place])

    def _check_logits(self, head: Head, widths: Mapping[str, int]) -> None:
        maps = [str(ref) for ref in head.inputs if str(ref) not in widths]
        if maps and not self.problems:
            self.complain(
                f"a {head.kind} head takes logits, one number per class", found=f"{maps[0]}, a map"
            )
        if len(set(widths.values())) > 1:
            found = ", ".join(f"{ref}: {width}" for ref, width in widths.items())
            self.complain("the inputs answer different numbers of classes", found=found)
        if head.classes and any(width != head.classes for width in widths.values()):
            self.complain(
                "the inputs answer another number of classes",
                expected=str(head.classes),
                found=str(widths),
            )


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
