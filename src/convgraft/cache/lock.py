"""One writer at a time for an entry, over all processes and threads.

The lock file lies beside the entry's folder, so that it outlives an eviction. The operating system
lets go of it when a process dies, however it dies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from convgraft.errors import UsageError


def lock_of(folder: Path) -> BaseFileLock:
    """The lock of an entry's folder. The same object can be taken again by its own thread."""
    return FileLock(folder.with_name(f"{folder.name}.lock"))


@contextmanager
def locked(lock: BaseFileLock, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a lock; `on_wait` is called once where it has to be waited for.

    Raises UsageError where the folder cannot be written.
    """
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        _acquire(lock, on_wait)
    except OSError as error:
        raise UsageError(
            f'the cache folder "{Path(lock.lock_file).parent}" cannot be written',
            found=error.strerror or str(error),
            hint="another folder, by CONVGRAFT_CACHE",
        ) from error
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: BaseFileLock, on_wait: Callable[[], None] | None) -> None:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        if on_wait:
            on_wait()
        lock.acquire()


@contextmanager
def if_free(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder if nobody else does; says whether it is held."""
    lock = lock_of(folder)
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
