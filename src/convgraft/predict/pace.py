"""How many images a batch has: what turns out fastest on the first batches of the work itself."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

SIZES = (32, 16, 64, 8)
ROUNDS = 3  # the first call of a size is often slow, so one round alone tells little
BATCH_BYTES = 64 * 2**20  # of pixels; large images come in small batches


class Pace:
    """The size of the next batch. Every size has its turns first, then the fastest one is kept.

    Nothing is computed for the sake of measuring. The size changes no answer, beyond rounding.

    Args:
        side: of the images, in pixels.
        fixed: images of a batch, where somebody chose.
        sizes: to try, the likeliest first.
    """

    def __init__(
        self, side: int, *, fixed: int | None = None, sizes: Sequence[int] = SIZES
    ) -> None:
        most = max(1, BATCH_BYTES // (3 * side * side))
        fitting = [size for size in sizes if size <= most] or [most]
        self._sizes = (fixed,) if fixed else tuple(fitting)
        self._turns = deque(self._sizes * ROUNDS if len(self._sizes) > 1 else ())
        self._fastest = {size: float("inf") for size in self._sizes}  # seconds per image
        self._lock = threading.Lock()

    def next(self) -> int:
        """How many images the next batch should have."""
        if self._turns:
            return self._turns.popleft()
        with self._lock:
            return min(self._sizes, key=lambda size: self._fastest[size])

    def took(self, images: int, seconds: float) -> None:
        """Note how long the network took for a batch; one that is cut short says nothing."""
        with self._lock:
            if images in self._fastest:
                self._fastest[images] = min(self._fastest[images], seconds / images)
