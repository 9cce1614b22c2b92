"""A convolution as what it is: a dense layer, most of whose weights are zero and the rest shared.

`as_dense` writes that dense layer's weight down, by index arithmetic; `dense_bias` its bias.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convgraft.errors import UsageError

OUTSIDE = -1  # where a weight lies on a zero of the border


def as_dense(conv: nn.Conv2d, input_size: int | tuple[int, int]) -> Tensor:
    """The weight of the dense layer that does what `conv` does to images of one size.

    Args:
        conv: with any kernel, stride, padding, padding mode, dilation and groups.
        input_size: (H, W) in pixels, or one number for both.

    Returns:
        A sparse matrix M, [C_out * H_out * W_out, C_in * H * W], detached from `conv`, such that
        `conv(x).flatten(1) == x.flatten(1) @ M.T + dense_bias(conv, input_size)` up to rounding.
        It is in coordinate form (`torch.sparse_coo`) and coalesced: each stored entry is one
        connection, sorted by output; one whose weight happens to be 0 is stored too. Where a
        padding mode shows one pixel to several weights of a kernel, their sum is stored.

    Raises UsageError where `conv` is no Conv2d or the image is too small for it.

    >>> as_dense(nn.Conv2d(1, 1, 3), 5).shape
    torch.Size([9, 25])
    """
    rows, columns = _axes(conv, input_size)
    weight = conv.weight.detach()
    channels_out, channels_seen = weight.shape[:2]
    # an index for each dimension of [C_out, C_in / groups, k_h, k_w, H_out, W_out]
    sizes = (*weight.shape, rows.count, columns.count)
    channel, seen, down, across, y, x = torch.meshgrid(*map(torch.arange, sizes), indexing="ij")
    group = channel // (channels_out // conv.groups)
    row, column = rows.pixels[y, down], columns.pixels[x, across]
    unit_out = (channel * rows.count + y) * columns.count + x
    unit_in = ((group * channels_seen + seen) * rows.size + row) * columns.size + column
    inside = (row != OUTSIDE) & (column != OUTSIDE)
    units_in = conv.in_channels * rows.size * columns.size
    matrix = torch.sparse_coo_tensor(
        torch.stack([unit_out[inside], unit_in[inside]]).to(weight.device),
        weight[channel[inside], seen[inside], down[inside], across[inside]],
        (channels_out * rows.count * columns.count, units_in),
        check_invariants=True,
    )
    return matrix.coalesce()


def dense_bias(conv: nn.Conv2d, input_size: int | tuple[int, int]) -> Tensor:
    """The bias of that dense layer, [C_out * H_out * W_out]: each channel's at all its positions.

    Zeros where `conv` has none. Raises UsageError as `as_dense` does.
    """
    rows, columns = _axes(conv, input_size)
    bias = conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
    return bias.repeat_interleave(rows.count * columns.count)


@dataclass(frozen=True, eq=False)
class _Axis:
    """What a convolution does along the height or the width.

    Attributes:
        size: of the image.
        pixels: [positions of the output, length of the kernel], the pixel that each weight of the
            kernel lies on, or OUTSIDE.
    """

    size: int
    pixels: Tensor

    @property
    def count(self) -> int:
        """Positions of the output."""
        return len(self.pixels)


def _axes(conv: nn.Conv2d, input_size: int | tuple[int, int]) -> tuple[_Axis, _Axis]:
    if not isinstance(conv, nn.Conv2d):
        raise UsageError(
            "as_dense takes one convolution layer",
            expected="an nn.Conv2d",
            found=type(conv).__name__,
        )
    size = (input_size, input_size) if isinstance(input_size, int) else input_size
    return _axis(conv, 0, size[0]), _axis(conv, 1, size[1])


def _axis(conv: nn.Conv2d, axis: int, size: int) -> _Axis:
    kernel, stride, dilation = (
        setting[axis] for setting in (conv.kernel_size, conv.stride, conv.dilation)
    )
    reach = dilation * (kernel - 1) + 1
    before, after = _padding(conv, axis, reach)
    # what torch's padding modes ask for
    most_padding = {"reflect": size - 1, "circular": size}.get(conv.padding_mode, before + after)
    if size < 1 or size + before + after < reach or max(before, after) > most_padding:
        raise UsageError(
            f"{size} pixels {('down', 'across')[axis]} are too few for the convolution",
            expected=f"a kernel over {reach} pixels, padded by {before} and {after}, fits into it",
            found=str(conv),
        )
    starts = torch.arange(0, size + before + after - reach + 1, stride) - before
    pixels = starts[:, None] + torch.arange(kernel) * dilation
    return _Axis(size, _inside(pixels, size, conv.padding_mode))


def _padding(conv: nn.Conv2d, axis: int, reach: int) -> tuple[int, int]:
    """Pixels added before and after the image along one axis."""
    if conv.padding == "same":  # torch puts the odd one after
        return (reach - 1) // 2, reach - 1 - (reach - 1) // 2
    if isinstance(conv.padding, str):
        return 0, 0
    return conv.padding[axis], conv.padding[axis]


def _inside(pixels: Tensor, size: int, mode: str) -> Tensor:
    """The pixel of the image that stands at each place in and around it."""
    if mode == "circular":
        return pixels % size
    if mode == "replicate":
        return pixels.clamp(0, size - 1)
    if mode == "reflect":
        return (size - 1) - ((size - 1) - pixels.abs()).abs()
    return pixels.where((pixels >= 0) & (pixels < size), OUTSIDE)
