"""How far `convgraft predict` is: images done, images a second, time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from convgraft.cli.console import progress_display


@contextmanager
def image_progress(
    count: Callable[[], int | None], done: int = 0
) -> Iterator[Callable[[int], None]]:
    """A display on standard error; gives `report(images)` for images that are further done.

    Where standard error is no terminal, nothing is drawn.

    Args:
        count: says how many images there are in all, asked where something is drawn; None where
            nobody knows, and then there is no estimate.
        done: by an earlier process; those do not count for the speed.
    """
    with progress_display("speed") as display:
        total = None if display.disable else count()
        task = display.add_task("predict", total=total, completed=done, speed="")

        def report(images: int) -> None:
            shown = display.tasks[0]
            fresh = shown.completed + images - done
            speed = f"{fresh / shown.elapsed:.0f} images/s" if shown.elapsed else ""
            display.update(task, advance=images, speed=speed)

        yield report
