"""How far zero-started wires have opened: the mean absolute gate of each wire."""

from __future__ import annotations

from convgraft.compose import Composite


def wire_gates(composite: Composite) -> dict[str, float]:
    """By wire, as the plan writes it, the mean of |gate| over channels.

    Zero means that nothing passes. Wires that start at one have no gate, and are left out; so are
    wires that no answer depends on.
    """
    weights = dict(composite.named_parameters())
    resolved = composite.resolved
    found: dict[str, float] = {}
    for wire, adapters, join in zip(
        composite.plan.wires, resolved.adapters, resolved.joins, strict=True
    ):
        if wire.start != "zero":
            continue
        names = [f"adapters.{part.name}.gate.scale" for part in adapters]
        names += [f"joins.{join.name}.gate", f"joins.{join.name}.gate.scale"]
        means = [weights[name].detach().abs().mean().item() for name in names if name in weights]
        if means:
            found[str(wire)] = sum(means) / len(means)
    return found
