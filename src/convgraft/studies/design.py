"""Designs: what an arm is to be, in words; `build_arm` makes the arm of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from convgraft.errors import UsageError
from convgraft.opening import open_network, source_seed
from convgraft.plan import Plan
from convgraft.sources import Source, parse_spec
from convgraft.strategies import (
    Ingredients,
    Strategy,
    StrategyOptions,
    find_strategy,
    weighed,
    write_recipe,
)
from convgraft.strategies.likely import LIKENESS, SHAPE
from convgraft.studies.arms import Arm
from convgraft.studies.solved import check_solvable, needs_no_training
from convgraft.training import FreezePolicy, Rule, read_policy

RANDOM_FRONT = "random-front"


@dataclass(frozen=True)
class Design:
    """How networks are combined and trained, before anything is opened.

    Attributes:
        strategy: a row of `STRATEGIES`.
        options: the strategy's choices.
        asked: the names of the options that somebody gave; those a strategy does not read are
            refused.
        freeze: a preset or a policy file; empty: the strategy's own.
        loss: a row of `LOSSES`; empty: the strategy's own.
        balance, task_weights: how the losses of several label columns are weighed.
        learn_filters: whether a filter bank's kernels learn too.
        solved: whether nothing is trained, and adapters are filled in by least squares alone.
        name: of the arm; empty: the strategy's.
    """

    strategy: str
    options: StrategyOptions = field(default_factory=StrategyOptions)
    asked: tuple[str, ...] = ()
    freeze: str = ""
    loss: str = ""
    balance: str = "constant"
    task_weights: Mapping[str, float] = field(default_factory=dict)
    learn_filters: bool = False
    solved: bool = False
    name: str = ""


def build_arm(design: Design, given: Ingredients, seed: int = 0) -> Arm:
    """The arm of a design, for opened networks; raises UsageError or PlanError.

    Args:
        given: networks, size and classes; the options come from the design.
        seed: of networks that the strategy adds.
    """
    strategy = find_strategy(design.strategy, len(given.sources))
    _refuse_unread(design, strategy)
    given = replace(given, options=design.options)
    given = _with_brought(given, strategy, seed)
    return _arm(design, strategy.write(given), given, strategy)


def arm_of_plan(design: Design, plan: Plan, given: Ingredients) -> Arm:
    """The arm of a plan that somebody wrote; `design.strategy` is its name."""
    return _arm(design, plan, given, None)


def _arm(design: Design, plan: Plan, given: Ingredients, strategy: Strategy | None) -> Arm:
    own_loss, own_freeze = "task", "discriminative"
    if strategy:
        matches = design.options.classifier == "own" and strategy.matching
        own_loss, own_freeze = strategy.matching if matches else strategy.loss, strategy.freeze
    recipe = write_recipe(plan, given.sources, given, design.loss or own_loss)
    loss = weighed(recipe.loss, recipe.plan, design.balance, design.task_weights)
    policy = read_policy(design.freeze or own_freeze)
    if strategy and "filters" in strategy.options:
        policy = _with_filters(policy, learn=design.learn_filters)
    name = design.name or design.strategy
    arm = Arm(name, recipe.plan, recipe.sources, policy, loss, solved=design.solved)
    if arm.solved:
        check_solvable(arm)
    return replace(arm, solved=arm.solved or needs_no_training(arm))


def _refuse_unread(design: Design, strategy: Strategy) -> None:
    unread = [name for name in design.asked if name not in strategy.options]
    if unread:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in strategy.options)
        raise UsageError(
            f"{design.strategy} does not know --{unread[0].replace('_', '-')}",
            expected=flags,
            hint=f"leave --{unread[0].replace('_', '-')} out, or choose another --strategy",
        )
    if design.learn_filters and "filters" not in strategy.options:
        raise UsageError(f"{design.strategy} has no filters that could learn")


def _with_brought(given: Ingredients, strategy: Strategy, seed: int) -> Ingredients:
    """The given sources, and those that the strategy adds."""
    sources = dict(given.sources)
    for name, (spec, like) in strategy.brings(list(given.sources), given.options).items():
        seeded = source_seed(seed, len(sources))
        own = given.sources[like].preprocessing
        sources[name] = open_network(
            spec, mean=own.mean, std=own.std, size=own.size, seed=seeded, load=False
        )
    return replace(given, sources=sources)


def _with_filters(policy: FreezePolicy, *, learn: bool) -> FreezePolicy:
    """The policy with filter banks as they are in every phase, or learning at the full rate."""
    rule = Rule("filters*:**", 1.0 if learn else 0.0)
    phases = (replace(phase, rules=(*phase.rules, rule)) for phase in policy.phases)
    name = f"{policy.name}+filters" if learn else policy.name
    return FreezePolicy(name, tuple(phases))


def random_front(design: Design, given: Ingredients, seed: int = 0) -> Arm:
    """The control of a stitch: the same, from a front that was never trained.

    A stitch to noise can score well too; only what it is above this tells of likeness.
    """
    if design.strategy != "stitch":
        raise UsageError("only a stitch has a random-front control", found=design.strategy)
    design = _cut_alike(design, given)
    front = next(iter(given.sources))
    fresh = untrained(given.sources[front], seed)
    control = replace(given, sources={**given.sources, front: fresh})
    return build_arm(replace(design, name=RANDOM_FRONT), control, seed)


def _cut_alike(design: Design, given: Ingredients) -> Design:
    """The design with its cut written out, where likeness to the trained front decides on it."""
    if design.options.pairs != LIKENESS or given.images is None:
        return design
    stitch = find_strategy(design.strategy, len(given.sources))
    (wire,) = stitch.write(replace(given, options=design.options)).wires
    at = f"{wire.inputs[0].tap}:{wire.target.tap}"
    return replace(design, options=replace(design.options, at=at, pairs=SHAPE))


def untrained(opened: Source, seed: int = 0) -> Source:
    """The same architecture with random weights; raises UsageError for a run, which has none."""
    if opened.nested is not None:
        raise UsageError(
            f'the run "{opened.spec}" cannot be opened without its weights',
            hint="a network by its architecture: ARCH@RUN",
        )
    own = opened.preprocessing
    return open_network(
        parse_spec(opened.spec).architecture,
        classes=opened.classes,
        mean=own.mean,
        std=own.std,
        size=own.size,
        seed=source_seed(seed, 7),
        load=False,
    )
