"""Runs the stages of one fit, each by a Lightning trainer of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import lightning as lit
import torch
from lightning.pytorch.loggers import Logger
from torch import Tensor

from convgraft.cache.split import rest_of
from convgraft.cache.stored import StoredValues
from convgraft.cache.tuning import on_threads
from convgraft.compose import Composite
from convgraft.data import Pixels
from convgraft.errors import UsageError
from convgraft.opening.memory_format import fastest_format
from convgraft.training.budget import EpochsInBudget, decided_epochs
from convgraft.training.calibrate import calibrate, standardisers
from convgraft.training.callbacks import BestWeights, OutOfPatience, StepProgress
from convgraft.training.checkpoint_file import check_checkpoint
from convgraft.training.enough_memory import enough_memory
from convgraft.training.epoch_log import EpochLog
from convgraft.training.freeze import apply_freeze, trainable_state
from convgraft.training.loaders import check_images, loader
from convgraft.training.module import FitModule, stage_seed
from convgraft.training.module_over_ranks import FitModuleOverRanks, Steps
from convgraft.training.options import FitOptions
from convgraft.training.process_group import Group, Interrupted, current_group
from convgraft.training.run_once import RunOnce, run_once
from convgraft.training.stages import Stage
from convgraft.training.stopping import Checkpoint, StopWhenAsked
from convgraft.training.task import Task
from convgraft.training.trainer import trainer_for
from convgraft.training.upstream import Upstream
from convgraft.training.views import AS_THEY_ARE, views_for

STORED_PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")  # others round the frozen part as well
SHORT_STEP = 5e7  # multiply-accumulates of a forward pass that one thread does best alone
FIRST_LOOK = 1024  # images that the statistics of a head on learning features begin with


class StageRunner:
    """The stages of one fit, from the first or from the one that a checkpoint was written in.

    Attributes:
        first: the number of the stage to begin with.
        data: what the stage that ran last was trained on.
    """

    def __init__(
        self,
        composite: Composite,
        task: Task,
        stages: Sequence[Stage],
        checkpoint: Path | None,
        on_progress: Callable[[int, int], None] | None,
        loggers: Sequence[Logger] = (),
    ) -> None:
        self.composite, self.task, self.stages = composite, task, stages
        self.checkpoint, self.on_progress, self.loggers = checkpoint, on_progress, loggers
        if current_group().sharded:
            _check_shardable(stages)
        self.found = current_group().local_copy(checkpoint) if checkpoint else None
        self.resumed = _stage_in(self.found, stages)
        self.first = self.resumed or 0
        self.data: Pixels | StoredValues | None = None

    def run(self, number: int, best: BestWeights, stop: StopWhenAsked) -> tuple[Composite, bool]:
        """Train one stage; the composite as that stage holds it, and whether it was stopped.

        Raises RunError where memory does not suffice.
        """
        with enough_memory(self.stages[number].options.batch_size):
            return self._run(number, best, stop)

    def _run(self, number: int, best: BestWeights, stop: StopWhenAsked) -> tuple[Composite, bool]:
        began = time.monotonic()
        stage, goes_on = self.stages[number], self.resumed == number
        device = trainer_for(stage.options, []).strategy.root_device
        if goes_on and self.found:  # before anything frozen is computed from it
            self.composite.load_state_dict(_weights_in(self.found))
        held = apply_freeze(self.composite, stage.freeze).to(device)
        try:
            once, train, val = self._inputs(held, stage, stop)
        except Interrupted:
            return _at_rest(held), True
        check_images(train, val)
        self.data = train
        fixed, moving = (norms - stage.freeze.held for norms in standardisers(held))
        if not goes_on:
            network = once.network if once else held
            calibrate(network, train, fixed)
            calibrate(network, _first(train), moving if number == 0 else set())
        group = current_group()
        held = held.holding(stage.freeze.held | fixed)
        group.share_first(trainable_state(held, stage.freeze))  # and all do as one from here on
        batches = loader(train, stage.options, shuffle=True, seed=0).steps
        budget = self._budget(number, batches)
        epochs = (budget.epochs if budget else None) or stage.options.epochs
        best.seconds += time.monotonic() - began
        module = _module_of(group)(
            rest_of(once.frontier, held.held) if once else held,
            stage.freeze,
            stage.objective,
            stage.options,
            number=number,
            stages=[str(one) for one in self.stages],
            steps=epochs * batches,
        )
        module.steps_of_epoch = batches
        module.layout = once.layout if once else fastest_format(held)
        held.to(memory_format=module.layout)
        blind = not stage.objective.teaches(self.composite.plan, best.judged)
        best.enter(stage.name, stage.freeze, held, blind=blind)
        seed = stage_seed(stage.options.seed, number)
        callbacks = self._callbacks(number, batches, best, stop)
        callbacks = [budget, *callbacks] if budget else callbacks
        unused = _has_unused(module) if group.world > 1 and not group.sharded else False
        trainer = trainer_for(replace(stage.options, epochs=epochs), callbacks, unused=unused)
        order = loader(train, stage.options, shuffle=True, seed=seed, ranks=group.ranks)
        try:
            with _threads(once, stage.options):
                trainer.fit(
                    module.train(),
                    Steps(order, module) if isinstance(module, FitModuleOverRanks) else order,
                    loader(val, stage.options, shuffle=False, seed=seed, ranks=group.ranks),
                    ckpt_path=str(self.found) if goes_on else None,
                    weights_only=True,
                )
        except OutOfPatience:
            pass
        except Interrupted:
            return _at_rest(held), True
        return _at_rest(held), False

    def _inputs(
        self, held: Composite, stage: Stage, stop: StopWhenAsked
    ) -> tuple[RunOnce | None, Pixels | StoredValues, Pixels | StoredValues]:
        """What is trained on: the images, or what the frozen part makes of them once."""
        views = views_for(stage.options)
        count = len(self.task.split.train) * views.count + len(self.task.split.val)
        stores = views.count and stage.options.precision in STORED_PRECISIONS
        once = run_once(held, self.task, count) if stores else None
        # without being asked to, a network that learns is not kept to a few views of its images
        if once and views != AS_THEY_ARE and once.frontier.reads_image:
            once = once if stage.options.views else None
        if once:
            if views == AS_THEY_ARE:
                once.prepare(("train", "val"), self._watched("train and val", stop))
            train = once.data("train", views, on_progress=self._watched("train", stop))
            val = once.data("val", on_progress=self._watched("val", stop)) if train else None
            if train and val:
                return once, train, val
        return None, self._pixels("train"), self._pixels("val")

    def _pixels(self, part: str) -> Pixels:
        """Streamed by all ranks, in one order, where one of them has no room to keep them."""
        return self.task.pixels(part, stream=current_group().any(self.task.streams(part)))

    def _budget(self, number: int, batches: int) -> EpochsInBudget | None:
        """A stage's part of the fit's seconds, and the epochs that were decided on before."""
        options = self.stages[number].options
        if options.budget_seconds is None:
            return None
        share = options.epochs / sum(stage.options.epochs for stage in self.stages)
        decided = decided_epochs(self.found) if self.resumed == number else None
        return EpochsInBudget(
            share * options.budget_seconds, options.epochs, batches, epochs=decided
        )

    def _watched(self, part: str, stop: StopWhenAsked) -> Callable[[int, int], None]:
        """Progress of the frozen pass, which ends where somebody asks for it."""
        told = self.task.told(f"frozen part, {part}")

        def report(done: int, total: int) -> None:
            if told:
                told(done, total)
            if stop.is_asked_anywhere():
                raise Interrupted

        return report

    def _callbacks(
        self, number: int, batches: int, best: BestWeights, stop: StopWhenAsked
    ) -> list[lit.Callback]:
        found: list[lit.Callback] = [best]
        if self.on_progress:
            steps = [stage.options.epochs * batches for stage in self.stages]
            before, total = sum(steps[:number]), sum(steps)
            found.append(StepProgress(self.on_progress, before, total))
        if self.loggers:
            found.append(EpochLog(self.loggers, best, batches))
        stop.checkpoint = None
        if self.checkpoint:
            minutes = self.stages[number].options.checkpoint_minutes
            stop.checkpoint = Checkpoint(self.checkpoint, minutes)
            found.append(stop.checkpoint)
        return [*found, stop]


def _module_of(group: Group) -> type[FitModule]:
    """What trains a composite: alone, with others, or with others that have shares of it."""
    if group.sharded:
        from convgraft.training.module_sharded import FitModuleSharded

        return FitModuleSharded
    return FitModule if group.world == 1 else FitModuleOverRanks


def _check_shardable(stages: Sequence[Stage]) -> None:
    """Raise UsageError for a stage whose weights cannot be spread over ranks."""
    from convgraft.training.sharded import check_shardable

    for stage in stages:
        check_shardable(stage.options, stage.objective.balance)


def _has_unused(module: FitModule) -> bool:
    """Whether some weights that learn have no part in the loss of this stage."""
    learns = {name for name, p in module.composite.named_parameters() if p.requires_grad}
    taught = {name for term in module.objective.terms for name in term.of}
    return bool(learns - Upstream(module.composite).of(taught))


def _threads(once: RunOnce | None, options: FitOptions) -> AbstractContextManager[None]:
    """One thread where a step is so short that sharing it out would take longer than the step."""
    short = once is not None and once.frontier.macs_again * options.batch_size < SHORT_STEP
    return on_threads(1) if short else nullcontext()


def _first(train: Pixels | StoredValues) -> Tensor | StoredValues:
    """A first look at what is trained on."""
    stored = isinstance(train, StoredValues)
    return train.first(FIRST_LOOK) if stored else train.images[:FIRST_LOOK]


def _at_rest(held: Composite) -> Composite:
    """As it is saved, whatever it was trained in: on the CPU, in float32, maps contiguous."""
    return held.cpu().float().to(memory_format=torch.contiguous_format)


def _stage_in(checkpoint: Path | None, stages: Sequence[Stage]) -> int | None:
    """The stage that a checkpoint was written in; None where there is no checkpoint.

    Raises UsageError where it is of a fit with other stages, or damaged.
    """
    if checkpoint is None or not checkpoint.exists():
        return None
    check_checkpoint(checkpoint)
    state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["convgraft"]
    then, now = state.get("stages", []), [str(stage) for stage in stages]
    if then != now:
        raise UsageError(
            f'the checkpoint "{checkpoint}" is of another fit',
            expected="; ".join(now),
            found="; ".join(then) or "nothing that says what it trained",
            hint="another checkpoint, or the freeze policy, loss and options that it was made with",
        )
    return int(state["stage"])


def _weights_in(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The network's tensors as a checkpoint has them."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
    prefix = "composite."
    return {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
