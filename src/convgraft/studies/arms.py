"""Arms: what is compared, each trained by the same protocol on the same split.

The join is one arm; its baselines are each network's probe and fine-tune, and their averages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from convgraft.compose import Composite, compose
from convgraft.plan import Plan
from convgraft.sources import Source
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.training import PRESETS, FreezePolicy

BASELINES = ("probe", "finetune")


@dataclass(frozen=True, eq=False)
class Arm:
    """One thing to train.

    Attributes:
        name: e.g. `cross-skip`, `probe-a`.
        plan: what is trained.
        sources: the plan's sources, opened.
        policy: what learns.
    """

    name: str
    plan: Plan
    sources: Mapping[str, Source]
    policy: FreezePolicy


def baseline_arms(given: Ingredients) -> list[Arm]:
    """Each source's probe and fine-tune, under heads like the join's."""
    return [_single_arm(given, baseline, name) for baseline in BASELINES for name in given.sources]


def _single_arm(given: Ingredients, baseline: str, name: str) -> Arm:
    strategy = STRATEGIES[baseline]
    sources = {name: given.sources[name]}
    plan = strategy.write(replace(given, sources=sources))
    return Arm(f"{baseline}-{name}", plan, sources, PRESETS[strategy.freeze])


def average_of(given: Ingredients, baseline: str, members: Mapping[str, Composite]) -> Composite:
    """The average vote of trained single networks, as one composite; nothing is trained.

    Args:
        members: by source name, the composites of that baseline's arms.
    """
    plan = STRATEGIES[baseline].write(given)
    average = compose(plan, given.sources)
    state = {}
    for name, member in members.items():
        for key, tensor in member.state_dict().items():
            state[key.replace("heads.label.", f"heads.{name}.", 1)] = tensor
    with torch.no_grad():
        average.load_state_dict(state, strict=True)
    return average.eval()
