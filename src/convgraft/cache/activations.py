"""Which nodes of a graph are activations, whether they are written as modules or as functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn


@dataclass(frozen=True)
class Activation:
    """An activation in oneDNN's words.

    Attributes:
        name: oneDNN's name of it.
        numbers: its constants.
        algorithm: which of two ways of computing it, None where there is one.
    """

    name: str
    numbers: tuple[float, ...] = ()
    algorithm: str | None = None


_MODULES: Mapping[type[nn.Module], Callable[[Any], Activation]] = {
    nn.ReLU: lambda module: Activation("relu"),
    nn.ReLU6: lambda module: Activation("hardtanh", (0.0, 6.0)),
    nn.Hardtanh: lambda module: Activation("hardtanh", (module.min_val, module.max_val)),
    nn.Hardswish: lambda module: Activation("hardswish"),
    nn.Hardsigmoid: lambda module: Activation("hardsigmoid"),
    nn.SiLU: lambda module: Activation("swish"),
    nn.Sigmoid: lambda module: Activation("sigmoid"),
    nn.Tanh: lambda module: Activation("tanh"),
    nn.GELU: lambda module: Activation("gelu", (), module.approximate),
    nn.LeakyReLU: lambda module: Activation("leaky_relu", (module.negative_slope,)),
}
_FUNCTIONS: Mapping[object, Activation] = {
    F.relu: Activation("relu"),
    torch.relu: Activation("relu"),
    "relu": Activation("relu"),
    F.relu6: Activation("hardtanh", (0.0, 6.0)),
    F.hardswish: Activation("hardswish"),
    F.hardsigmoid: Activation("hardsigmoid"),
    F.silu: Activation("swish"),
    torch.sigmoid: Activation("sigmoid"),
    "sigmoid": Activation("sigmoid"),
    torch.tanh: Activation("tanh"),
}
_IN_PLACE: Mapping[str, Callable[..., torch.Tensor]] = {
    "relu": torch.relu_,
    "hardtanh": F.hardtanh_,
    "sigmoid": torch.sigmoid_,
    "tanh": torch.tanh_,
    "leaky_relu": F.leaky_relu_,
    "hardswish": lambda x: F.hardswish(x, inplace=True),
    "hardsigmoid": lambda x: F.hardsigmoid(x, inplace=True),
    "swish": lambda x: F.silu(x, inplace=True),
}


def activation_of(node: fx.Node, module: nn.Module | None) -> Activation | None:
    """The activation that a node computes; None where it is something else.

    Args:
        module: what the node calls, where it calls a module.
    """
    if module is not None:
        describe = _MODULES.get(type(module))
        return describe(module) if describe else None
    if node.op not in ("call_function", "call_method") or len(node.args) != 1:
        return None
    plain = set(node.kwargs) <= {"inplace"}
    return _FUNCTIONS.get(node.target) if plain else None


def in_place(activation: Activation) -> Callable[..., torch.Tensor] | None:
    """The function that writes an activation over what it reads: `f(x, *numbers)`, if any."""
    return _IN_PLACE.get(activation.name)
