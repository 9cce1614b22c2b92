"""Keys of values: a digest of everything that a stored value depends on, beside the image itself.

Two values of two composites have one key when the same operations with equal weights make them,
so that every strategy, seed and baseline on the same networks reads the same store. The copies that
a plan makes of a value do not count, nor do names of sources.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from convgraft.cache.pooled import is_pooled
from convgraft.cache.telling import Teller
from convgraft.compose import Composite
from convgraft.sources.dry_run import DryRun

FORMAT = 1  # of the keys: to be raised when equal keys could mean other values than before
_LIBRARIES = ("torch", "torchvision", "timm", "numpy", "pillow")
_COMPUTES = ("layers", "sources", "data")
_COPIES = (torch.clone, Tensor.clone, "clone")


def graph_keys(composite: Composite, nodes: Iterable[fx.Node], run: DryRun) -> dict[fx.Node, str]:
    """For each node a digest of what it computes, from the image on, in 64 hex digits.

    Args:
        nodes: with all that they depend on, in graph order.
        run: a dry run of their graph, which knows what is overwritten in place.
    """
    keys: dict[fx.Node, str] = {}
    writers: dict[int, str] = {}  # of every storage, the last node that overwrote it
    digests: dict[str, str] = {}
    for node in nodes:
        known = {n: _by_now(n, keys, writers, run) for n in node.all_input_nodes}
        if node.target in _COPIES:
            keys[node] = known[node.all_input_nodes[0]]
        elif is_pooled(node):
            read = node.all_input_nodes[0]
            keys[node] = pooled_key(known[read], run.shapes[read.name][1:])
        else:
            does = _operation(node, composite, digests)
            told = [_told(node.args, known), _told(node.kwargs, known)]
            keys[node] = _digest(node.op, does, *told)
        for storage in run.mutations.get(node.name, ()):
            writers[storage] = keys[node]
    return keys


def pooled_key(computed: str, shape: tuple[int, ...]) -> str:
    """The digest of the mean over positions of a value; a vector or one position is that already.

    Args:
        computed: the digest of what makes the value.
        shape: of the value, without the batch.
    """
    return computed if prod(shape) == shape[0] else _digest("mean over positions", computed)


def value_key(computed: str, *, image_size: int, view: str = "") -> str:
    """The key of a value that a node with the digest `computed` gives.

    Args:
        image_size: side in pixels of the images that go in.
        view: what augments them; empty where nothing does.
    """
    told = [str(FORMAT), computed, str(image_size), view, own_code(), *_versions()]
    return _digest("value", *told)


def _by_now(
    node: fx.Node, keys: Mapping[fx.Node, str], writers: Mapping[int, str], run: DryRun
) -> str:
    """The digest of what a node's value has become: somebody may have overwritten it by now."""
    writer = writers.get(run.storages.get(node.name, -1), keys[node])
    return keys[node] if writer == keys[node] else _digest("overwritten", keys[node], writer)


def _operation(node: fx.Node, composite: Composite, digests: dict[str, str]) -> str:
    """What a node does, apart from its inputs."""
    target = str(node.target)
    if node.op in ("call_module", "get_attr"):
        if target not in digests:
            parent, _, name = target.rpartition(".")
            digests[target] = part_digest(getattr(composite.get_submodule(parent), name))
        return digests[target]
    if node.op == "call_function":
        return Teller(part_digest).tell(node.target)
    return "" if node.op == "placeholder" else target


def part_digest(part: nn.Module | Tensor, teller: Teller | None = None) -> str:
    """A digest of a module's kind, settings, code and weights, or of a tensor."""
    digest, teller = hashlib.sha256(), teller or Teller(part_digest)
    if isinstance(part, Tensor):
        tensors: dict[str, Tensor] = {"": part}
    else:
        for path, inner in part.named_modules(remove_duplicate=False):
            digest.update(f"{path} {teller.settings(inner)}\n".encode())
        own = (part.named_parameters, part.named_buffers)
        tensors = dict(pair for named in own for pair in named(remove_duplicate=False))
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().view(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _told(value: Any, keys: Mapping[fx.Node, str]) -> str:
    """Arguments as text, nodes by their keys."""
    if isinstance(value, fx.Node):
        return keys[value]
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_told(item, keys) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_told(item, keys)}' for key, item in value.items())}}}"
    if isinstance(value, slice):
        return f"slice({_told([value.start, value.stop, value.step], keys)})"
    return Teller(part_digest).tell(value)


@cache
def own_code() -> str:
    """A digest of the files of convgraft that decode, augment, prepare and compute.

    A version would do for those who install releases, and not for those who change the code.
    """
    root = Path(__file__).parents[1]
    files = sorted(file for folder in _COMPUTES for file in (root / folder).rglob("*.py"))
    return _digest(*(f"{file.name} {file.read_text()}" for file in files))


def _versions() -> list[str]:
    found: list[str] = []
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    return found


def _digest(*texts: str) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{len(text)}:{text}".encode())
    return digest.hexdigest()
