"""Averages over all positions, in the word that ONNX has for them.

PyTorch takes a pool to one position apart into a mean and a change of strides, which would become a
gather over indices, and a mean into a general reduction. ONNX Runtime knows `GlobalAveragePool`: it
keeps the layout that convolutions like, and can be computed in whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch.export import ExportedProgram

POSITIONS = {2, 3}


def pools_as_means(program: ExportedProgram) -> ExportedProgram:
    """The same program, its own graph changed: pools to one position are means over positions."""
    graph = program.graph
    pool, mean = torch.ops.aten.adaptive_avg_pool2d.default, torch.ops.aten.mean.dim
    for node in graph.find_nodes(op="call_function", target=pool):
        value, size = node.args
        if list(size) == [1, 1] and value.meta["val"].dim() == 4:
            node.target, node.args = mean, (value, [2, 3], True)
    program.graph_module.recompile()
    return program


def translations() -> dict[Any, Callable[..., Any]]:
    """What PyTorch's exporter should use in place of its own translations, by ATen operator."""
    return {torch.ops.aten.mean.dim: _mean}


def _mean(
    value: Any, dim: Sequence[int] | None = None, keepdim: bool = False, dtype: int = -1
) -> Any:
    """mean.dim(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None)."""
    import onnxscript

    op: Any = onnxscript.opset18  # its types know single tensors alone
    rank = len(value.shape)
    places = range(rank) if dim is None else (place % rank for place in dim)
    axes = sorted(set(places))
    if set(axes) == POSITIONS and rank == 4:
        pooled = op.GlobalAveragePool(value)
        found = pooled if keepdim else op.Flatten(pooled, axis=1)
    else:
        found = op.ReduceMean(value, op.Constant(value_ints=axes), keepdims=keepdim)
    return found if dtype in (-1, None) else op.Cast(found, to=dtype)
