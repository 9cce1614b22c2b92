"""The strategy table: one row a strategy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from convgraft.errors import UsageError, near_miss
from convgraft.plan import Plan
from convgraft.strategies.cascade import cascade
from convgraft.strategies.cross_skip import cross_skip
from convgraft.strategies.distil import distil
from convgraft.strategies.ensemble import ensemble
from convgraft.strategies.fixed_filters import banks, fixed_filters
from convgraft.strategies.ingredients import Ingredients, StrategyOptions
from convgraft.strategies.ladder import ladder
from convgraft.strategies.multitask import multitask
from convgraft.strategies.parallel import parallel
from convgraft.strategies.single import single
from convgraft.strategies.stitch import stitch

_HEAD = ("hidden", "dropout")


def _none(names: Sequence[str], options: StrategyOptions) -> Mapping[str, tuple[str, str]]:
    return {}


@dataclass(frozen=True)
class Strategy:
    """One way of combining networks.

    Attributes:
        write: ingredients to a plan.
        freeze: the freeze preset that goes with it by default.
        least: how many networks it needs.
        options: the fields of `StrategyOptions` that it reads.
        loss: the loss that goes with it by default.
        matching: the same where the answer is a network's own classifier's; empty: `loss`.
        brings: the sources that it adds to those given: by name, the spec, and the given source
            whose preprocessing it shares.
    """

    write: Callable[[Ingredients], Plan]
    freeze: str
    least: int = 2
    options: tuple[str, ...] = _HEAD
    loss: str = "task"
    matching: str = ""
    brings: Callable[[Sequence[str], StrategyOptions], Mapping[str, tuple[str, str]]] = _none


STRATEGIES: Mapping[str, Strategy] = {
    "cross-skip": Strategy(
        cross_skip,
        "discriminative",
        options=(*_HEAD, "start", "taps", "direction", "adapter", "pairs"),
    ),
    "stitch": Strategy(
        stitch,
        "adapters-only",
        options=(*_HEAD, "at", "adapter", "classifier", "pairs"),
        loss="two-stage",
        matching="final",
    ),
    "parallel": Strategy(parallel, "discriminative", options=(*_HEAD, "fusion")),
    "cascade": Strategy(
        cascade,
        "discriminative",
        options=(*_HEAD, "via", "into", "join", "adapter", "start"),
    ),
    "multitask": Strategy(multitask, "discriminative", least=1, options=(*_HEAD, "fusion")),
    "ensemble": Strategy(ensemble, "discriminative", options=(*_HEAD, "vote")),
    "ladder": Strategy(ladder, "heads-only", least=1, options=(*_HEAD, "taps", "head")),
    "fixed-filters": Strategy(
        fixed_filters,
        "adapters-only",
        least=1,
        options=(*_HEAD, "filters", "into", "adapter"),
        brings=banks,
    ),
    "distil": Strategy(distil, "discriminative", loss="distil"),
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
            f"{name} combines networks" if strategy.least > 1 else f"{name} needs a network",
            expected=f"--models with at least {strategy.least}",
            found=str(sources),
        )
    return strategy
