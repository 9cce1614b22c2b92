"""Share what two sources compute alike: frozen prefixes with equal weights run once.

Two calls are alike when they do the same to the same values with equal weights, and nothing about
them may change: the source is held in evaluation mode. Preprocessing has no weights, so it is
shared wherever two sources agree on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Hashable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from convgraft.sources.preprocess import Preprocess

_PLAIN = (bool, int, float, str, bytes, tuple, type(None))


def share_prefixes(graph: fx.Graph, root: nn.Module, held: Collection[str]) -> int:
    """Merge nodes of held sources that compute the same; says how many were saved.

    Args:
        held: names of sources whose weights and mode cannot change.
    """
    forbidden: set[fx.Node] = set()
    while True:
        twins = _find_twins(graph, root, held, forbidden)
        torn = {node for node, twin in twins.items() if _disagree(node, twin, twins)}
        if not torn:
            break
        forbidden |= torn
    for node, twin in reversed(twins.items()):
        node.replace_all_uses_with(twin)
        graph.erase_node(node)
    return len(twins)


def _disagree(node: fx.Node, twin: fx.Node, twins: Mapping[fx.Node, fx.Node]) -> bool:
    """Whether one of the two is overwritten in a way that the other is not.

    Or whether somebody outside copies the value before it is overwritten: the copy is made in the
    later source's place, and would come too late for the earlier one's writer.
    """
    if _writers(node) and any("origin" not in user.meta for user in node.users):
        return True
    ours = {twins.get(writer, writer) for writer in _writers(node)}
    return ours != _writers(twin)


def _writers(node: fx.Node) -> set[fx.Node]:
    """The nodes that overwrite this one's value in place."""
    places = set(node.meta.get("writers", ()))
    if not places:
        return set()
    return {other for other in node.graph.nodes if other.meta.get("origin") in places}


def _find_twins(
    graph: fx.Graph, root: nn.Module, held: Collection[str], forbidden: Collection[fx.Node]
) -> dict[fx.Node, fx.Node]:
    """Each repeated node and the first one that computes the same."""
    first: dict[Hashable, fx.Node] = {}
    twins: dict[fx.Node, fx.Node] = {}
    digests: dict[str, str] = {}
    for node in graph.nodes:
        identity = None if node in forbidden else _identity(node, root, held, digests)
        if identity is None:
            continue
        arguments = map_arg((node.args, node.kwargs), lambda n: twins.get(n, n))
        key = (node.op, identity, _frozen(arguments))
        if key in first:
            twins[node] = first[key]
        else:
            first[key] = node
    return twins


def _identity(
    node: fx.Node, root: nn.Module, held: Collection[str], digests: dict[str, str]
) -> Hashable | None:
    """What a node does, apart from its inputs; None where it may not be shared."""
    target = str(node.target)
    if node.op in ("call_function", "call_method"):
        source, _ = node.meta.get("origin", (None, None))
        return node.target if source in held else None
    if node.op not in ("call_module", "get_attr"):
        return None
    part = _at(root, target)
    if isinstance(part, Preprocess):  # of a source, or of one within a nested run
        return part.settings
    if not any(target.startswith(f"sources.{name}.") for name in held):
        return None
    if target not in digests:
        digests[target] = _digest(part)
    return digests[target]


def _at(root: nn.Module, target: str) -> nn.Module | Tensor:
    parent, _, name = target.rpartition(".")
    return getattr(root.get_submodule(parent), name)


def _digest(part: nn.Module | Tensor) -> str:
    """SHA-256 of a module's kind, settings and weights."""
    digest = hashlib.sha256()
    if isinstance(part, Tensor):
        tensors: dict[str, Tensor] = {"": part}
    else:
        digest.update(_settings(part).encode())
        tensors = {**dict(part.named_parameters()), **dict(part.named_buffers())}
    for name, tensor in tensors.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        contiguous = tensor.detach().cpu().contiguous()
        digest.update(contiguous.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _settings(module: nn.Module) -> str:
    """A module's kind and settings, and those of what is in it."""
    lines = [repr(module)]
    for path, part in module.named_modules():
        lines.append(f"{path} {type(part).__module__}.{type(part).__qualname__}")
        if not type(part).__module__.startswith("torch.nn."):  # those say all in their repr
            own = {k: v for k, v in vars(part).items() if not k.startswith("_")}
            plain = {k: v for k, v in own.items() if isinstance(v, _PLAIN)}
            lines.append(repr(sorted(plain.items())))
            lines += [f"{k} {id(v)}" for k, v in own.items() if k not in plain]
    return "\n".join(lines)


def _frozen(value: Any) -> Hashable:
    """Arguments as something that can be a key."""
    if isinstance(value, (list, tuple)):
        return tuple(map(_frozen, value))
    if isinstance(value, dict):
        return tuple((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, slice):
        return ("slice", _frozen(value.start), _frozen(value.stop), _frozen(value.step))
    return value
