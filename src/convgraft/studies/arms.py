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
from convgraft.training import PRESETS, FreezePolicy, Loss

PROBE, FINETUNE = BASELINES = ("probe", "finetune")


@dataclass(frozen=True, eq=False)
class Arm:
    """One thing to train.

    Attributes:
        name: e.g. `cross-skip`, `probe-a`.
        plan: what is trained.
        sources: the plan's sources, opened.
        policy: what learns.
        loss: what is minimised; None: the cross-entropy of every trained answer.
        baseline: `probe` or `finetune` for a network by itself; empty for a join.
        solved: whether nothing is trained, and adapters are filled in by least squares alone.
    """

    name: str
    plan: Plan
    sources: Mapping[str, Source]
    policy: FreezePolicy
    loss: Loss | None = None
    baseline: str = ""
    solved: bool = False


def baseline_arms(given: Ingredients, tuned: FreezePolicy | None = None) -> list[Arm]:
    """Each source's probe and fine-tune, under heads with the options that the join's has.

    Args:
        tuned: how the fine-tunes learn, so that they are as free as the join; the preset
            `discriminative` by default.
    """
    arms: list[Arm] = []
    for baseline in BASELINES:
        strategy = STRATEGIES[baseline]
        preset = PRESETS[strategy.freeze]
        policy = tuned if tuned and baseline == FINETUNE else preset
        for name in given.sources:
            sources = {name: given.sources[name]}
            plan = strategy.write(replace(given, sources=sources))
            arms.append(Arm(f"{baseline}-{name}", plan, sources, policy, baseline=baseline))
    return arms


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
            own = key.removeprefix("heads.label.")
            state[key if own == key else f"heads.{name}.{own}"] = tensor
    with torch.no_grad():
        average.load_state_dict(state, strict=True)
    return average.eval()
