"""Where a gradient is exactly zero at the first step: before a gate at zero.

The derivative of scale * x by x is the scale. Where that is zero, all that x was computed from
receives a gradient of zero until the scale has moved; the scale itself receives another one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from torch import Tensor, nn

from convgraft.layers.adapters import Gate, ResidualMix
from convgraft.layers.joins import Concat, CrossFade
from convgraft.layers.side import SideHead

_SCALING = (nn.Linear, nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.LayerNorm)


@dataclass(frozen=True)
class ZeroGate:
    """A parameter at zero inside a module, and what it keeps the gradient from.

    Attributes:
        gate: the parameter's name within the module.
        weights: names of the module's own parameters before it.
        inputs: places of the module's inputs from which no other way leads past it.
    """

    gate: str
    weights: frozenset[str] = frozenset()
    inputs: frozenset[int] = frozenset()


def zero_gates(module: nn.Module, inputs: int) -> list[ZeroGate]:
    """The gates at zero in a module that takes so many inputs, by its weights as they are now.

    >>> zero_gates(nn.Sequential(nn.Conv2d(2, 4, 1, bias=False), Gate(4)), 1)
    [ZeroGate(gate='1.scale', weights=frozenset({'0.weight'}), inputs=frozenset({0}))]
    """
    arriving = frozenset(range(1, inputs))
    if isinstance(module, CrossFade):
        if _is_zero(module.gate):
            return [ZeroGate("gate", inputs=arriving)]
        return [ZeroGate("gate", inputs=frozenset({0}))] if _is_zero(module.gate - 1) else []
    if isinstance(module, Concat):
        shut = module.gate is not None and _is_zero(module.gate.scale)
        return [ZeroGate("gate.scale", _names(module.mix, "mix."), arriving)] if shut else []
    if isinstance(module, SideHead):
        blocks = enumerate(module.blocks)
        chains = [
            _chain(block.get_submodule("layers"), f"blocks.{n}.layers.") for n, block in blocks
        ]
        return [replace(gate, inputs=frozenset()) for chain in chains for gate in chain]
    return _chain(module, "")


def _chain(module: nn.Module, prefix: str) -> list[ZeroGate]:
    """Layers that run one after the other: what comes before a gate at zero is behind it."""
    if not isinstance(module, nn.Sequential):
        return _layer(module, prefix)
    found: list[ZeroGate] = []
    before: frozenset[str] = frozenset()
    for name, child in module.named_children():
        for gate in _chain(child, f"{prefix}{name}."):
            found.append(replace(gate, weights=gate.weights | before) if gate.inputs else gate)
        before |= _names(child, f"{prefix}{name}.")
    return found


def _layer(module: nn.Module, prefix: str) -> list[ZeroGate]:
    if isinstance(module, ResidualMix) and _is_zero(module.scale):
        return [ZeroGate(f"{prefix}scale", _names(module.block, f"{prefix}block."))]
    if isinstance(module, Gate) and _is_zero(module.scale):
        return [ZeroGate(f"{prefix}scale", inputs=frozenset({0}))]
    weight = getattr(module, "weight", None)
    if isinstance(module, _SCALING) and isinstance(weight, nn.Parameter) and _is_zero(weight):
        return [ZeroGate(f"{prefix}weight", inputs=frozenset({0}))]
    return []


def _is_zero(values: Tensor) -> bool:
    return not bool(values.any())


def _names(module: nn.Module, prefix: str) -> frozenset[str]:
    names: Iterable[str] = (name for name, _ in module.named_parameters())
    return frozenset(f"{prefix}{name}" for name in names)
