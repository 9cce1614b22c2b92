"""Trained composites, run over what their frozen parts have stored."""

from __future__ import annotations

from collections.abc import Callable, Collection

from convgraft.cache.stored import StoredValues
from convgraft.compose import Composite
from convgraft.data import Pixels
from convgraft.training.evaluate import Answered, answered
from convgraft.training.metrics import Metrics
from convgraft.training.ridge_heads import RIDGE, start_heads
from convgraft.training.run_once import run_once
from convgraft.training.task import Task

EXACT = "float32"


def at_rest(
    composite: Composite, task: Task, part: str, frozen: Collection[str], *, reader: str = ""
) -> tuple[Composite, StoredValues] | tuple[Composite, Pixels]:
    """What to run, and over what, to see what a composite that nobody trains makes of a part.

    The rest of it over stored values where `frozen` allows for that and they are stored as they
    are, else the whole of it over the images.

    Args:
        frozen: paths of the parts that no training has changed, e.g. `sources.a`; what others make
            of images is not worth storing.
        reader: who asks, noted where it is the test part.
    """
    composite.eval()
    if frozen and task.cache is not None and task.cache.dtype == EXACT:
        images = len(task.split.part(part))
        once = run_once(composite.holding(frozen), task, images, at_rest=True)
        told = task.told(f"frozen part, {part}")
        data = once.data(part, reader=reader, on_progress=told) if once else None
        if once and data:
            return once.network.eval(), data
    return composite, task.pixels(part, reader=reader)


def evaluate_part(
    composite: Composite,
    task: Task,
    part: str,
    frozen: Collection[str] = (),
    *,
    reader: str = "",
) -> dict[str, Metrics]:
    """Metrics of every answer on a part of the task; the arguments are those of `at_rest`."""
    return answer_part(composite, task, part, frozen, reader=reader).metrics()


def answer_part(
    composite: Composite,
    task: Task,
    part: str,
    frozen: Collection[str] = (),
    *,
    reader: str = "",
) -> Answered:
    """Every answer to the images of a part; the arguments are those of `at_rest`."""
    return answered(*at_rest(composite, task, part, frozen, reader=reader))


def start_ridge_heads(
    composite: Composite,
    task: Task,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """`start_heads` over the training images, by stored values; the networks are as they come."""
    if not any(head.kind == RIDGE for head in composite.plan.heads):
        return {}
    sources = [f"sources.{ref.name}" for ref in composite.plan.sources]
    network, data = at_rest(composite, task, "train", sources)
    return start_heads(network, data, seed, on_progress)
