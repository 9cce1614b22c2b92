"""Several processes match layers: together they see what one would have seen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from convgraft.match.matching import Matching, Share, match_taps
from convgraft.sources import Tap, source

SIZE = 8
ONE, OTHER = source("cifar_resnet20", seed=1), source("cifar_resnet20", seed=2)


def blocks() -> list[Tap]:
    return [tap for tap in ONE.survey(SIZE).taps if tap.kind == "block"][::3]


def matched(images: Tensor, share: Share, positions: int | None) -> Matching:
    return match_taps(
        ONE, OTHER, images, blocks(), blocks(), image_size=SIZE, positions=positions, share=share
    )


def in_turn(count: int, images: Tensor, positions: int | None) -> Matching:
    """The last of several shares, which adds up what the others had to tell."""
    told: list[list[Tensor]] = []

    def note(value: Tensor) -> Tensor:
        told[-1].append(value)
        return value

    for place in range(count - 1):
        told.append([])
        matched(images, Share(place, count, note), positions)
    left = [iter(own) for own in told]
    total: Callable[[Tensor], Tensor] = lambda value: sum((next(own) for own in left), value)  # noqa: E731
    found = matched(images, Share(count - 1, count, total), positions)
    assert all(next(own, None) is None for own in left)
    return found


@pytest.mark.parametrize("positions", [None, 4])
@pytest.mark.parametrize(("images", "count"), [(250, 2), (250, 3), (130, 4)])
def test_shares_add_up_to_the_whole(images: int, count: int, positions: int | None) -> None:
    pixels = torch.randint(0, 256, (images, 3, SIZE, SIZE), dtype=torch.uint8)
    whole = matched(pixels, Share(), positions)
    found = in_turn(count, pixels, positions)
    for row in range(len(blocks())):
        ours, theirs = found.fitted.pair(row, 0), whole.fitted.pair(row, 0)
        assert ours.count == theirs.count
        torch.testing.assert_close(ours.cross.second, theirs.cross.second, rtol=1e-12, atol=1e-9)
        assert found.held.pair(row, 0).count == whole.held.pair(row, 0).count
    for name in ("cka", "forward", "backward", "forward_error", "backward_error"):
        torch.testing.assert_close(
            getattr(found, name), getattr(whole, name), rtol=1e-8, atol=1e-8, equal_nan=True
        )
