"""A side head over all taps of frozen networks; nothing upstream changes.

Every selected tap is pooled, standardised and read by one head: linear or MLP over all of them
(Head2Toe, Evci et al. 2022), linear and solved in closed form (`ridge`), or a gated side network
that climbs them (Sung et al. 2022).
"""

from __future__ import annotations

from dataclasses import replace

from convgraft.errors import UsageError
from convgraft.plan import Plan
from convgraft.strategies.ingredients import Ingredients


def ladder(given: Ingredients) -> Plan:
    """The plan: no wires, one head over the selected taps of all networks."""
    kinds = ("linear", "ridge", "mlp", "side")
    hidden = given.options.hidden
    kind = given.options.head or ("mlp" if hidden else "linear")
    given.needs(kind in kinds, "a ladder's head has a kind", ", ".join(kinds), kind)
    given.needs(
        not hidden or kind == "mlp", "only an mlp has hidden layers", "--head mlp", f"--head {kind}"
    )
    given.needs(
        not (given.options.dropout and kind == "ridge"),
        "a ridge head is solved in closed form, where dropout means nothing",
        "--head linear, or no --dropout",
        f"--dropout {given.options.dropout}",
    )
    taps = [ref for name in given.sources for ref in given.side_taps(name)]
    if not taps:
        raise UsageError(f'"{given.options.taps}" selects no tap')
    head = given.dense_head("label", taps)
    if kind == "mlp" and not head.hidden:
        head = replace(head, kind="mlp", hidden=(256,))
    if kind in ("side", "ridge"):
        head = replace(head, kind=kind, hidden=())
    return Plan(given.image_size, given.refs, (), (head,))
