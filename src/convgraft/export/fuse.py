"""Two linear layers in a row as one: the arithmetic of folding, and where it is exact."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from convgraft.cache.plain_layers import is_plain
from convgraft.layers.adapters import Flat, Resize

Layer = nn.Conv2d | nn.Linear
_SAME = (nn.Identity, nn.Dropout, nn.Dropout2d)
_AVERAGES = (nn.AdaptiveAvgPool2d, Resize, Flat)


def is_same(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether a node, a call of `module` if that is given, gives in evaluation what it is given."""
    return node.target is torch.clone or type(module) in _SAME


def averages(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether a node does the same to every channel and leaves a constant map as it is.

    A 1x1 convolution with its bias can change places with such a node.
    """
    if isinstance(module, nn.AvgPool2d):
        return module.padding in (0, (0, 0)) and module.divisor_override is None
    if isinstance(module, nn.Flatten):
        return module.start_dim == 1
    if node.target in (torch.flatten, "flatten"):
        return node.args[1:] == (1,) and not node.kwargs
    return type(module) in _AVERAGES or node.target is F.adaptive_avg_pool2d


def refusal(first: nn.Conv2d, second: nn.Module) -> str | None:
    """Why `second` cannot take in `first`, which it reads; None where it can, exactly.

    The reason goes on from the name of `second`. `first` has stride 1 and keeps the grid's size, as
    all convolutions of adapters do.
    """
    if not isinstance(second, (nn.Conv2d, nn.Linear)) or not is_plain(second):
        return f"is no plain convolution or dense layer ({type(second).__name__})"
    if isinstance(second, nn.Linear):
        is_vector = second.in_features == first.out_channels
        return None if is_vector else "reads a flattened map, with weights for every position"
    if second.groups > 1:
        return f"works in {second.groups} groups of channels, which the adapter mixes"
    if first.kernel_size != (1, 1) and _pads(second):
        return "pads what the adapter's larger kernel gives, so one kernel differs at the borders"
    if _has_bias(first) and _pads(second) and second.padding_mode == "zeros":
        return "pads with zeros, which the adapter's bias is not: not exact at the borders"
    return None


def _pads(conv: nn.Conv2d) -> bool:
    if conv.padding == "valid":
        return False
    if conv.padding == "same":
        return max(conv.kernel_size) > 1
    return any(map(bool, conv.padding))


def _has_bias(conv: nn.Conv2d) -> bool:
    return conv.bias is not None and bool(conv.bias.any())


def fuse(first: nn.Conv2d, second: Layer) -> Layer:
    """One layer that gives second(first(x)), for two layers that `refusal` has nothing against.

    Worked out in float64; in the precision and on the device of `second`.
    """
    weight, bias = _fused_weight(first, second), _fused_bias(first, second)
    if isinstance(second, nn.Linear):
        fused: Layer = nn.Linear(weight.shape[1], len(weight), bias is not None, device="meta")
    elif first.kernel_size == (1, 1):
        fused = _convolution(weight, bias, second.stride, second.padding, second)
    else:
        fused = _convolution(weight, bias, second.stride, first.padding, None)
    fused.weight = _parameter(weight, second)
    if bias is not None:
        fused.bias = _parameter(bias, second)
    return fused


def _convolution(
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, ...],
    padding: str | tuple[int, ...],
    geometry: nn.Conv2d | None,
) -> nn.Conv2d:
    """An empty convolution of that form; dilation and way of padding are those of `geometry`."""
    channels_out, channels_in, *kernel = weight.shape
    return nn.Conv2d(
        channels_in,
        channels_out,
        (kernel[0], kernel[1]),
        (stride[0], stride[1]),
        padding,  # pyright: ignore[reportArgumentType]
        geometry.dilation if geometry else 1,  # pyright: ignore[reportArgumentType]
        bias=bias is not None,
        padding_mode=geometry.padding_mode if geometry else "zeros",
        device="meta",
    )


def _fused_weight(first: nn.Conv2d, second: Layer) -> Tensor:
    """The product of both weights: [out, in] or [out, in, height, width]."""
    inner, outer = _double(first.weight), _double(second.weight)
    if isinstance(second, nn.Linear):
        return outer @ inner[:, :, 0, 0]
    if first.kernel_size == (1, 1):
        return torch.einsum("omhw,mi->oihw", outer, inner[:, :, 0, 0])
    # each kernel of the first, moved and weighted by the kernels of the second: a full convolution
    reach = [d * (k - 1) for d, k in zip(second.dilation, second.kernel_size, strict=True)]
    moved = F.conv2d(inner.transpose(0, 1), outer.flip(2, 3), None, 1, reach, second.dilation)
    return moved.transpose(0, 1)


def _fused_bias(first: nn.Conv2d, second: Layer) -> Tensor | None:
    """What the second makes of the first's bias, and its own; None where both have none."""
    own = None if second.bias is None else _double(second.bias)
    if first.bias is None or not _has_bias(first):
        return own
    outer = _double(second.weight)
    passed = outer.flatten(2).sum(2) if outer.dim() > 2 else outer
    carried = passed @ _double(first.bias)
    return carried if own is None else own + carried


def _double(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float64)


def _parameter(tensor: Tensor, like: Layer) -> nn.Parameter:
    return nn.Parameter(tensor.to(like.weight).contiguous(), requires_grad=False)
