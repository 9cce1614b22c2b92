"""Which part of a plan a node of a composite's graph belongs to: a source, a wire or a head."""

from __future__ import annotations

from collections.abc import Mapping

from torch import fx

from convgraft.compose import Composite

Part = tuple[str, str]  # kind and name
OTHER: Part = ("other", "image and answers")


def path_of(node: fx.Node) -> str:
    """The module path that a node belongs to, `sources.a.layer1` for example; empty for none.

    `link_graph` notes for functions where they stem from.
    """
    if node.op in ("call_module", "get_attr"):
        return str(node.target)
    source, _ = node.meta.get("origin", (None, None))
    return str(node.meta.get("scope", "" if source is None else f"sources.{source}"))


def parts_by_path(composite: Composite) -> dict[str, Part]:
    """Where every part's modules lie: `sources.a`, `adapters.a:x->b:y`, `heads.label`, ...

    A wire has its adapters and its join; a source its preprocessing and its network. In the plan's
    order.
    """
    resolved, plan = composite.resolved, composite.plan
    found: dict[str, Part] = {}
    for ref in plan.sources:
        paths = (f"preprocess.{ref.name}", f"sources.{ref.name}")
        found |= dict.fromkeys(paths, ("source", ref.name))
    for wire, adapters, join in zip(plan.wires, resolved.adapters, resolved.joins, strict=True):
        paths = [f"adapters.{part.name}" for part in adapters] + [f"joins.{join.name}"]
        found |= dict.fromkeys(paths, ("wire", str(wire)))
    return found | {f"heads.{head.name}": ("head", head.name) for head in plan.heads}


def part_at(path: str, parts: Mapping[str, Part]) -> Part:
    """The part that a module path lies in; `OTHER` where it lies in none."""
    return parts.get(".".join(path.split(".")[:2]), OTHER)
