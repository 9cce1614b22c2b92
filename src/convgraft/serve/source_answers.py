"""What each network of a composite says by itself, as far as the run can tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from convgraft.compose import Composite
from convgraft.layers.votes import VOTE_KINDS
from convgraft.plan import Head, Plan
from convgraft.plan.values import HEADS_OWNER, LABELLED_HEADS
from convgraft.serve.held import can_hold, with_held
from convgraft.serve.trace import Trace

OVER_WIRES = ", which also sees what wires bring to it"
NOWHERE = "it has no answer of its own: it reaches the answer only through another network"
ALL = "its head gives the answer of all of them together"


@dataclass(frozen=True)
class Alone:
    """What a network says by itself.

    Attributes:
        told: `own`, `nearest` or `none`.
        words: where that is from.
        logits: [1, classes]; None where it says nothing.
    """

    told: Literal["own", "nearest", "none"]
    words: str
    logits: Tensor | None = None


def source_answers(composite: Composite, trace: Trace) -> dict[str, Alone]:
    """By source, what it says of the traced picture.

    `own`: a head that reads this network alone, or its own classifier that a vote reads.
    `nearest`: the head that fuses several networks, with the others held at their mean.
    """
    plan = composite.plan
    if len(plan.sources) == 1:
        words = "it is the only network, so this is the answer"
        return {plan.sources[0].name: Alone("own", words, trace.answers[plan.answer])}
    return {ref.name: _alone(composite, trace, ref.name) for ref in plan.sources}


def _alone(composite: Composite, trace: Trace, source: str) -> Alone:
    plan = composite.plan
    wired = OVER_WIRES if any(wire.target.source == source for wire in plan.wires) else ""
    if not plan.heads:
        return Alone("own", f"its own classifier{wired}", trace.answers[source])
    own = own_head(plan, source)
    if own is not None:
        return Alone("own", f'its own head "{own.name}"{wired}', trace.answers[own.name])
    for head in plan.heads:
        for ref, value in zip(head.inputs, trace.inputs[head.name], strict=True):
            if head.kind in VOTE_KINDS and ref.source == source:
                return Alone("own", f'its own classifier, which "{head.name}" reads{wired}', value)
    fused = _fused_head(composite, source)
    if fused is None:
        last = any(h.name == plan.answer and source in _read(h) for h in plan.heads)
        return Alone("none", ALL if last else NOWHERE)
    others = {n for n, ref in enumerate(fused.inputs) if ref.source != source}
    module = composite.get_submodule(f"heads.{fused.name}")
    words = f'the head "{fused.name}" with the other networks held at their mean{wired}'
    return Alone("nearest", words, with_held(module, trace.inputs[fused.name], others))


def own_head(plan: Plan, source: str) -> Head | None:
    """The head that answers the main question from this source's taps alone, beside the answer."""
    column = plan.column(plan.answer)
    for head in plan.heads:
        if _read(head) == {source} and head.kind in LABELLED_HEADS and head.column == column:
            return None if head.name == plan.answer else head
    return None


def _fused_head(composite: Composite, source: str) -> Head | None:
    """The last head that the answer depends on and that fuses this network with others."""
    plan = composite.plan
    for head in reversed(plan.keeping((plan.answer,)).heads):
        several = source in _read(head) and len(_read(head) - {HEADS_OWNER}) > 1
        if several and can_hold(composite.get_submodule(f"heads.{head.name}")):
            return head
    return None


def _read(head: Head) -> set[str]:
    """The sources whose taps a head reads."""
    return {ref.source for ref in head.inputs}
