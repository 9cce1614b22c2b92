"""A training for which memory does not suffice ends with a word on what would do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from convgraft.cache.out_of_memory import is_out_of_memory
from convgraft.errors import RunError

LEAST = 2  # images of a batch: one cannot be normalised


@contextmanager
def enough_memory(batch_size: int) -> Iterator[None]:
    """Turn what a library says where memory runs out into a RunError.

    The batch is not made smaller here: that would be another training than the one asked for.
    """
    try:
        yield
    # each library has an error of its own
    except Exception as error:
        if isinstance(error, RunError) or not is_out_of_memory(error):
            raise
        half = max(LEAST, batch_size // 2)
        raise RunError(
            f"there is not enough memory to train on {batch_size} images at once",
            found=" ".join(str(error).split())[:300] or type(error).__name__,
            hint=f"--batch-size {half} (with --overwrite, or another --out)"
            if half < batch_size
            else "a smaller --image-size",
        ) from error
