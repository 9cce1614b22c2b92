"""Of `convgraft explain RUN`: which adapters of a stitch fold into the layers after them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convgraft.cli.console import millions, print_table

if TYPE_CHECKING:
    from convgraft.compose import Composite


def explain_folding(composite: Composite) -> dict[str, Any] | None:
    """What folding would do to a trained network; None where no wire replaces a tap."""
    from convgraft.export import fold_adapters

    if not any(wire.join == "replace" for wire in composite.plan.wires):
        return None
    found = fold_adapters(composite)
    return {"folded": found.folded, "kept": dict(found.kept), "macs": found.macs}


def print_folding(told: dict[str, Any]) -> None:
    """As a table: every adapter, and whether it folds exactly."""
    rows = [(name, "exact") for name in told["folded"]]
    rows += [(name, f"kept: {reason}") for name, reason in told["kept"].items()]
    rows = [(name.replace("/", "."), outcome) for name, outcome in rows]
    if rows:
        title = f"folded for inference: {millions(told['macs'])} MACs"
        print_table(title, ("adapter", "folding"), rows)
