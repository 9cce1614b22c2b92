"""CKA against the formula written out with kernel matrices."""

from __future__ import annotations

import math

import pytest
import torch

from convgraft.match import PairMoments, debiased_cka


def naive_hsic(k: torch.Tensor, l: torch.Tensor) -> torch.Tensor:  # noqa: E741
    """Song et al. 2012, equation 5: kernels without their diagonals."""
    n = len(k)
    k, l = k - torch.diag(k.diagonal()), l - torch.diag(l.diagonal())  # noqa: E741
    ones = torch.ones(n, dtype=k.dtype)
    value = torch.trace(k @ l)
    value = value + (ones @ k @ ones) * (ones @ l @ ones) / ((n - 1) * (n - 2))
    return (value - 2 / (n - 2) * (ones @ k @ l @ ones)) / (n * (n - 3))


def naive_cka(x: torch.Tensor, y: torch.Tensor) -> float:
    k, l = x @ x.T, y @ y.T  # noqa: E741
    return (naive_hsic(k, l) / (naive_hsic(k, k) * naive_hsic(l, l)).sqrt()).item()


def values(rows: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(rows, 6, dtype=torch.float64) + 3
    y = x @ torch.randn(6, 4, dtype=torch.float64) + 2 * torch.randn(rows, 4, dtype=torch.float64)
    return x, y


@pytest.mark.parametrize("rows", [4, 9, 200])
def test_it_is_the_naive_formula(rows: int) -> None:
    x, y = values(rows)
    assert debiased_cka(PairMoments.of(x, y)) == pytest.approx(naive_cka(x, y), rel=1e-8)


def test_streamed_in_parts_it_is_the_same() -> None:
    x, y = values()
    parts = PairMoments.of(x[:7], y[:7]) + PairMoments.of(x[7:], y[7:])
    assert debiased_cka(parts) == pytest.approx(naive_cka(x, y), rel=1e-8)


def test_rotations_shifts_and_scales_change_nothing() -> None:
    x, y = values()
    turn, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))
    moved = debiased_cka(PairMoments.of(0.1 * x @ turn - 5, y))
    assert moved == pytest.approx(debiased_cka(PairMoments.of(x, y)), rel=1e-6)


def test_unrelated_taps_are_about_zero_even_with_more_channels_than_rows() -> None:
    x = torch.randn(30, 200, dtype=torch.float64)
    y = torch.randn(30, 200, dtype=torch.float64)
    assert abs(debiased_cka(PairMoments.of(x, y))) < 0.1


@pytest.mark.parametrize("constant", [0.0, 3.7])
def test_a_constant_tap_is_alike_to_nothing(constant: float) -> None:
    x, _ = values()
    still = torch.full((len(x), 3), constant, dtype=torch.float64)
    assert math.isnan(debiased_cka(PairMoments.of(x, still)))
    assert math.isnan(debiased_cka(PairMoments.of(still, x)))


def test_three_rows_are_too_few() -> None:
    assert math.isnan(debiased_cka(PairMoments.of(torch.randn(3, 2), torch.randn(3, 2))))
