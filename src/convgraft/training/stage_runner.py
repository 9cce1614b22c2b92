"""Runs the stages of one fit, each by a Lightning trainer of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import lightning as lit
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import Logger
from torch import Tensor

from convgraft.cache.memory_format import fastest_format
from convgraft.cache.split import rest_of
from convgraft.cache.stored import StoredValues
from convgraft.cache.tuning import on_threads
from convgraft.compose import Composite
from convgraft.data import Pixels
from convgraft.errors import UsageError
from convgraft.training.budget import EpochsInBudget, decided_epochs
from convgraft.training.calibrate import calibrate, standardisers
from convgraft.training.callbacks import (
    BestWeights,
    Checkpoint,
    Interrupted,
    OutOfPatience,
    StepProgress,
    StopWhenAsked,
)
from convgraft.training.checkpoint_file import check_checkpoint
from convgraft.training.enough_memory import enough_memory
from convgraft.training.epoch_log import EpochLog
from convgraft.training.freeze import apply_freeze
from convgraft.training.loaders import check_images, loader
from convgraft.training.module import FitModule, stage_seed
from convgraft.training.options import FitOptions
from convgraft.training.run_once import RunOnce, run_once
from convgraft.training.stages import Stage
from convgraft.training.task import Task
from convgraft.training.views import AS_THEY_ARE, views_for

STORED_PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")  # others round the frozen part as well
SHORT_STEP = 5e7  # multiply-accumulates of a forward pass that one thread does best alone
FIRST_LOOK = 1024  # images that the statistics of a head on learning features begin with


class StageRunner:
    """The stages of one fit, from the first or from the one that a checkpoint was written in.

    Attributes:
        first: the number of the stage to begin with.
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
        self.resumed = _stage_in(checkpoint, stages)
        self.first = self.resumed or 0

    def run(self, number: int, best: BestWeights, stop: StopWhenAsked) -> tuple[Composite, bool]:
        """Train one stage; the composite as that stage holds it, and whether it was stopped.

        Raises RunError where memory does not suffice.
        """
        with enough_memory(self.stages[number].options.batch_size):
            return self._run(number, best, stop)

    def _run(self, number: int, best: BestWeights, stop: StopWhenAsked) -> tuple[Composite, bool]:
        began = time.monotonic()
        stage, goes_on = self.stages[number], self.resumed == number
        device = _trainer(stage.options, []).strategy.root_device
        if goes_on and self.checkpoint:  # before anything frozen is computed from it
            self.composite.load_state_dict(_weights_in(self.checkpoint))
        held = apply_freeze(self.composite, stage.freeze).to(device)
        try:
            once, train, val = self._inputs(held, stage, stop)
        except Interrupted:
            return _at_rest(held), True
        check_images(train, val)
        fixed, moving = (norms - stage.freeze.held for norms in standardisers(held))
        if not goes_on:
            network = once.network if once else held
            calibrate(network, train, fixed)
            calibrate(network, _first(train), moving if number == 0 else set())
        held = held.holding(stage.freeze.held | fixed)
        batches = loader(train, stage.options, shuffle=True, seed=0).steps
        budget = self._budget(number, batches)
        epochs = (budget.epochs if budget else None) or stage.options.epochs
        best.seconds += time.monotonic() - began
        module = FitModule(
            rest_of(once.frontier, held.held) if once else held,
            stage.freeze,
            stage.objective,
            stage.options,
            number=number,
            stages=[str(one) for one in self.stages],
            steps=epochs * batches,
        )
        module.layout = once.layout if once else fastest_format(held)
        held.to(memory_format=module.layout)
        blind = not stage.objective.teaches(self.composite.plan, best.judged)
        best.enter(stage.name, stage.freeze, held, blind=blind)
        seed = stage_seed(stage.options.seed, number)
        callbacks = self._callbacks(number, batches, best, stop)
        callbacks = [budget, *callbacks] if budget else callbacks
        trainer = _trainer(replace(stage.options, epochs=epochs), callbacks)
        try:
            with _threads(once, stage.options):
                trainer.fit(
                    module.train(),
                    loader(train, stage.options, shuffle=True, seed=seed),
                    loader(val, stage.options, shuffle=False, seed=seed),
                    ckpt_path=str(self.checkpoint) if goes_on else None,
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
        return None, self.task.pixels("train"), self.task.pixels("val")

    def _budget(self, number: int, batches: int) -> EpochsInBudget | None:
        """A stage's part of the fit's seconds, and the epochs that were decided on before."""
        options = self.stages[number].options
        if options.budget_seconds is None:
            return None
        share = options.epochs / sum(stage.options.epochs for stage in self.stages)
        decided = decided_epochs(self.checkpoint) if self.resumed == number else None
        return EpochsInBudget(
            share * options.budget_seconds, options.epochs, batches, epochs=decided
        )

    def _watched(self, part: str, stop: StopWhenAsked) -> Callable[[int, int], None]:
        """Progress of the frozen pass, which ends where somebody asks for it."""
        told = self.task.told(f"frozen part, {part}")

        def report(done: int, total: int) -> None:
            if told:
                told(done, total)
            if stop.asked:
                raise Interrupted

        return report

    def _callbacks(
        self, number: int, batches: int, best: BestWeights, stop: StopWhenAsked
    ) -> list[lit.Callback]:
        found: list[lit.Callback] = [best, stop]
        if self.on_progress:
            steps = [stage.options.epochs * batches for stage in self.stages]
            before, total = sum(steps[:number]), sum(steps)
            found.append(StepProgress(self.on_progress, before, total))
        if self.loggers:
            found.append(EpochLog(self.loggers, best, batches))
        return [*found, Checkpoint(self.checkpoint)] if self.checkpoint else found


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


def _trainer(options: FitOptions, callbacks: list[lit.Callback]) -> lit.Trainer:
    try:
        trainer = lit.Trainer(
            max_epochs=options.epochs,
            accelerator=options.accelerator,
            devices=1,
            precision=options.precision,  # type: ignore[arg-type]
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
    except (MisconfigurationException, ValueError) as error:
        raise UsageError(
            f'accelerator "{options.accelerator}" with precision "{options.precision}" is not to '
            "be had on this machine",
            found=str(error),
            hint="--accelerator auto --precision 32-true",
        ) from error
    if trainer.precision != options.precision:  # Lightning takes another one, with a warning
        raise UsageError(
            f'precision "{options.precision}" is not to be had on this machine',
            found=f'Lightning would train in "{trainer.precision}"',
            hint=f"--precision {trainer.precision}, or 32-true",
        )
    return trainer
