"""What reaches modules, where memory runs out in the middle of a batch too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from convgraft.compose import Composite, compose
from convgraft.strategies import STRATEGIES, Ingredients, StrategyOptions
from convgraft.training import Task
from convgraft.training.calibrate import calibrate
from convgraft.training.evaluate import answers
from convgraft.training.read_inputs import read_inputs
from convgraft.training.ridge_heads import start_heads
from helpers import small

SOURCES = {"a": small()}
NORM = "heads.label.norm"


def composed(**options: object) -> Composite:
    given = Ingredients(SOURCES, 8, 10, StrategyOptions(**options))  # type: ignore[arg-type]
    return compose(STRATEGIES["ladder"].write(given), SOURCES)


@contextmanager
def little_memory(composite: Composite) -> Iterator[list[int]]:
    """Memory runs out behind the norm where there are over 50 images at once."""
    met: list[int] = []

    def refuse(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        met.append(len(inputs[0]))
        if len(inputs[0]) > 50:
            raise torch.OutOfMemoryError("out of memory")

    norm = composite.get_submodule(NORM)
    hook = norm.register_forward_hook(lambda module, inputs, _: refuse(module, inputs))
    try:
        with pytest.warns(UserWarning, match="no memory for"):
            yield met
    finally:
        hook.remove()
    assert max(met) > 50


def test_a_batch_that_is_run_again_counts_once(digits_task: Task) -> None:
    images = digits_task.pixels("train").images
    free, tight = composed(), composed()
    calibrate(free, images, [NORM])
    with little_memory(tight):
        calibrate(tight, images, [NORM])
    for one, other in zip(free.buffers(), tight.buffers(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_head_is_solved_on_every_image_once(digits_task: Task) -> None:
    pixels = digits_task.pixels("train")
    free, tight = composed(head="ridge"), composed(head="ridge")
    start_heads(free, pixels, 0)
    with little_memory(tight):
        start_heads(tight, pixels, 0)
    for one, other in zip(free.parameters(), tight.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_after_it_nothing_is_read(digits_task: Task) -> None:
    images = digits_task.pixels("train").images[:20]
    composite, rows = composed().eval(), []
    with read_inputs(composite, [NORM], len, lambda path, count: rows.append((path, count))):
        answers(composite, images, batch_size=8, layout=torch.contiguous_format)
    answers(composite, images)
    assert rows == [(NORM, 8), (NORM, 8), (NORM, 4)]
