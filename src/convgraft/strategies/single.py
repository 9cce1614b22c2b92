"""Each network by itself, under a head of its own; several networks answer by their average.

This one plan is both baselines: a linear probe when only heads learn, fine-tuning when all does.
"""

from __future__ import annotations

from convgraft.plan import Head, Plan, TapRef
from convgraft.plan.values import HEADS_OWNER
from convgraft.strategies.ingredients import Ingredients


def single(given: Ingredients) -> Plan:
    """One head per network; with several networks, `label` is the average of their answers."""
    names = list(given.sources)
    if len(names) == 1:
        head = given.dense_head("label", [given.features(names[0])])
        return Plan(given.image_size, given.refs, (), (head,))
    heads = [given.dense_head(name, [given.features(name)]) for name in names]
    vote = "label" if "label" not in names else "vote"
    average = Head(vote, "average", tuple(TapRef(HEADS_OWNER, name) for name in names))
    return Plan(given.image_size, given.refs, (), (*heads, average))
