"""A loss or an answer that is no number stops the fit: told where, and what was good is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convgraft.compose import Composite, compose
from convgraft.data import load_pixels, shard_order
from convgraft.data.layout import Layout
from convgraft.errors import RunError
from convgraft.sources import source
from convgraft.training import PRESETS, FitOptions, Task, fit
from convgraft.training.diverged import batch_images
from convgraft.training.epochs import EVALUATION_BATCH, Batch
from convgraft.training.module import FitModule
from helpers import Tiny, head, plan_for, same_state

OPTIONS = FitOptions(epochs=2, batch_size=50, augment="none", accelerator="cpu")
STEPS = 2


def network() -> Composite:
    sources = {"a": source(Tiny(classes=10), size=8)}
    heads = [head("label", "linear", "a:flatten", classes=10)]
    return compose(plan_for(sources, heads=heads, size=8), sources)


def spoil(composite: Composite, number: int, *, training: bool, rows: int) -> None:
    """The head's answer to the first row becomes NaN in its call of that number, from 0.

    Calls with other numbers of rows do not count.
    """
    calls: list[None] = []

    def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor | None:
        if module.training != training or len(output) != rows:
            return None
        calls.append(None)
        mark = torch.zeros_like(output)
        mark[0] = float("nan")
        return output + mark if len(calls) == number + 1 else None

    composite.get_submodule("heads.label").register_forward_hook(hook)


@pytest.fixture
def task(digits_task: Task) -> Task:
    return replace(digits_task, cache=None)


def test_the_batch_is_named_and_the_last_good_weights_are_kept(task: Task, tmp_path: Path) -> None:
    checkpoint, one = tmp_path / "fit.ckpt", network()
    spoil(one, STEPS + 1, training=True, rows=50)
    with pytest.raises(RunError, match="the loss became nan") as caught:
        fit(one, task, PRESETS["all"], OPTIONS, checkpoint=checkpoint)
    told = str(caught.value)
    assert f"epoch 2, batch 2: {batch_images(task, OPTIONS, 0, 1, 1)[0]}, " in told
    assert f'the weights of epoch 1 are kept in "{checkpoint}"' in told
    assert "--lr" in told
    assert all(tensor.isfinite().all() for tensor in one.state_dict().values())
    resumed = fit(network(), task, PRESETS["all"], OPTIONS, checkpoint=checkpoint).composite
    whole = fit(network(), task, PRESETS["all"], OPTIONS).composite
    assert same_state(resumed, whole)


def test_an_epoch_whose_validation_is_no_number_does_not_count(task: Task, tmp_path: Path) -> None:
    checkpoint, one = tmp_path / "fit.ckpt", network()
    spoil(one, 0, training=False, rows=EVALUATION_BATCH)
    name = task.images.ids[task.split.val[0]]
    with pytest.raises(RunError, match='"label" to a validation image') as caught:
        fit(one, task, PRESETS["all"], OPTIONS, checkpoint=checkpoint)
    assert f"epoch 1, {name}; no epoch was whole yet" in str(caught.value)
    assert not checkpoint.exists()


def test_a_short_precision_is_part_of_the_advice(task: Task) -> None:
    one = network()
    spoil(one, 0, training=True, rows=50)
    options = replace(OPTIONS, precision="bf16-mixed")
    with pytest.raises(RunError, match="--precision 32-true"):
        fit(one, task, PRESETS["all"], options)


def test_weights_that_overflow_are_never_the_best(task: Task) -> None:
    one = network()
    with torch.no_grad():
        one.get_parameter("sources.a.conv2.weight").mul_(1e4)
    with pytest.raises(RunError, match=r"heads\.label\.norm\.running_var. became infinite"):
        fit(one, task, PRESETS["all"], replace(OPTIONS, precision="16-true"))


@pytest.mark.parametrize("stream", [False, True])
def test_the_batch_that_is_named_is_the_one_that_was_trained_on(
    task: Task, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setattr(shard_order.shard_order, "__kwdefaults__", {"buffer": 20, "most": 2})
    images = replace(task.images, layout=Layout((599, 599, 599)))
    own = Task(images, task.split, 8, cache=None, stream=stream)
    composite, seen = network(), list[Tensor]()
    batch_loss = FitModule.batch_loss

    def note(module: FitModule, batch: Batch, number: int) -> Tensor:
        seen.append(batch[0][0])
        return batch_loss(module, batch, number)

    monkeypatch.setattr(FitModule, "batch_loss", note)
    spoil(composite, 1, training=True, rows=50)
    with pytest.raises(RunError) as caught:
        fit(composite, own, PRESETS["all"], OPTIONS)
    named = str(caught.value).split("batch 2: ")[1].split(" and ")[0].split(", ")
    places = [own.images.ids.index(name) for name in named]
    shown = load_pixels(images, 8, indices=places).images
    assert torch.equal(seen[1][: len(named)], shown)
