"""The steps of an epoch: what a naive loop does, in every precision, and who hears of them."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from convgraft.compose import Composite, compose
from convgraft.data.seeding import shuffled
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.training import PRESETS, FitOptions, Task, fit, steps, work_out
from convgraft.training.callbacks import StepProgress
from convgraft.training.module import FitModule
from convgraft.training.optimisers import optimiser, parameter_groups, schedule
from convgraft.training.steps import no_search_for_gpus

OPTIONS = FitOptions(2, 32, augment="none", seed=2, accelerator="cpu")


def network(given: Ingredients) -> Composite:
    return compose(STRATEGIES["parallel"].write(given), given.sources, seed=2)


State = dict[str, torch.Tensor]


def naive(given: Ingredients, task: Task, options: FitOptions, begin: State) -> State:
    """One epoch after another, with nothing around the steps."""
    made, pixels = network(given).train(), task.pixels("train")
    made.load_state_dict(begin)
    made.to(memory_format=torch.channels_last)
    autocast = options.precision == "bf16-mixed"
    groups = parameter_groups(made, work_out(PRESETS["all"], made), options)
    moved = optimiser(groups, options, torch.device("cpu"))
    count = len(pixels)
    rate = schedule(moved, options.schedule, options.epochs * -(-count // options.batch_size))
    for epoch in range(options.epochs):
        order = torch.from_numpy(shuffled(count, options.seed, epoch))
        for rows in order.split(options.batch_size):
            images = pixels.images[rows].contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                loss = F.cross_entropy(made(images)["label"], pixels.labels[rows])
            moved.zero_grad()
            loss.backward()
            moved.step()
            rate.step()
    return made.state_dict()


@pytest.mark.parametrize("long_way", [False, True])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_fit_takes_the_steps_of_a_naive_loop(
    precision: str,
    long_way: bool,
    given: Ingredients,
    digits_task: Task,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if long_way:
        monkeypatch.setattr(steps, "PLAIN", ())
    options = replace(OPTIONS, lr=1e-2, precision=precision)
    states: list[State] = []

    def note(module: FitModule) -> None:
        states.append({n: t.clone() for n, t in module.composite.state_dict().items()})

    monkeypatch.setattr(FitModule, "on_train_start", note)
    monkeypatch.setattr(FitModule, "on_train_end", note)
    fit(network(given), digits_task, PRESETS["all"], options)
    begin, end = states
    expected = naive(given, digits_task, options, begin)
    assert any(not torch.equal(begin[name], end[name]) for name in end)
    for name, tensor in end.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6, msg=name)


def test_progress_tells_of_every_step(given: Ingredients, digits_task: Task) -> None:
    told: list[tuple[int, int]] = []
    fit(
        network(given),
        digits_task,
        PRESETS["lp-ft"],
        OPTIONS,
        on_progress=lambda *found: told.append(found),
    )
    assert told == [(number, 8) for number in range(1, 9)]


def test_progress_counts_earlier_stages() -> None:
    told: list[tuple[int, int]] = []
    StepProgress(lambda *found: told.append(found), 10, 30).on_step_end(3)
    assert told == [(13, 30)]


def test_where_there_is_no_gpu_none_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    variable = "PYTORCH_NVML_BASED_CUDA_CHECK"
    monkeypatch.setenv(variable, "1")
    for found, inside in ((False, "0"), (True, "1")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=found: found)
        with no_search_for_gpus():
            assert os.environ[variable] == inside
        assert os.environ[variable] == "1"
