"""The best single network of at least equal cost: one network, on images as large as it takes.

A join costs more than either of its networks. What it adds has to be more than what one network
gains when the same multiply-accumulates are spent on larger images.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from convgraft.compose import compose, cost
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.studies.arms import FINETUNE, Arm
from convgraft.training import PRESETS, FreezePolicy

EQUAL_COST = "equal-cost"
MOST = 2  # times the side that a network has in the joins


@dataclass(frozen=True)
class Side:
    """How large a network's images are made.

    Attributes:
        pixels: their side.
        macs: what the network costs there.
        wanted: what the dearest join costs.
    """

    pixels: int
    macs: int
    wanted: int

    @property
    def note(self) -> str:
        """What a reader has to know where images were not made large enough; empty else."""
        if self.macs >= self.wanted:
            return ""
        share = self.macs / self.wanted
        return (
            f"at {self.pixels} pixels, {MOST} times its side, it has {share:.2f}x the cost of the "
            "dearest join; its images are not made larger than that"
        )


def find_sides(joins: Sequence[Arm], given: Ingredients) -> dict[str, Side]:
    """By network, the smallest side at which it costs what the dearest join does.

    A network that costs as much as it is needs no larger images, and a run cannot take any: both
    are left out. No side is more than `MOST` times the network's own.
    """
    wanted = max(map(spent, joins), default=0)
    found: dict[str, Side] = {}
    for name, one in given.sources.items():
        if one.nested is not None:
            continue
        own = one.preprocessing.size or given.image_size
        sides = range(own, MOST * own + 1)

        def macs(pixels: int, name: str = name) -> int:
            return spent(larger_arm(given, name, pixels))

        place = min(bisect_left(sides, wanted, key=macs), len(sides) - 1)
        if place:
            found[name] = Side(sides[place], macs(sides[place]), wanted)
    return found


def larger_arm(
    given: Ingredients, name: str, pixels: int, tuned: FreezePolicy | None = None
) -> Arm:
    """The fine-tune of one network on images of another side.

    Args:
        tuned: how it learns; as fine-tunes do by default.
    """
    one = given.sources[name]
    sources = {name: replace(one, preprocessing=replace(one.preprocessing, size=None))}
    strategy = STRATEGIES[FINETUNE]
    plan = strategy.write(replace(given, sources=sources, image_size=pixels))
    policy = tuned or PRESETS[strategy.freeze]
    return Arm(f"{EQUAL_COST}-{name}", plan, sources, policy, baseline=EQUAL_COST)


def larger_arms(
    given: Ingredients, sides: Mapping[str, Side], tuned: FreezePolicy | None = None
) -> list[Arm]:
    """Every network that has a side of its own, on images of that side."""
    return [larger_arm(given, name, side.pixels, tuned) for name, side in sides.items()]


def spent(arm: Arm) -> int:
    """Multiply-accumulates of one image, by what is kept of an arm when it is trained."""
    kept = arm.loss.keep if arm.loss and arm.loss.keep else arm.plan.answers
    plan = arm.plan.keeping(kept)
    # weights make no difference to that, and reading them takes long
    sources = {ref.name: replace(arm.sources[ref.name], pending=None) for ref in plan.sources}
    return cost(compose(plan, sources)).macs
