"""A compiled step: the losses, gradients and weights of an uncompiled one, and compiled once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from convgraft.compose import Composite, compose
from convgraft.data import open_images, split_images
from convgraft.errors import UsageError
from convgraft.sources import source
from convgraft.training import (
    PRESETS,
    FitOptions,
    Task,
    compiled_step,
    fit,
    module,
    work_out,
)
from convgraft.training.compiled_step import INDUCTOR, CompiledLoss
from convgraft.training.freeze import apply_freeze
from helpers import Tiny, head, plan_for, wire

SIZES = (8, 8, 8, 3)  # an epoch with a smaller last batch
State = dict[str, Tensor]


@pytest.fixture(autouse=True)
def nothing_compiled_yet() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def network(preset: str = "all") -> Composite:
    """Two networks, wires between them both ways, and a head with dropout."""
    sources = {"a": source(Tiny(), size=16), "b": source(Tiny(width=4, seed=1), size=16)}
    wires = [wire("a:conv -> b:conv", start="one"), wire("b:conv2 -> a:conv2", "gate")]
    answer = head("label", "mlp", "a:conv2", "b:conv2", classes=5, hidden=(8,), dropout=0.5)
    plan = plan_for(sources, wires=wires, heads=[answer], size=16)
    made = compose(plan, sources, seed=0)
    return apply_freeze(made, work_out(PRESETS[preset], made)).train()


def loss_of(made: Composite) -> Callable[[tuple[Tensor, ...], Mapping[str, Tensor]], Tensor]:
    return lambda inputs, labels: F.cross_entropy(made(*inputs)["label"], labels[""])


class Counted:
    """A backend that counts how often it compiles, and runs what it was given as it is."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        self.times += 1
        return graph.forward


def epoch(made: Composite, loss: Callable[..., Tensor], epochs: int = 1) -> list[float]:
    """The losses of epochs of steps with momentum and a schedule; the weights move.

    Adam would make steps of the rounding in a bias before a batch norm, whose gradient is zero.
    """
    learns = [weight for weight in made.parameters() if weight.requires_grad]
    moved = torch.optim.SGD(learns, lr=1e-1, momentum=0.9)
    rate = torch.optim.lr_scheduler.LambdaLR(moved, lambda step: 1 / (step + 1))
    random = torch.Generator().manual_seed(1)
    torch.manual_seed(2)  # for dropout
    losses = []
    for size in SIZES * epochs:
        images = torch.randint(0, 256, (size, 3, 16, 16), generator=random, dtype=torch.uint8)
        labels = torch.randint(0, 5, (size,), generator=random)
        value = loss((images,), {"": labels})
        moved.zero_grad()
        value.backward()
        moved.step()
        rate.step()
        losses.append(value.item())
    return losses


def close(ours: State, theirs: State) -> None:
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.parametrize("preset", ["all", "adapters-only"])
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param(INDUCTOR, marks=pytest.mark.slow)])
def test_steps_are_those_of_an_uncompiled_loop(preset: str, backend: str) -> None:
    plain, compiled = network(preset), network(preset)
    compiled.load_state_dict(plain.state_dict())
    begin = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    expected = epoch(plain, loss_of(plain))
    found = epoch(compiled, CompiledLoss(loss_of(compiled), backend))
    assert found == pytest.approx(expected, rel=1e-5)
    close(compiled.state_dict(), plain.state_dict())
    assert any(not torch.equal(begin[name], t) for name, t in plain.state_dict().items())


@pytest.mark.parametrize("preset", ["all", "adapters-only"])
def test_it_is_compiled_once_and_as_a_whole(preset: str) -> None:
    made, counted = network(preset), Counted()
    epoch(made, CompiledLoss(loss_of(made), counted), 3)
    assert counted.times == 1


def test_smaller_batches_run_as_they_are() -> None:
    made, counted = network(), Counted()
    loss = CompiledLoss(loss_of(made), counted)
    images, labels = torch.rand(3, 3, 16, 16), torch.zeros(3, dtype=torch.long)
    loss((images,), {"": labels})  # a fit that goes on at the last batch of its epoch
    epoch(made, loss, 2)
    assert loss.rows == 8
    assert counted.times == 2


def test_many_fits_of_one_process_are_all_compiled() -> None:
    counted = Counted()
    for _ in range(9):  # torch's limit is 8
        made = network("heads-only")
        images, labels = torch.rand(4, 3, 16, 16), torch.zeros(4, dtype=torch.long)
        CompiledLoss(loss_of(made), counted)((images,), {"": labels})
    assert counted.times == 9


def test_a_compiler_that_fails_is_named() -> None:
    def broken(graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        raise OSError("no C++ compiler")

    made = network()
    with pytest.raises(UsageError, match="cannot be compiled") as told:
        epoch(made, CompiledLoss(loss_of(made), broken))
    assert "no C++ compiler" in str(told.value)
    assert "--compile" in str(told.value)


def test_an_error_of_the_loss_stays_what_it_is() -> None:
    def wrong(inputs: tuple[Tensor, ...], labels: Mapping[str, Tensor]) -> Tensor:
        raise KeyError("label")

    with pytest.raises(KeyError):
        CompiledLoss(wrong, Counted())((torch.rand(2),), {})


@pytest.mark.parametrize("freeze", ["all", "lp-ft"])
def test_a_compiled_fit_ends_in_the_weights_of_a_plain_one(
    freeze: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = open_images("digits")
    task = Task(images, split_images(images, seed=0, limit=60), 16, cache=None)
    counted = Counted()
    ways = {
        "plain": compiled_step.CompiledLoss,
        "compiled": lambda loss: CompiledLoss(loss, counted),
    }
    found = []
    for name, made in ways.items():
        monkeypatch.setattr(module, "CompiledLoss", made)
        sources = {"a": source(Tiny(), size=16), "b": source(Tiny(width=4, seed=1), size=16)}
        answer = head("label", "linear", "a:conv2", "b:conv2", classes=10)
        composite = compose(plan_for(sources, heads=[answer], size=16), sources, seed=0)
        options = FitOptions(epochs=2, batch_size=16, compile=name == "compiled")
        found.append(fit(composite, task, PRESETS[freeze], options).composite.state_dict())
    assert counted.times >= 1
    close(found[1], found[0])


def test_what_cannot_be_one_function_is_refused() -> None:
    for balance, world in (("gradnorm", 1), ("constant", 2)):
        with pytest.raises(UsageError, match="cannot be compiled"):
            compiled_step.check_compilable(balance, world)
    compiled_step.check_compilable("uncertainty", 1)
