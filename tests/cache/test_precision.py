"""Rows on disk: each type against its stated error, and against encoding number by number."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch
from torch import Tensor

from convgraft.cache import DTYPES, RowType
from convgraft.errors import ConvgraftError, UsageError


def _values(dtype: str, shape: tuple[int, ...] = (4, 3, 2)) -> Tensor:
    if dtype == "uint8":
        return torch.randint(0, 256, (5, *shape), dtype=torch.uint8)
    return torch.randn(5, *shape) * torch.tensor([1e-3, 1.0, 50.0, 0.0, 7.0]).reshape(5, 1, 1, 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_come_back_within_the_stated_error(dtype: str) -> None:
    values = _values(dtype)
    row = RowType((4, 3, 2), dtype)
    rows = row.encode(values)
    assert rows.dtype == np.uint8
    assert rows.shape == (5, row.row_bytes)
    found = row.decode(rows)
    assert found.dtype == (torch.uint8 if dtype == "uint8" else torch.float32)
    assert found.shape == values.shape
    off = (found.double() - values.double()).abs()
    size = values.double().abs()
    bound = {
        "float32": 0 * size,
        "uint8": 0 * size,
        "bfloat16": size * 0.004,
        "float16": size * 0.0005 + 3e-8,
        "int8": size.amax(dim=(1, 2, 3), keepdim=True).expand_as(size) / 254 * (1 + 1e-6),
    }[dtype]
    assert (off <= bound).all()
    assert row.error


def test_int8_is_what_a_loop_over_numbers_writes() -> None:
    values = _values("int8", (2, 2, 2))
    rows = RowType((2, 2, 2), "int8").encode(values)
    for value, row in zip(values, rows, strict=True):
        numbers = [float(number) for number in value.flatten()]
        scale = struct.unpack("f", struct.pack("f", max(map(abs, numbers)) / 127))[0]
        whole = [round(number / scale) if scale else 0 for number in numbers]
        assert row.tobytes() == struct.pack("f8b", scale, *whole)


def test_row_bytes() -> None:
    assert {dtype: RowType((4, 5), dtype).row_bytes for dtype in DTYPES} == {
        "float32": 80, "bfloat16": 40, "float16": 40, "int8": 24, "uint8": 20,
    }  # fmt: skip
    assert RowType((), "float32").row_bytes == 4


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_images_are_no_rows(dtype: str) -> None:
    row = RowType((3,), dtype)
    none = torch.empty(0, 3, dtype=torch.uint8 if dtype == "uint8" else torch.float32)
    assert row.decode(row.encode(none)).shape == (0, 3)


@pytest.mark.parametrize("number", [65520.0, -1e6, float("inf")])
def test_float16_refuses_what_it_cannot_hold(number: float) -> None:
    with pytest.raises(ConvgraftError, match="float16") as told:
        RowType((2,), "float16").encode(torch.tensor([[1.0, number]]))
    assert "bfloat16" in str(told.value)
    assert RowType((1,), "float16").encode(torch.tensor([[65504.0]])).shape == (1, 2)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_int8_refuses_what_is_not_finite(number: float) -> None:
    with pytest.raises(ConvgraftError, match="int8"):
        RowType((2,), "int8").encode(torch.tensor([[1.0, number]]))


def test_a_map_in_channels_last_is_stored_in_its_logical_order() -> None:
    values = torch.randn(2, 3, 4, 5)
    row = RowType((3, 4, 5), "float32")
    laid_out = values.to(memory_format=torch.channels_last)
    assert (row.encode(laid_out) == row.encode(values)).all()


def test_rows_that_cannot_be_written_to_are_copied() -> None:
    row = RowType((2,), "float32")
    rows = row.encode(torch.ones(1, 2)).copy()
    rows.flags.writeable = False
    row.decode(rows).zero_()
    assert torch.equal(row.decode(rows), torch.ones(1, 2))


def test_wrong_types_and_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean float16"):
        RowType((2,), "flot16")
    with pytest.raises(ValueError, match="expected"):
        RowType((2,), "float32").encode(torch.ones(1, 3))
    with pytest.raises(ValueError, match="uint8"):
        RowType((2,), "uint8").encode(torch.ones(1, 2))
