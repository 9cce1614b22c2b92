"""The strategy table: one row a strategy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from convgraft.errors import UsageError, near_miss
from convgraft.plan import Plan
from convgraft.strategies.cross_skip import cross_skip
from convgraft.strategies.ingredients import Ingredients
from convgraft.strategies.parallel import parallel
from convgraft.strategies.single import single


@dataclass(frozen=True)
class Strategy:
    """One way of combining networks.

    Attributes:
        write: ingredients to a plan.
        freeze: the freeze preset that goes with it by default.
        least: how many networks it needs.
    """

    write: Callable[[Ingredients], Plan]
    freeze: str
    least: int


STRATEGIES: Mapping[str, Strategy] = {
    "cross-skip": Strategy(cross_skip, "discriminative", least=2),
    "parallel": Strategy(parallel, "discriminative", least=2),
    "probe": Strategy(single, "heads-only", least=1),
    "finetune": Strategy(single, "discriminative", least=1),
}


def find_strategy(name: str, sources: int) -> Strategy:
    """The strategy of that name; raises UsageError where it is unknown or has too few networks."""
    if name not in STRATEGIES:
        raise UsageError(
            f'there is no strategy called "{name}"',
            expected=", ".join(STRATEGIES),
            hint=near_miss(name, STRATEGIES),
        )
    strategy = STRATEGIES[name]
    if sources < strategy.least:
        raise UsageError(
            f"{name} combines networks",
            expected=f"--models with at least {strategy.least}",
            found=str(sources),
        )
    return strategy
