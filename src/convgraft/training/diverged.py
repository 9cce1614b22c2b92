"""What is told where a loss or an answer stops being a number: which images, and what to try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from convgraft.data import Streamed
from convgraft.data.seeding import shuffled
from convgraft.errors import RunError
from convgraft.training.module import NotFinite, stage_seed
from convgraft.training.options import FitOptions
from convgraft.training.task import Task

NAMED = 3  # images that are named one by one


@dataclass(frozen=True)
class Kept:
    """What a fit had reached before.

    Attributes:
        epoch: the best whole one, counted over all stages; -1 where there was none.
        checkpoint: the file that has the last whole epoch; None where nothing was written.
    """

    epoch: int
    checkpoint: Path | None


def told(
    error: NotFinite,
    task: Task,
    stage: int,
    options: FitOptions,
    kept: Kept,
    data: object = None,
) -> RunError:
    """The error for people: what became no number, in which batch of which images, what is kept.

    Args:
        stage: its number in the fit.
        options: of that stage.
        data: what it was trained on.
    """
    where = f"epoch {error.epoch + 1}"
    if error.row is not None:
        where += f", {readable(task, 'val')[error.row]}"
    if error.batch is not None:
        names = batch_images(task, options, stage, error.epoch, error.batch, data)
        where += f", batch {error.batch + 1}: {_some(names)}"
    return RunError(
        f"{error.what}; training has stopped",
        expected="finite numbers",
        found=f"{where}{_reached(kept)}",
        hint=_advice(options),
    )


def batch_images(
    task: Task, options: FitOptions, stage: int, epoch: int, batch: int, data: object = None
) -> tuple[str, ...]:
    """The names of the images of a training batch; streamed ones have an order of their own."""
    seed = stage_seed(options.seed, stage)
    chosen = slice(batch * options.batch_size, (batch + 1) * options.batch_size)
    if isinstance(data, Streamed):
        rows = data.sound(data.order(seed, epoch)[chosen]).numpy()
        return tuple(data.set.ids[index] for index in data.rows[rows])
    names = readable(task, "train")
    return tuple(names[row] for row in shuffled(len(names), seed, epoch)[chosen])


def readable(task: Task, part: str) -> tuple[str, ...]:
    """The names of a part's images in order, those that cannot be decoded left out."""
    broken = {image.id for image in task.broken}
    names = (task.images.ids[index] for index in task.split.part(part))
    return tuple(name for name in names if name not in broken)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _reached(kept: Kept) -> str:
    if kept.epoch < 0:
        return "; no epoch was whole yet"
    where = f' in "{kept.checkpoint}"' if kept.checkpoint and kept.checkpoint.exists() else ""
    return f"; the weights of epoch {kept.epoch + 1} are kept{where}"


def _advice(options: FitOptions) -> str:
    precise = "" if options.precision == "32-true" else ", --precision 32-true"
    return f"a lower --lr than {options.rate:g}{precise}, or a look at the images"
