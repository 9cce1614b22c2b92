"""Batch norms that see the whole batch where every rank has a share of it.

While it is entered, a batch norm in training mode normalises by mean and variance over all ranks'
images, and its running statistics follow those; held ones are as ever. It is done where PyTorch is
asked for a batch norm (`torch.nn.functional.batch_norm`), so that it holds for modules of every
library. `torch.nn.SyncBatchNorm` does the same, on GPUs alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class BatchNormOverRanks(TorchFunctionMode):
    """Replaces batch norms in training mode while it is entered; all ranks enter it together.

    Args:
        counts: whether this rank's images count; False for a blank one in place of an empty share.
    """

    def __init__(self, *, counts: bool = True) -> None:
        super().__init__()
        self.counts = counts

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Any function but one as it is."""
        if func is F.batch_norm:
            return self._norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """As `torch.nn.functional.batch_norm`, whose arguments these are."""
        if not training:
            return F.batch_norm(
                input, running_mean, running_var, weight, bias, training, momentum, eps
            )
        count, mean, variance = _statistics(input, self.counts)
        if running_mean is not None and running_var is not None:
            unbiased = variance * count / (count - 1).clamp(min=1)
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_(unbiased.to(running_var.dtype), momentum)
        inverse = (variance + eps).rsqrt()
        found = _Normalise.apply(input, mean, inverse, count, self.counts)
        shape = _per_channel(input)
        found = found if weight is None else found * weight.reshape(shape)
        return (found if bias is None else found + bias.reshape(shape)).to(input.dtype)


def _statistics(values: Tensor, counts: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, mean [C] and biased variance [C] of [N, C, ...] over all ranks, in float64."""
    own = values.detach().to(_exact(values))
    channels = own.shape[1]
    variance, mean = torch.var_mean(own, _others(own), correction=0)
    mean, variance = mean.double(), variance.double()
    rows = own.numel() // channels if counts else 0
    sums = torch.cat([mean, variance + mean.square(), mean.new_ones(1)]) * rows
    dist.all_reduce(sums)
    count = sums[-1].clamp(min=1)
    mean = sums[:channels] / count
    return count, mean, (sums[channels:-1] / count - mean.square()).clamp(min=0)


def _exact(values: Tensor) -> torch.dtype:
    """What is worked in: never less than float32."""
    return torch.promote_types(values.dtype, torch.float32)


def _others(values: Tensor) -> list[int]:
    return [0, *range(2, values.dim())]


def _per_channel(values: Tensor) -> tuple[int, ...]:
    return (1, -1, *[1] * (values.dim() - 2))


class _Normalise(torch.autograd.Function):
    """(x - mean) inverse, where mean and inverse depend on all ranks' x that count."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, values: Tensor, mean: Tensor, inverse: Tensor, count: Tensor, counts: bool
    ) -> Tensor:
        shape, exact = _per_channel(values), _exact(values)
        inverse = inverse.to(exact)
        found = values.to(exact).sub(mean.to(exact).reshape(shape)).mul_(inverse.reshape(shape))
        ctx.save_for_backward(found, inverse, count)
        ctx.counts, ctx.dtype = counts, values.dtype
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        found, inverse, count = ctx.saved_tensors
        shape, over = _per_channel(found), _others(found)
        sums = torch.stack([grad.sum(over), (grad * found).sum(over)]).double()
        dist.all_reduce(sums)
        if ctx.counts:  # mean and inverse move with what counts alone
            first, second = (sums / count).to(found.dtype)
            grad = grad - first.reshape(shape) - found * second.reshape(shape)
        return (grad * inverse.reshape(shape)).to(ctx.dtype), None, None, None, None
