"""Composites with something frozen, their cuts and keys, in few words."""

from __future__ import annotations

from convgraft.cache.frontier import Frontier, find_frontier
from convgraft.cache.values import Value, cut_values
from convgraft.compose import Composite, compose
from convgraft.sources import Source
from convgraft.strategies import Ingredients, StrategyOptions
from convgraft.studies import Design, build_arm
from convgraft.training import PRESETS, FreezePolicy, work_out
from convgraft.training.freeze import apply_freeze

SIZE = 32


def held(
    sources: dict[str, Source],
    strategy: str = "",
    policy: FreezePolicy = PRESETS["heads-only"],
    *,
    size: int = SIZE,
    options: StrategyOptions | None = None,
) -> Composite:
    """A composite under a freeze policy of one phase; by default parallel, or a probe."""
    strategy = strategy or ("parallel" if len(sources) > 1 else "probe")
    given = Ingredients(sources, size, 10)
    arm = build_arm(Design(strategy, options or StrategyOptions()), given)
    network = compose(arm.plan, arm.sources)
    return apply_freeze(network, work_out(policy, network))


def cut_of(network: Composite, room: int | None = None) -> Frontier:
    """The cut of a composite that has one."""
    found = find_frontier(network, room)
    assert found is not None
    return found


def cut_keys(network: Composite, view: str = "") -> list[str]:
    """Keys of what is to be stored, in order."""
    return [value.key for value in values_of_cut(network, view)]


def values_of_cut(network: Composite, view: str = "") -> tuple[Value, ...]:
    return cut_values(cut_of(network), view)
