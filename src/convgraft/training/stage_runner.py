"""Runs the stages of one fit, each by a Lightning trainer of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import lightning as lit
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from convgraft.compose import Composite
from convgraft.data import Pixels
from convgraft.errors import UsageError
from convgraft.training.calibrate import calibrate, standardisers
from convgraft.training.callbacks import (
    BestWeights,
    Checkpoint,
    Interrupted,
    OutOfPatience,
    StepProgress,
    StopWhenAsked,
)
from convgraft.training.freeze import apply_freeze
from convgraft.training.frozen_part import Stored, split_frozen
from convgraft.training.loaders import check_images, loader
from convgraft.training.memory_format import fastest_format
from convgraft.training.module import FitModule, stage_seed
from convgraft.training.options import FitOptions
from convgraft.training.stages import Stage
from convgraft.training.task import Task

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
    ) -> None:
        self.composite, self.stages = composite, stages
        self.train, self.val = task.pixels("train"), task.pixels("val")
        check_images(self.train, self.val)
        self.checkpoint, self.on_progress = checkpoint, on_progress
        self.resumed = _stage_in(checkpoint, stages)
        self.first = self.resumed or 0
        options = stages[0].options
        batches = len(loader(self.train, options, shuffle=True, seed=0))
        self.steps = [stage.options.epochs * batches for stage in stages]

    def run(self, number: int, best: BestWeights, stop: StopWhenAsked) -> tuple[Composite, bool]:
        """Train one stage; the composite as that stage holds it, and whether it was stopped."""
        began = time.monotonic()
        trainer = _trainer(self.stages[number].options, self._callbacks(number, best, stop))
        stage, goes_on = self.stages[number], self.resumed == number
        if goes_on and self.checkpoint:  # before anything frozen is computed from it
            self.composite.load_state_dict(_weights_in(self.checkpoint))
        held = apply_freeze(self.composite, stage.freeze).to(trainer.strategy.root_device)
        fixed, moving = (norms - stage.freeze.held for norms in standardisers(held))
        if not goes_on:
            self._calibrate(held, fixed, moving if number == 0 else set())
        held = held.holding(stage.freeze.held | fixed)
        composite, train, val = self._inputs(held, stage.options)
        best.seconds += time.monotonic() - began
        module = FitModule(
            composite,
            stage.freeze,
            stage.objective,
            stage.options,
            number=number,
            stages=[str(one) for one in self.stages],
        )
        module.layout = fastest_format(held)
        held.to(memory_format=module.layout)
        blind = not stage.objective.teaches(self.composite.plan, best.judged)
        best.enter(stage.name, stage.freeze, held, blind=blind)
        seed = stage_seed(stage.options.seed, number)
        try:
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
        self, held: Composite, options: FitOptions
    ) -> tuple[Composite, Pixels | Stored, Pixels | Stored]:
        """What is trained, and on what: the images, or what the frozen part makes of them once."""
        images = len(self.train.images) + len(self.val.images)
        split = split_frozen(held, images) if options.augment == "none" else None
        if split is None:
            return held, self.train, self.val
        return split.rest, split.store(self.train), split.store(self.val)

    def _calibrate(self, held: Composite, fixed: set[str], moving: set[str]) -> None:
        images = self.train.images
        if fixed:
            calibrate(held, images, fixed)
        if moving:
            calibrate(held, images[:FIRST_LOOK], moving)

    def _callbacks(self, number: int, best: BestWeights, stop: StopWhenAsked) -> list[lit.Callback]:
        found: list[lit.Callback] = [best, stop]
        if self.on_progress:
            before, total = sum(self.steps[:number]), sum(self.steps)
            found.append(StepProgress(self.on_progress, before, total))
        return [*found, Checkpoint(self.checkpoint)] if self.checkpoint else found


def _at_rest(held: Composite) -> Composite:
    """As it is saved, whatever it was trained in: on the CPU, in float32, maps contiguous."""
    return held.cpu().float().to(memory_format=torch.contiguous_format)


def _stage_in(checkpoint: Path | None, stages: Sequence[Stage]) -> int | None:
    """The stage that a checkpoint was written in; None where there is no checkpoint.

    Raises UsageError where it is of a fit with other stages.
    """
    if checkpoint is None or not checkpoint.exists():
        return None
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
        return lit.Trainer(
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
