"""How a row lies on disk: a value's shape, the type of its numbers, and what that costs.

float32    exact                                      4 bytes a number
bfloat16   8 bits of mantissa                         2
float16    11 bits of mantissa, up to 65504           2
int8       one scale for each image, 255 levels       1 (and 4 for each image)
uint8      exact, for pixels                          1
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convgraft.errors import RunError, UsageError, near_miss

SCALE_BYTES = 4
LEVELS = 127
ERRORS = {
    "float32": "exact",
    "bfloat16": "8 bits of mantissa: within 0.4 % of each number",
    "float16": "11 bits of mantissa: within 0.05 % of each number, or 3e-8",
    "int8": "within 1/254 of the image's largest number",
    "uint8": "exact",
}
DTYPES = tuple(ERRORS)
PLAIN = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "uint8": torch.uint8,
}


@dataclass(frozen=True)
class RowType:
    """What one image's value is, and how it is stored.

    Attributes:
        shape: of one image's value, without the batch, e.g. (1280,) or (64, 8, 8).
        dtype: one of `DTYPES`.

    >>> RowType((3, 2), "int8").row_bytes
    10
    """

    shape: tuple[int, ...]
    dtype: str

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise UsageError(
                f'values cannot be stored as "{self.dtype}"',
                expected=f"one of {', '.join(DTYPES)}",
                hint=near_miss(self.dtype, DTYPES),
            )
        if any(length < 1 for length in self.shape):
            raise ValueError(f"a stored value has at least one number, not shape {self.shape}")

    @property
    def row_bytes(self) -> int:
        """The length of a row in bytes."""
        if self.dtype == "int8":
            return SCALE_BYTES + self._numbers
        return self._numbers * PLAIN[self.dtype].itemsize

    @property
    def error(self) -> str:
        """How far a number that is read may be from the one that was written, in words."""
        return ERRORS[self.dtype]

    def encode(self, values: Tensor) -> NDArray[np.uint8]:
        """Values as rows of bytes.

        Args:
            values: [N, *shape], on any device; integers of 0 to 255 in a uint8 tensor for `uint8`.

        Returns:
            [N, row_bytes]; it may be a view of `values`.

        Raises:
            RunError: the numbers do not fit in the type.
        """
        if tuple(values.shape[1:]) != self.shape or not values.ndim:
            raise ValueError(f"expected [N, {self.shape}], found {tuple(values.shape)}")
        if (self.dtype == "uint8") != (values.dtype == torch.uint8):
            raise ValueError(f"{values.dtype} is not stored as {self.dtype}")
        if not len(values):
            return np.empty((0, self.row_bytes), np.uint8)
        flat = values.detach().cpu().reshape(len(values), self._numbers)
        if self.dtype == "int8":
            return _scaled(flat.float())
        plain = flat.to(PLAIN[self.dtype]).contiguous()
        if self.dtype.endswith("float16") and plain.isinf().any():
            raise _too_large(flat, self.dtype)
        return plain.view(torch.uint8).numpy()

    def decode(self, rows: NDArray[np.uint8]) -> Tensor:
        """Rows of bytes as values: float32, or uint8 for `uint8`.

        Args:
            rows: [N, row_bytes]

        Returns:
            [N, *shape]; for float32 and uint8 a view of `rows` where these are writable and
            contiguous, else a fresh tensor.
        """
        if not (rows.flags.writeable and rows.flags.c_contiguous):
            rows = rows.copy()
        found = torch.from_numpy(rows)
        if not len(rows):
            kind = torch.uint8 if self.dtype == "uint8" else torch.float32
            return torch.empty(0, *self.shape, dtype=kind)
        if self.dtype == "int8":
            scale = found[:, :SCALE_BYTES].contiguous().view(torch.float32)
            numbers = found[:, SCALE_BYTES:].view(torch.int8).float().mul_(scale)
        else:
            numbers = found.view(PLAIN[self.dtype])
        values = numbers if self.dtype == "uint8" else numbers.float()
        return values.view(len(rows), *self.shape)

    @property
    def _numbers(self) -> int:
        return math.prod(self.shape)


def _scaled(flat: Tensor) -> NDArray[np.uint8]:
    """[N, numbers] as one float32 scale and int8 numbers for each row."""
    if not flat.isfinite().all():
        raise RunError(
            "values cannot be stored as int8",
            expected="finite numbers",
            found="infinite numbers, or such that are none (NaN)",
            hint="another network or weights; float32 stores them as they are",
        )
    scale = flat.abs().amax(dim=1, keepdim=True) / LEVELS
    whole = torch.where(scale > 0, flat / scale, 0).round().clamp(-LEVELS, LEVELS).to(torch.int8)
    return np.concatenate([scale.numpy().view(np.uint8), whole.numpy().view(np.uint8)], axis=1)


def _too_large(flat: Tensor, dtype: str) -> RunError:
    largest = torch.finfo(PLAIN[dtype]).max
    return RunError(
        f"values cannot be stored as {dtype}",
        expected=f"numbers up to {largest:.5g}",
        found=f"{flat.abs().max().item():.5g}",
        hint="float32" if dtype == "bfloat16" else "bfloat16, or float32",
    )
