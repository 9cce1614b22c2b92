"""Least squares from streamed moments, against solvers that see all the data at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from convgraft.match import RidgeMoments


def streamed(x: torch.Tensor, y: torch.Tensor, batch: int) -> RidgeMoments:
    moments = RidgeMoments(x.shape[1], y.shape[1])
    for start in range(0, len(x), batch):
        moments.add(x[start : start + batch], y[start : start + batch])
    return moments


def rows(value: torch.Tensor) -> np.ndarray:
    """[N, C, H, W] as one row for each image and position."""
    return np.array(
        [
            value[n, :, i, j].tolist()
            for n in range(len(value))
            for i in range(value.shape[2])
            for j in range(value.shape[3])
        ]
    )


@pytest.fixture
def maps() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(20, 5, 3, 3) * torch.tensor([1.0, 2, 0.5, 3, 1]).view(-1, 1, 1) + 2
    y = torch.einsum("oc,nchw->nohw", torch.randn(4, 5), x) + 0.1 * torch.randn(20, 4, 3, 3) - 1
    return x, y


@pytest.mark.parametrize("batch", [1, 7, 20])
def test_without_a_penalty_it_is_least_squares_with_an_intercept(
    batch: int, maps: tuple[torch.Tensor, torch.Tensor]
) -> None:
    x, y = map(rows, maps)
    design = np.concatenate([x, np.ones((len(x), 1))], 1)
    solution, *_ = np.linalg.lstsq(design, y, rcond=None)
    weight, bias = streamed(*maps, batch).solve(penalty=0.0)
    np.testing.assert_allclose(weight.numpy(), solution[:-1].T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(bias.numpy(), solution[-1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("penalty", [1e-4, 0.3])
def test_it_is_ridge_regression(penalty: float, maps: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, y = map(rows, maps)
    model = Ridge(alpha=penalty * x.var(0).mean() * len(x)).fit(x, y)
    weight, bias = streamed(*maps, 6).solve(penalty)
    np.testing.assert_allclose(weight.numpy(), model.coef_, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(bias.numpy(), model.intercept_, rtol=1e-4, atol=1e-5)


def test_vectors() -> None:
    x = torch.randn(50, 3)
    weight, bias = streamed(x, x @ torch.tensor([[1.0, 2, 3]]).T + 4, 8).solve(0.0)
    torch.testing.assert_close(weight, torch.tensor([[1.0, 2, 3]]))
    torch.testing.assert_close(bias, torch.tensor([4.0]))


def test_a_dead_channel_and_fewer_rows_than_channels_have_a_solution() -> None:
    x, y = torch.randn(4, 8), torch.randn(4, 2)
    x[:, 3] = 0
    weight, bias = streamed(x, y, 2).solve()
    assert weight.isfinite().all()
    assert bias.isfinite().all()
    assert (x @ weight.T + bias - y).square().mean() < 0.01 * y.square().mean()
