"""Of `convgraft explain`: sources, wires and heads, with shapes, adapters, weights and MACs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convgraft.cli.console import millions, print_table
from convgraft.cli.explain_folding import print_folding

if TYPE_CHECKING:
    from convgraft.compose import Composite


def describe(composite: Composite) -> dict[str, Any]:
    """A network's parts and what they cost, as `--json` prints them."""
    from convgraft.compose import cost

    plan, resolved = composite.plan, composite.resolved
    surveys = resolved.checked.surveys
    spent = cost(composite)
    wires = [
        {
            "from": str(part.name).replace("/", ".").split("->")[0],
            "to": str(wire.target),
            "join": wire.join,
            "adapter": wire.adapter,
            "start": wire.start,
            "shape_in": part.shape_in,
            "shape_out": part.shape_out,
            "weights": _weights(composite, f"adapters.{part.name}"),
        }
        for wire, parts in zip(plan.wires, resolved.adapters, strict=True)
        for part in parts
    ]
    return {
        "plan": str(plan),
        "image_size": plan.image_size,
        "macs": spent.macs,
        "weights": spent.parameters,
        "sources": [
            {
                "name": ref.name,
                "network": ref.network,
                "macs_alone": surveys[ref.name].macs,
                "weights": _weights(composite, f"sources.{ref.name}"),
                "opaque": list(resolved.checked.sources[ref.name].capture.opaque),
            }
            for ref in plan.sources
        ],
        "wires": wires,
        "heads": [
            {
                "name": part.head.name,
                "kind": part.head.kind,
                "from": [str(ref) for ref in part.head.inputs],
                "shapes": part.inputs,
                "classes": part.head.classes,
                "hidden": part.head.hidden,
                "weights": _weights(composite, f"heads.{part.head.name}"),
            }
            for part in resolved.heads
        ],
    }


def _weights(composite: Composite, path: str) -> int:
    """Weights of a part; 0 where it was pruned away or has none."""
    own = [p for name, p in composite.named_parameters() if name.startswith(f"{path}.")]
    return sum(p.numel() for p in own)


def print_description(what: str, d: dict[str, Any]) -> None:
    """The same as tables on standard output, and what else is told of a network."""
    weights, macs = millions(d["weights"]), millions(d["macs"])
    title = f"{what}: {weights} weights, {macs} MACs at {d['image_size']} pixels"
    print_table(
        title,
        ("source", "network", "MACs alone", "weights kept"),
        [
            [s["name"], s["network"], millions(s["macs_alone"]), f"{s['weights']:,}"]
            for s in d["sources"]
        ],
    )
    if d["wires"]:
        print_table(
            "wires",
            ("from", "to", "join", "adapter", "start", "shapes", "weights"),
            [
                [
                    w["from"],
                    w["to"],
                    w["join"],
                    w["adapter"],
                    w["start"],
                    f"{_shape(w['shape_in'])} -> {_shape(w['shape_out'])}",
                    f"{w['weights']:,}",
                ]
                for w in d["wires"]
            ],
        )
    if d["heads"]:
        print_table(
            "heads",
            ("head", "kind", "from", "classes", "weights"),
            [
                [
                    h["name"],
                    h["kind"],
                    ", ".join(h["from"]),
                    h["classes"] or "",
                    f"{h['weights']:,}",
                ]
                for h in d["heads"]
            ],
        )
    if "folding" in d:
        print_folding(d["folding"])
    if "learns" in d:
        print_table(
            f"what learns ({d['learns'][0]['policy']})",
            ("part", "learns", "frozen", "rates"),
            [
                [
                    row["part"],
                    f"{row['learn']:,}",
                    f"{row['frozen']:,}",
                    ", ".join(f"{rate:g}" for rate in row["rates"]),
                ]
                for row in d["learns"]
            ],
        )


def _shape(shape: Any) -> str:
    return "x".join(map(str, shape))
