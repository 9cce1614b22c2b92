"""Changes in place whose result nobody takes: `self.relu(y)` as a statement of its own.

A graph says what reads what. Here later readers of `y` would not read the ReLU, and a part of the
graph without the ReLU would look whole. So they are made to read its result, which is the same
memory.
"""

from __future__ import annotations

from torch import fx, nn


def name_changes(graph: fx.Graph, root: nn.Module) -> None:
    """Let readers of what was changed in place read what the change returned.

    Only changes without readers are looked at; others are named in the graph already. A change of a
    view (`y[:, 0].zero_()`) is not followed to what it is a view of.
    """
    place = {node: number for number, node in enumerate(graph.nodes)}
    for writer in list(graph.nodes):
        changed = writer.args[0] if writer.args else None
        if writer.users or not isinstance(changed, fx.Node) or not _in_place(writer, root):
            continue
        for reader in list(changed.users):
            if place[reader] > place[writer]:
                reader.replace_input_with(changed, writer)


def _in_place(node: fx.Node, root: nn.Module) -> bool:
    if node.op == "call_module":
        return bool(getattr(root.get_submodule(str(node.target)), "inplace", False))
    if node.kwargs.get("inplace"):
        return True
    if node.op not in ("call_function", "call_method"):
        return False
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return name.endswith("_") and not name.endswith("__")
