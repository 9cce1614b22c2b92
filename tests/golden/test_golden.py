"""Plans and the graphs they compile to, as text, compared with the files beside this one.

`CONVGRAFT_UPDATE_GOLDEN=1 pytest tests/golden` writes the files anew; read the difference.
"""

import os
from pathlib import Path

import pytest
from torch import fx

from convgraft.compose import Composite, compose
from convgraft.plan import Plan
from convgraft.sources import Source, source
from helpers import Tiny, head, plan_for, wire

HERE = Path(__file__).parent
PLANS = {
    "two_way_add": (
        [wire("a:bn -> b:bn"), wire("b:bn -> a:bn"), wire("a:conv2, b:input -> b:conv2", "concat")],
        [head("label", "linear", "a:flatten", "b:flatten", classes=3)],
    ),
    "stitch": (
        [wire("a:relu -> b:relu", "replace", "block", "one")],
        [head("label", "identity", "b:fc")],
    ),
    "ensemble": (
        [wire("a:bn -> b:conv2", "gate")],
        [
            head("pooled", "mlp", "a:bn", "b:bn", classes=5, hidden=(4,), dropout=0.5),
            head("both", "average", "a:fc", "b:fc", "heads:pooled"),
        ],
    ),
}


def sources() -> dict[str, Source]:
    return {"a": source(Tiny(), size=16), "b": source(Tiny(width=6, seed=1), size=16)}


def planned(name: str, opened: dict[str, Source]) -> Plan:
    wires, heads = PLANS[name]
    return plan_for(opened, wires=wires, heads=heads, size=16)


def as_text(graph: fx.Graph) -> str:
    """One line per node: its name, what it does, and to what."""
    lines = []
    for node in graph.nodes:
        target = node.target if isinstance(node.target, str) else node.target.__name__
        arguments = ", ".join(map(str, [*node.args, *node.kwargs.values()]))
        lines.append(f"{node.name} = {node.op} {target} ({arguments})")
    return "\n".join(lines) + "\n"


def page(composite: Composite) -> str:
    """A plan and its graph."""
    return f"{composite.plan}\n{as_text(composite.graph)}"


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_compiles_to_this_graph(name: str):
    opened = sources()
    text = page(compose(planned(name, opened), opened))
    file = HERE / f"{name}.txt"
    if os.environ.get("CONVGRAFT_UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


def test_every_file_has_its_plan():
    assert {file.stem for file in HERE.glob("*.txt")} == set(PLANS)
