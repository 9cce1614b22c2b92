"""Which part of a network is in the way of exporting it: each part is tried alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import methodcaller
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

Attempt = Callable[[nn.Module, tuple[Tensor, ...]], object]
HARMLESS = (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.ReLU, nn.Identity, nn.Dropout)


def find_culprit(network: nn.Module, size: int, attempt: Attempt) -> str | None:
    """The first part that cannot be exported alone, in words; None where each of them can.

    Args:
        network: a graph, images uint8 [N, 3, S, S] to anything; of other modules nothing is known.
        size: S, in pixels.
        attempt: exports one module for given inputs, and raises where that cannot be done.
    """
    if not isinstance(network, fx.GraphModule):
        return None
    images = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    known: set[str] = set()
    for name, alone, inputs in _parts(network, images):
        kind = alone.kind
        if kind in known:
            continue
        known.add(kind)
        try:
            attempt(alone, inputs)
        except Exception:  # whatever it is, this part is in the way
            return name
    return None


class _Alone(nn.Module):
    """One call of a graph as a module whose inputs are the call's tensors."""

    def __init__(self, call: Callable[..., Any], args: Any, kwargs: Any, kind: str) -> None:
        super().__init__()
        self.module = call if isinstance(call, nn.Module) else None
        self.call, self.kind = call, kind
        self.values, self.form = tree_flatten((args, kwargs))

    def forward(self, *tensors: Tensor) -> Any:
        """What the call gives for other tensors in the places of those it was made with."""
        given = iter(tensors)
        values = [next(given) if isinstance(v, Tensor) else v for v in self.values]
        args, kwargs = tree_unflatten(values, self.form)
        return self.call(*args, **kwargs)


class _Notes(fx.Interpreter):
    """Runs a graph, and notes the calls in it."""

    def __init__(self, network: fx.GraphModule) -> None:
        super().__init__(network)
        self.calls: list[tuple[str, _Alone, tuple[Tensor, ...]]] = []

    def run_node(self, n: fx.Node) -> Any:
        """As always, and noted."""
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        path = n.meta.get("path") or str(n.target)
        if n.op == "call_module":
            module = self.fetch_attr(str(n.target))
            kind = type(module).__name__
            if not isinstance(module, HARMLESS):
                self._note(f'the module "{path}" ({kind})', repr(module), module, args, kwargs)
        elif n.op in ("call_function", "call_method"):
            name = getattr(n.target, "__name__", n.target)
            call = n.target if callable(n.target) else methodcaller(str(n.target))
            self._note(f'{name}() in "{path}"', str(n.target), call, args, kwargs)
        return super().run_node(n)

    def _note(self, name: str, kind: str, call: Callable[..., Any], args: Any, kwargs: Any) -> None:
        alone = _Alone(call, args, kwargs, kind)
        inputs = tuple(value for value in alone.values if isinstance(value, Tensor))
        if inputs:
            self.calls.append((name, alone, inputs))


def _parts(
    network: fx.GraphModule, images: Tensor
) -> Iterator[tuple[str, _Alone, tuple[Tensor, ...]]]:
    notes = _Notes(network)
    try:
        with torch.no_grad():
            notes.run(images)
    except Exception:  # the last call that was noted is the one that failed
        yield from notes.calls[-1:]
        return
    yield from notes.calls
