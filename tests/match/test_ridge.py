"""Least squares from streamed moments, against solvers that see all the data at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.linear_model import Ridge

from convgraft.match import PairMoments, RidgeMap, mean_squared_error, r_squared, solve_ridge
from convgraft.match.ridge import PENALTIES


def streamed(x: torch.Tensor, y: torch.Tensor, batch: int) -> PairMoments:
    starts = range(0, len(x), batch)
    first, *others = (PairMoments.of(x[s : s + batch], y[s : s + batch]) for s in starts)
    for other in others:
        first = first + other
    return first


@pytest.fixture
def values() -> tuple[torch.Tensor, torch.Tensor]:
    scales = torch.tensor([1.0, 2, 0.5, 3, 1], dtype=torch.float64)
    x = torch.randn(180, 5, dtype=torch.float64) * scales + 2
    weight = torch.randn(4, 5, dtype=torch.float64)
    return x, x @ weight.T + 0.3 * torch.randn(180, 4, dtype=torch.float64) - 1


def predicted(ridge: RidgeMap, x: torch.Tensor) -> torch.Tensor:
    return x @ ridge.weight.T + ridge.bias


@pytest.mark.parametrize("batch", [1, 7, 180])
def test_without_a_penalty_it_is_least_squares_with_an_intercept(
    batch: int, values: tuple[torch.Tensor, torch.Tensor]
) -> None:
    x, y = (value.numpy() for value in values)
    solution, *_ = scipy.linalg.lstsq(np.concatenate([x, np.ones((len(x), 1))], 1), y)
    ridge = solve_ridge(streamed(*values, batch), 0.0)
    np.testing.assert_allclose(ridge.weight.numpy(), solution[:-1].T, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(ridge.bias.numpy(), solution[-1], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("penalty", [1e-4, 0.3])
def test_it_is_ridge_regression(penalty: float, values: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, y = (value.numpy() for value in values)
    model = Ridge(alpha=penalty * x.var(0).mean() * len(x)).fit(x, y)
    ridge = solve_ridge(streamed(*values, 6), penalty)
    np.testing.assert_allclose(ridge.weight.numpy(), model.coef_, rtol=1e-9)
    np.testing.assert_allclose(ridge.bias.numpy(), model.intercept_, rtol=1e-9)


def naive_score(x: np.ndarray, y: np.ndarray, penalty: float) -> float:
    """Generalised cross-validation from the hat matrix itself."""
    centred = x - x.mean(0)
    alpha = penalty * x.var(0).mean() * len(x)
    hat = centred @ np.linalg.solve(centred.T @ centred + alpha * np.eye(x.shape[1]), centred.T)
    hat = hat + 1 / len(x)
    error = np.square(y - hat @ y).sum() / len(x)
    return float(error / (1 - np.trace(hat) / len(x)) ** 2)


@pytest.mark.parametrize(
    ("rows", "width", "noise"),
    [(12, 8, 3.0), (30, 8, 1.0), (200, 8, 0.01), (40, 120, 5.0), (60, 100, 1.0)],
)
def test_the_penalty_is_the_one_of_generalised_cross_validation(
    rows: int, width: int, noise: float
) -> None:
    x = torch.randn(rows, width, dtype=torch.float64) + 1
    y = x[:, :3] + noise * torch.randn(rows, 3, dtype=torch.float64)
    scores = [naive_score(x.numpy(), y.numpy(), penalty) for penalty in PENALTIES]
    chosen = solve_ridge(streamed(x, y, 5)).penalty
    assert chosen == PENALTIES[int(np.argmin(scores))]


def test_noise_asks_for_a_stronger_penalty() -> None:
    x = torch.randn(40, 20, dtype=torch.float64)
    noise = torch.randn(40, 5, dtype=torch.float64)
    exact = solve_ridge(PairMoments.of(x, x[:, :5])).penalty
    assert solve_ridge(PairMoments.of(x, noise)).penalty > exact


def test_the_error_and_its_share_are_those_of_new_rows(
    values: tuple[torch.Tensor, torch.Tensor],
) -> None:
    x, y = values
    ridge = solve_ridge(PairMoments.of(x[:100], y[:100]), 0.01)
    new_x, new_y = x[100:], y[100:]
    squares = (predicted(ridge, new_x) - new_y).square().sum(1).mean().item()
    held = PairMoments.of(new_x, new_y)
    assert mean_squared_error(held, ridge) == pytest.approx(squares, rel=1e-9)
    variance = new_y.var(0, correction=0).sum().item()
    assert r_squared(held, ridge) == pytest.approx(1 - squares / variance, rel=1e-9)


@pytest.mark.parametrize("penalty", [None, 0.0, 1e-3])
def test_dead_constant_and_repeated_channels_have_a_solution(penalty: float | None) -> None:
    x = torch.randn(60, 6, dtype=torch.float64)
    x[:, 1], x[:, 2], x[:, 3] = 0, 5, x[:, 0]
    y = x[:, :1] - x[:, 4:5] + 7
    ridge = solve_ridge(PairMoments.of(x, y), penalty)
    assert (predicted(ridge, x) - y).abs().max() < 0.02
    assert ridge.weight[:, 1:3].abs().max() < 1e-6
    torch.testing.assert_close(ridge.weight[:, 0], ridge.weight[:, 3], atol=1e-6, rtol=0)


def test_fewer_rows_than_channels() -> None:
    x, y = torch.randn(4, 8, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    ridge = solve_ridge(PairMoments.of(x, y), 0.0)
    torch.testing.assert_close(predicted(ridge, x), y)


def test_nothing_varies() -> None:
    ridge = solve_ridge(PairMoments.of(torch.ones(9, 3), torch.full((9, 2), 4.0)))
    assert ridge.weight.abs().max() == 0
    torch.testing.assert_close(ridge.bias, torch.full((2,), 4.0, dtype=torch.float64))
    assert math.isnan(r_squared(PairMoments.of(torch.ones(9, 3), torch.ones(9, 2)), ridge))
