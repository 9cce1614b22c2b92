"""`convgraft explain PLAN|RUN`: what is combined, with every shape and cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convgraft.cli.console import millions, print_json, print_table, say
from convgraft.cli.explain_folding import explain_folding, print_folding
from convgraft.cli.explain_gradients import explain_gradients, print_gradients, what_learns

if TYPE_CHECKING:
    from convgraft.compose import Composite
    from convgraft.training import FreezePolicy


def explain(
    what: Annotated[str, typer.Argument(metavar="PLAN|RUN", help="A plan file or a run folder.")],
    freeze: Annotated[
        str | None, typer.Option(help="Also say what this preset or policy file lets learn.")
    ] = None,
    gradients: Annotated[
        bool, typer.Option("--gradients", help="Say which weights a loss changes, and why.")
    ] = False,
    loss: Annotated[
        str | None,
        typer.Option(help="Of --gradients: task, co-learning, mse, ...; a run's own by default."),
    ] = None,
    classes: Annotated[
        int, typer.Option(min=2, help="For heads of a plan that leave the number of classes open.")
    ] = 10,
    draw: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw the graph, as .svg or .png.")
    ] = None,
    trust_python: Annotated[
        bool, typer.Option(help="Let the run import its python: sources, that is, run code.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show sources, wires and heads with shapes, adapters, weights and MACs.

    Example: convgraft explain runs/x --freeze heads-only
    """
    from convgraft.training import read_policy

    composite, noted = _open(Path(what), classes, trust_python)
    policy = read_policy(freeze) if freeze else _policy(noted)
    if draw:
        _draw(composite, policy, draw)
    if gradients:
        chosen = loss or _own_loss(noted)
        stages = explain_gradients(composite, policy, chosen, with_weights=Path(what).is_dir())
        print_json(stages) if json else print_gradients(stages)
        return
    description = _describe(composite)
    if policy:
        description["learns"] = what_learns(composite, policy)
    folding = explain_folding(composite) if Path(what).is_dir() else None
    if folding:
        description["folding"] = folding
    if json:
        print_json(description)
        return
    _print(what, description)


def _open(path: Path, classes: int, trust_python: bool) -> tuple[Composite, Mapping[str, Any]]:
    """The network, and for a run what was noted of how it was trained."""
    from convgraft.compose import compose
    from convgraft.errors import UsageError
    from convgraft.export import load
    from convgraft.plan import read_plan

    if path.is_dir():
        run = load(path, trust_python=trust_python)
        return run.composite, run.metrics
    if not path.exists():
        raise UsageError(
            f'there is no plan or run at "{path}"', expected="a YAML file or a run folder"
        )
    return compose(read_plan(path).with_classes(classes)), {}


def _own_loss(noted: Mapping[str, Any]) -> str:
    """The loss that a run was trained with; a distilled run has no teacher any more."""
    name = noted.get("loss_name", "task")
    if name != "distil":
        return name
    say("the teacher is not part of the run: this is about the task alone")
    return "task"


def _policy(noted: Mapping[str, Any]) -> FreezePolicy | None:
    """The freeze policy that a run was trained with."""
    from convgraft.training import FreezePolicy

    told = noted.get("freeze")
    return FreezePolicy.from_data(told["name"], told["phases"]) if told else None


def _draw(composite: Composite, policy: FreezePolicy | None, path: Path) -> None:
    """The plan's picture; sources in which the policy lets nothing learn are drawn as frozen."""
    from convgraft.report import draw_plan, frozen_sources

    frozen = frozen_sources(composite, policy) if policy else ()
    say(f"drawn in {draw_plan(composite.resolved, path, frozen=frozen)}")


def _describe(composite: Composite) -> dict[str, Any]:
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


def _print(what: str, d: dict[str, Any]) -> None:
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
