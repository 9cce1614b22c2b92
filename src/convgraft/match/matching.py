"""Which taps of two networks fit: similarity, and how well each predicts the other.

One pass over some thousand images. Every fifth of them is held out: what a map from one tap to
another is worth is measured on images that it was not fitted on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from convgraft.compose import compose, source_ref
from convgraft.errors import RunError, UsageError
from convgraft.match.all_pairs import AllPairs
from convgraft.match.grids import Shape
from convgraft.match.moments import PairMoments
from convgraft.match.ridge import RidgeMap, solve_ridge
from convgraft.match.scores import held_out_scores
from convgraft.match.similarity import debiased_cka
from convgraft.opening.memory_format import fastest_format, laid_out
from convgraft.plan import Head, Plan, TapRef
from convgraft.sources import Source, Tap

POSITIONS = 4
HELD_OUT = 5
LEAST_IMAGES = 20
BATCH = 100
LARGEST = 8 * 2**30  # bytes of sums
COPIES = 3  # of the sums: fitted, held out, and what is being added


@dataclass(frozen=True, eq=False)
class Share:
    """Some of the batches of images: those of one of several processes that go through them.

    Attributes:
        place, count: of this process, from 0, and how many there are.
        total: the sum of a tensor over all of them.
    """

    place: int = 0
    count: int = 1
    total: Callable[[Tensor], Tensor] = lambda value: value


ALL = Share()


@dataclass(frozen=True, eq=False)
class Matching:
    """All pairs of taps of a left and a right network.

    Attributes:
        left, right: the taps, rows and columns of every table, [rows, columns].
        images: seen, held-out ones included.
        positions: drawn of each grid for every image; None: all.
        fitted, held: moments of the images that maps are fitted on, and of those held out.
    """

    left: tuple[Tap, ...]
    right: tuple[Tap, ...]
    images: int
    positions: int | None
    fitted: AllPairs
    held: AllPairs

    def adapter(self, row: int, column: int, *, backward: bool = False) -> RidgeMap:
        """The best linear map from the left tap to the right one, or `backward`.

        Its strength is chosen by generalised cross-validation.
        """
        return solve_ridge(self.fitted.pair(row, column, backward=backward))

    @cached_property
    def cka(self) -> Tensor:
        """Debiased linear CKA of every pair, on the coarser grid of the two."""
        return self._table(lambda i, j: debiased_cka(self._all(i, j)))

    @property
    def forward(self) -> Tensor:
        """Held-out R^2 of the right tap's value, predicted from the left tap's."""
        return self._forward[0]

    @property
    def backward(self) -> Tensor:
        """Held-out R^2 of the left tap's value, predicted from the right tap's."""
        return self._backward[0]

    @property
    def forward_error(self) -> Tensor:
        """The same as `forward`, as a mean squared error over positions and channels."""
        return self._forward[1]

    @property
    def backward_error(self) -> Tensor:
        """The same as `backward`, as a mean squared error over positions and channels."""
        return self._backward[1]

    def _all(self, row: int, column: int) -> PairMoments:
        return self.fitted.alike(row, column) + self.held.alike(row, column)

    @cached_property
    def _forward(self) -> tuple[Tensor, Tensor]:
        return held_out_scores(self.fitted, self.held, backward=False)

    @cached_property
    def _backward(self) -> tuple[Tensor, Tensor]:
        return held_out_scores(self.fitted, self.held, backward=True)

    def _table(self, score: Callable[[int, int], float]) -> Tensor:
        rows, columns = range(len(self.left)), range(len(self.right))
        return torch.tensor([[score(i, j) for j in columns] for i in rows], dtype=torch.float64)


def match_taps(
    left: Source,
    right: Source,
    images: Tensor,
    left_taps: Sequence[Tap],
    right_taps: Sequence[Tap],
    *,
    image_size: int,
    positions: int | None = POSITIONS,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
    share: Share = ALL,
) -> Matching:
    """Compare every tap of one network with every tap of another one, in one pass.

    Args:
        left, right: opened networks; each gets the images as its own preprocessing says.
        images: uint8 [N, 3, image_size, image_size].
        left_taps, right_taps: taps at that image size.
        image_size: side in pixels.
        positions: drawn of each grid for every image, at random; None: all of them.
        seed: of the draws.
        on_progress: called with the images done and their number.
        share: of the images, where several processes go through them; no others are taken from
            `images`, and all processes get the whole.

    Raises:
        UsageError: for too few images, or no taps.
        RunError: where a tap gives numbers that are not finite.
    """
    if len(images) < LEAST_IMAGES:
        raise UsageError(
            "too few images to match layers on",
            expected=f"{LEAST_IMAGES} at least, some thousand for good",
            found=str(len(images)),
        )
    if not left_taps or not right_taps:
        raise UsageError("there are no taps to match", expected="one at least in either network")
    _check_size([tap.shape for tap in left_taps], [tap.shape for tap in right_taps])
    shapes = [tap.shape for tap in left_taps], [tap.shape for tap in right_taps]
    fitted = AllPairs(*shapes, positions=positions, seed=seed)
    held = AllPairs(*shapes, positions=positions, seed=seed + 1)
    run = _both(left, right, left_taps, right_taps, image_size)
    for start in range(0, len(images), BATCH):
        numbers = torch.arange(start, min(start + BATCH, len(images)))
        out = numbers % HELD_OUT == HELD_OUT - 1
        if start // BATCH % share.count != share.place:
            fitted.skip(int((~out).sum()))
            held.skip(int(out.sum()))
            continue
        one, other = run(images[torch.cat([numbers[~out], numbers[out]])])
        border = int((~out).sum())
        for moments, part in ((fitted, slice(border)), (held, slice(border, None))):
            moments.add([v[part] for v in one], [v[part] for v in other])
        if start // BATCH == share.place:  # weights that are no numbers show at once
            _check_finite(left_taps, right_taps, fitted)
        if on_progress:
            on_progress(start + len(numbers), len(images))
    if share.count > 1:
        fitted, held = fitted.everywhere(share.total), held.everywhere(share.total)
    for moments in (fitted, held):
        _check_finite(left_taps, right_taps, moments)
    return Matching(tuple(left_taps), tuple(right_taps), len(images), positions, fitted, held)


def _check_finite(left: Sequence[Tap], right: Sequence[Tap], moments: AllPairs) -> None:
    for taps, infinite in zip((left, right), moments.infinite(), strict=True):
        for index in infinite:
            raise RunError(
                f'the tap "{taps[index].name}" gives numbers that are infinite or none',
                expected="finite values, to compare layers by",
                hint="--taps that leave it out, or a look at the weights of that network",
            )


def _check_size(left: Sequence[Shape], right: Sequence[Shape]) -> None:
    """Raise UsageError where the sums over all pairs would not fit in memory."""
    taken = COPIES * AllPairs(left, right).bytes
    if taken > LARGEST:
        raise UsageError(
            f"the sums over {len(left)} x {len(right)} taps would take {taken / 2**30:.1f} GiB",
            expected=f"{LARGEST / 2**30:.0f} GiB at most",
            hint="fewer taps, e.g. --taps 'kind:block & depth:0.2..0.8', or the ends of the stages",
        )


def _both(
    left: Source,
    right: Source,
    left_taps: Sequence[Tap],
    right_taps: Sequence[Tap],
    image_size: int,
) -> Callable[[Tensor], tuple[list[Tensor], list[Tensor]]]:
    """Images to the values at all taps of the left and of the right network."""
    sides = (("left", left, left_taps), ("right", right, right_taps))
    heads = [
        Head(f"{side}{number}", "tap", (TapRef(side, tap.name),))
        for side, _, taps in sides
        for number, tap in enumerate(taps)
    ]
    refs = tuple(source_ref(side, one) for side, one, _ in sides)
    plan = Plan(image_size, refs, (), tuple(heads))
    network = compose(plan, {"left": left, "right": right}).eval()
    layout = fastest_format(network)

    @torch.inference_mode()
    def run(images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        answers = network(laid_out(images, layout))
        values = [answers[head.name] for head in heads]
        return values[: len(left_taps)], values[len(left_taps) :]

    return run
