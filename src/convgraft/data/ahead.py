"""Remote files brought here shortly before they are needed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress

from convgraft.data.near import Near
from convgraft.errors import ConvgraftError

AHEAD = 4  # files that are downloaded before they are needed


class Ahead:
    """Downloads some files of a set in the background."""

    def __init__(self, files: Sequence[Near]) -> None:
        """Nothing is coming yet."""
        self._files = tuple(files)
        self._coming: set[int] = set()

    def bring(self, now: Sequence[int], then: Sequence[int]) -> None:
        """Begin to download the first remote files of `then` that are not among those of `now`."""
        coming = [n for n in dict.fromkeys(then) if n not in now and self._files[n].remote]
        new = [n for n in coming[:AHEAD] if n not in self._coming]
        self._coming = set(coming[:AHEAD])
        if new:
            threading.Thread(target=self._bring, args=(new,), daemon=True).start()

    def _bring(self, numbers: Sequence[int]) -> None:
        with suppress(ConvgraftError, OSError):  # who reads the file is told
            for number in numbers:
                self._files[number].here()
