"""Moments in one pass, against plain matrices of all values."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from convgraft.errors import UsageError
from convgraft.match import AllPairs, PairMoments, sampling_bound
from convgraft.match.grids import Sampler, on_grid, resize_rows
from convgraft.match.moments import gram

LEFT = [(3, 8, 8), (5, 4, 4)]
RIGHT = [(4, 8, 8), (2, 2, 2), (6,)]


def maps(images: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    left = [torch.randn(images, *shape) + 1 for shape in LEFT]
    return left, [torch.randn(images, *shape) - 2 for shape in RIGHT]


def plain(value: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """[N, C, H, W] resized and written out, a row an image and position, in float64."""
    value = value if value.dim() == 4 else value[:, :, None, None]
    if value.shape[2] > size[0]:
        value = F.adaptive_avg_pool2d(value, size)
    elif value.shape[2] < size[0]:
        value = F.interpolate(value, size, mode="bilinear")
    return value.permute(0, 2, 3, 1).reshape(-1, value.shape[1]).double()


def assert_same(found: PairMoments, expected: PairMoments) -> None:
    assert found.count == expected.count
    for one, other in (
        (found.x, expected.x),
        (found.y, expected.y),
        (found.cross, expected.cross),
    ):
        for name, value in vars(one).items():
            torch.testing.assert_close(value, vars(other)[name], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("batch", [1, 4, 10])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("step", [1, -1])
def test_every_pair_has_the_moments_of_its_plain_matrices(
    batch: int, backward: bool, step: int
) -> None:
    """Whatever the order of the taps."""
    left, right = (side[::step] for side in maps(10))
    left_shapes, right_shapes = LEFT[::step], RIGHT[::step]
    moments = AllPairs(left_shapes, right_shapes)
    for start in range(0, 10, batch):
        chosen = slice(start, start + batch)
        moments.add([v[chosen] for v in left], [v[chosen] for v in right])
    for row, one in enumerate(left):
        for column, other in enumerate(right):
            goal = left_shapes[row] if backward else right_shapes[column]
            size = (goal[1], goal[2]) if len(goal) == 3 else (1, 1)
            x, y = plain(one, size), plain(other, size)
            expected = PairMoments.of(y, x) if backward else PairMoments.of(x, y)
            assert_same(moments.pair(row, column, backward=backward), expected)


@pytest.mark.parametrize("channels", [1, 128, 129, 700])
def test_products_by_halves_are_those_of_the_whole(channels: int) -> None:
    x = torch.randn(9, channels, dtype=torch.float64)
    torch.testing.assert_close(gram(x), x.T @ x, rtol=1e-12, atol=1e-12)


def test_covariances_are_those_of_the_rows() -> None:
    left, right = maps(10)
    moments = AllPairs(LEFT, RIGHT)
    moments.add(left, right)
    x, y = plain(left[0], (8, 8)), plain(right[0], (8, 8))
    pair = moments.pair(0, 0)
    torch.testing.assert_close(pair.cov_x, torch.cov(x.T, correction=0), rtol=1e-10, atol=1e-10)
    both = torch.cov(torch.cat([x, y], 1).T, correction=0)
    torch.testing.assert_close(pair.cov_xy, both[:3, 3:], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(pair.var_y, y.var(0, correction=0), rtol=1e-10, atol=1e-10)


def test_parts_of_the_data_add_up() -> None:
    left, right = maps(9)
    whole, one, other = (AllPairs(LEFT, RIGHT) for _ in range(3))
    whole.add(left, right)
    one.add([v[:5] for v in left], [v[:5] for v in right])
    other.add([v[5:] for v in left], [v[5:] for v in right])
    for merged in (one.merged(other), other.merged(one), AllPairs(LEFT, RIGHT).merged(whole)):
        assert_same(merged.pair(1, 0), whole.pair(1, 0))
    assert one.pair(1, 0).count == 5 * 64  # merging leaves both as they were
    with pytest.raises(UsageError, match="different taps"):
        one.merged(AllPairs(LEFT[:1], RIGHT))


def test_memory_is_that_of_the_channels_however_many_images() -> None:
    def numbers(images: int) -> int:
        moments = AllPairs(LEFT, RIGHT)
        for _ in range(images):
            moments.add(*maps(1))
        found = [moments.pair(i, j) for i in range(2) for j in range(3)]
        return sum(
            v.numel() for p in found for part in (p.x, p.y, p.cross) for v in vars(part).values()
        )

    assert numbers(1) == numbers(12)


def test_similarity_is_measured_on_the_coarser_grid() -> None:
    left, right = maps(3)
    moments = AllPairs(LEFT, RIGHT)
    moments.add(left, right)
    assert moments.alike(0, 1).count == 3 * 4
    assert moments.alike(1, 0).count == 3 * 16
    assert moments.alike(1, 2).count == 3


@pytest.mark.parametrize(
    ("here", "there"),
    [((8, 8), (3, 5)), ((4, 4), (9, 9)), ((1, 1), (4, 4)), ((5, 6), (5, 6)), ((4, 9), (8, 3))],
)
def test_resizing_is_a_matrix(here: tuple[int, int], there: tuple[int, int]) -> None:
    value = torch.randn(2, 3, *here)
    expected = on_grid(value, there).flatten(2)
    every = torch.arange(there[0] * there[1])
    torch.testing.assert_close(value.flatten(2) @ resize_rows(here, there, every).T, expected)


def test_drawn_positions_are_those_of_the_resized_map_and_do_not_repeat() -> None:
    grids = ((8, 8), (3, 3), (1, 1))
    sampler = Sampler(grids, 4, seed=1)
    drawn = sampler.draw(6)
    value = torch.randn(6, 5, 4, 4)
    taken = sampler.take(value, drawn)
    for grid in grids:
        expected = on_grid(value, grid).flatten(2)
        assert drawn[grid].shape == (6, min(4, grid[0] * grid[1]))
        for image, places in enumerate(drawn[grid]):
            assert len(set(places.tolist())) == len(places)
            rows = taken[grid].view(6, -1, 5)[image]
            torch.testing.assert_close(rows.float(), expected[image, :, places].T)


def test_sampled_moments_are_within_their_bound() -> None:
    left, right = maps(400)
    full, part = AllPairs(LEFT, RIGHT), AllPairs(LEFT, RIGHT, positions=6, seed=3)
    full.add(left, right)
    part.add(left, right)
    whole, sampled = full.pair(0, 0), part.pair(0, 0)
    assert sampled.count == 400 * 6
    x, y = plain(left[0], (8, 8)), plain(right[0], (8, 8))
    products = x[:, :, None] * y[:, None, :]
    spread = products.amax(0) - products.amin(0)
    error = (sampled.cross.second / sampled.count - whole.cross.second / whole.count).abs()
    assert (error <= sampling_bound(400, 6, 64) * spread).float().mean() >= 0.95
    assert error.max() > 0


def test_the_bound_falls_with_more_draws_and_is_zero_when_all_are_drawn() -> None:
    bounds = [sampling_bound(100, drawn, 64) for drawn in (1, 4, 16, 63, 64)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == 0
    assert sampling_bound(400, 4, 64) == pytest.approx(sampling_bound(100, 4, 64) / 2)
