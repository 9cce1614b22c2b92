"""The members of a vote, each as a network by itself."""

from __future__ import annotations

from dataclasses import replace

from convgraft.compose import Composite, compose, cost, keep_answers
from convgraft.plan import Head, TapRef
from convgraft.plan.values import HEADS_OWNER

ALONE = "member"


def member_name(ref: TapRef) -> str:
    """How a vote's input is called: the answer's name, or the tap's."""
    return ref.tap if ref.source == HEADS_OWNER else str(ref)


def member_network(composite: Composite, ref: TapRef) -> Composite:
    """The part of a composite that one input of a vote needs, with its weights, on its device.

    Its plan's main answer is that input.
    """
    device = next(composite.parameters()).device
    if ref.source == HEADS_OWNER:
        kept = keep_answers(composite, (ref.tap,))
        return kept.to(device)
    plan = replace(composite.plan, heads=(Head(ALONE, "identity", (ref,)),)).keeping((ALONE,))
    opened = composite.resolved.checked.sources
    network = compose(plan, {one.name: opened[one.name] for one in plan.sources})
    state = composite.state_dict()
    network.load_state_dict({name: state[name] for name in network.state_dict()})
    return network.holding(composite.held).train(composite.training).to(device)


def member_macs(composite: Composite, ref: TapRef) -> int:
    """MACs an image of one input of a vote, when it runs alone."""
    return cost(member_network(composite, ref)).macs
