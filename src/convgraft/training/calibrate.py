"""Statistics for heads from a pass over training images, before the first step.

A head standardises what it reads. Where everything upstream is frozen, mean and variance of that
are fixed numbers: they are computed once, in float64, and kept, instead of being followed batch by
batch. Elsewhere they begin at what the untrained composite gives, so that a fit of few steps does
not end before its running statistics have come near.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn

from convgraft.cache.steady import steady_nodes
from convgraft.cache.stored import StoredValues
from convgraft.compose import Composite
from convgraft.data import Pixels
from convgraft.opening.memory_format import fastest_format
from convgraft.training.evaluate import answers
from convgraft.training.process_group import current_group
from convgraft.training.read_inputs import read_inputs

_Norm = nn.modules.batchnorm._BatchNorm


def standardisers(held: Composite) -> tuple[set[str], set[str]]:
    """Paths of the weightless norms in heads: those whose inputs cannot change, and the others."""
    steady = steady_nodes(held)
    fixed: set[str] = set()
    moving: set[str] = set()
    for node in held.train_graph.find_nodes(op="call_module", sort=True):
        if str(node.target).startswith("heads."):
            is_fixed = all(argument in steady for argument in node.all_input_nodes)
            (fixed if is_fixed else moving).update(_norms(held, str(node.target)))
    return fixed, moving


def _norms(composite: Composite, head: str) -> list[str]:
    modules = composite.get_submodule(head).named_modules()
    return [f"{head}.{name}" for name, m in modules if isinstance(m, _Norm) and not m.affine]


def calibrate(
    composite: Composite,
    images: Tensor | Pixels | StoredValues,
    norms: Collection[str],
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Set the running statistics of those norms to the exact ones over `images`, in place.

    Args:
        images: as the composite takes them, or the stored values that its rest takes. Each of
            several ranks looks at a share of them.
    """
    if not norms:
        return
    sums = {path: _Moments.of(composite.get_submodule(path)) for path in norms}
    layout = torch.contiguous_format
    if not isinstance(images, StoredValues):
        layout = fastest_format(composite)  # found by a trial that must not be counted
    with read_inputs(composite, norms, _Moments.of_values, lambda path, one: sums[path].add(one)):
        answers(composite, images, layout=layout, on_progress=on_progress, gather=False)
    for path, moments in sums.items():
        norm = composite.get_submodule(path)
        assert isinstance(norm, _Norm)
        moments.over_ranks().write(norm)


class _Moments:
    """Sums over all values of each channel, in float64."""

    def __init__(self, count: float, first: Tensor, second: Tensor) -> None:
        self.count, self.first, self.second = count, first, second

    @classmethod
    def of(cls, norm: nn.Module) -> _Moments:
        """None yet, of a norm's channels."""
        assert isinstance(norm, _Norm)
        none = torch.zeros(norm.num_features, dtype=torch.float64)
        return cls(0, none, none)

    def over_ranks(self) -> _Moments:
        """Those of the images of all ranks."""
        group = current_group()
        if group.world == 1:
            return self
        count = torch.tensor([self.count], dtype=torch.float64)
        channels = len(self.first)
        sums = group.total(torch.cat([self.first, self.second, count]))
        return _Moments(sums[-1].item(), sums[:channels], sums[channels:-1])

    @classmethod
    def of_values(cls, values: Tensor) -> _Moments:
        """Those of values [N, C, ...]."""
        rows = values.cpu().double().transpose(0, 1).flatten(1)
        return cls(rows.shape[1], rows.sum(1), rows.square().sum(1))

    def add(self, other: _Moments) -> None:
        self.count += other.count
        self.first = self.first + other.first
        self.second = self.second + other.second

    def write(self, norm: _Norm) -> None:
        mean = self.first / self.count
        variance = (self.second / self.count - mean.square()).clamp(min=0)
        variance = variance * self.count / max(1, self.count - 1)
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
