"""How tasks are weighed against each other, against the papers' formulas on a tiny network."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from convgraft.compose import compose
from convgraft.errors import UsageError
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.training import PRESETS, FitOptions, Objective, Term, work_out
from convgraft.training.balance import (
    GRADNORM_ALPHA,
    GRADNORM_RATE,
    Constant,
    GradNorm,
    Uncertainty,
)
from convgraft.training.freeze import apply_freeze
from convgraft.training.module import FitModule
from helpers import images, small


class TwoHeads(nn.Module):
    """A shared layer under two answers of very different scale."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(4, 3)
        self.heads = nn.ModuleList([nn.Linear(3, 1), nn.Linear(3, 1)])

    def losses(self, step: int) -> list[Tensor]:
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        shared = torch.tanh(self.trunk(x))
        return [
            scale * (head(shared) - 1).square().mean()
            for head, scale in zip(self.heads, (1.0, 20.0), strict=True)
        ]


def test_constant_is_the_sum() -> None:
    assert Constant(2)([torch.tensor(1.5), torch.tensor(2.0)], None).item() == 3.5
    assert Constant(2).shares() == []


def test_uncertainty() -> None:
    balance = Uncertainty(2)
    with torch.no_grad():
        balance.log_variance.copy_(torch.tensor([0.5, -1.0]))
    total = balance([torch.tensor(1.5), torch.tensor(2.0)], None)
    naive = math.exp(-0.5) * 1.5 + 0.25 + math.exp(1.0) * 2.0 - 0.5
    assert total.item() == pytest.approx(naive)
    total.backward()
    grad = balance.log_variance.grad
    assert grad is not None
    # d/ds (exp(-s) L + s / 2) = 1/2 - exp(-s) L: at rest where exp(s) = 2 L
    assert grad.tolist() == pytest.approx([0.5 - math.exp(-0.5) * 1.5, 0.5 - math.exp(1.0) * 2.0])
    assert balance.shares() == pytest.approx([math.exp(-0.5), math.exp(1.0)])


def naive_step(
    weights: list[float], first: list[float], losses: list[Tensor], shared: Tensor
) -> list[float]:
    """One step of Chen et al. 2018, its gradient of sum |G_i - goal_i| written out."""
    norms = []
    for loss in losses:
        (grad,) = torch.autograd.grad(loss, shared, retain_graph=True)
        norms.append(math.sqrt(sum(x * x for x in grad.flatten().tolist())))
    ratios = [loss.item() / start for loss, start in zip(losses, first, strict=True)]
    mean_ratio, pulls = sum(ratios) / 2, [w * n for w, n in zip(weights, norms, strict=True)]
    moved = []
    for weight, norm, pull, ratio in zip(weights, norms, pulls, ratios, strict=True):
        goal = sum(pulls) / 2 * (ratio / mean_ratio) ** GRADNORM_ALPHA
        sign = 1 if pull > goal else -1
        moved.append(weight - GRADNORM_RATE * sign * norm / (sum(norms) / 2))
    return [weight * 2 / sum(moved) for weight in moved]


def test_gradnorm_steps_as_the_paper_says() -> None:
    network, balance = TwoHeads(), GradNorm(2)
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
    weights, first = [1.0, 1.0], []
    for step in range(6):
        losses = network.losses(step)
        first = first or [loss.item() for loss in losses]
        weights = naive_step(weights, first, losses, network.trunk.weight)
        total = balance(losses, network.trunk.weight)
        assert balance.shares() == pytest.approx(weights, rel=1e-4)
        naive = sum(w * loss.item() for w, loss in zip(weights, losses, strict=True))
        assert total.item() == pytest.approx(naive, rel=1e-4)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()


def test_gradnorm_evens_out_the_pull() -> None:
    network, balance = TwoHeads(), GradNorm(2)
    for step in range(300):
        balance(network.losses(step % 5), network.trunk.weight)
        assert min(balance.shares()) > 0
        assert sum(balance.shares()) == pytest.approx(2)
    loud = balance.shares()[1]
    assert loud < 0.2  # it pulls twenty times as hard by itself


def test_gradnorm_stands_still_in_validation() -> None:
    network, balance = TwoHeads(), GradNorm(2)
    with torch.no_grad():
        balance(network.losses(0), network.trunk.weight)
    balance.eval()(network.losses(0), network.trunk.weight)
    assert balance.shares() == [1.0, 1.0]


def test_gradnorm_waits_for_the_first_label_of_a_task() -> None:
    network, balance = TwoHeads(), GradNorm(2)
    losses = network.losses(0)
    balance([losses[0], losses[1] * 0], network.trunk.weight)
    assert all(math.isfinite(share) and share > 0 for share in balance.shares())
    balance(losses, network.trunk.weight)
    torch.testing.assert_close(balance.first, torch.stack(losses).detach())


def test_gradnorm_survives_losses_without_a_pull() -> None:
    network, balance = TwoHeads(), GradNorm(2)
    balance([loss * 0 for loss in network.losses(0)], network.trunk.weight)
    assert balance.shares() == pytest.approx([1.0, 1.0])


def module_for(preset: str) -> FitModule:
    """A training module for three label columns."""
    given = Ingredients({"a": small()}, 8, 10, columns={"kind": 2, "size": 3})
    composite = compose(STRATEGIES["multitask"].write(given), given.sources)
    freeze = work_out(PRESETS[preset], composite)
    held = apply_freeze(composite, freeze)
    terms = tuple(Term("task", (name,)) for name in held.plan.trained)
    return FitModule(held, freeze, Objective(terms, balance="gradnorm"), FitOptions(1))


def labels(count: int) -> dict[str, Tensor]:
    return {name: torch.zeros(count, dtype=torch.int64) for name in ("", "kind", "size")}


def test_gradnorm_measures_at_the_last_weight_that_all_tasks_share() -> None:
    module = module_for("all")
    module.batch_loss((images(8, 4), labels(4)), 0)
    (shared,) = module._shared
    assert shared is module.composite.get_parameter("sources.a.layer3.0.downsample.0.weight")
    assert len(list(module.parameters())) == len(list(module.composite.parameters()))
    assert sum(module.balance.shares()) == pytest.approx(3)
    assert module.balance.shares() != [1.0, 1.0, 1.0]


def test_gradnorm_where_nothing_shared_learns() -> None:
    with pytest.raises(UsageError, match="weights that they share"):
        module_for("heads-only").batch_loss((images(8, 4), labels(4)), 0)
