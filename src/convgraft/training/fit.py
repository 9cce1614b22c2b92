"""Fit a composite to a task: the best epoch by validation, whatever stops the run on the way."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as lit
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.utils.data import DataLoader

from convgraft.compose import Composite, keep_answers
from convgraft.data import EpochSampler, PixelDataset, Pixels, augmentation
from convgraft.errors import DataError, UsageError
from convgraft.training.calibrate import calibrate, standardisers
from convgraft.training.callbacks import (
    BestWeights,
    Checkpoint,
    Interrupted,
    OutOfPatience,
    StepProgress,
    StopWhenAsked,
)
from convgraft.training.check import check_fit, class_counts
from convgraft.training.freeze import Freeze, apply_freeze
from convgraft.training.module import FitModule, stage_seed
from convgraft.training.objective import Loss, task_loss
from convgraft.training.options import FitOptions
from convgraft.training.policies import FreezePolicy
from convgraft.training.stages import Stage, plan_stages
from convgraft.training.task import Task

EVALUATION_BATCH = 128
FIRST_LOOK = 1024  # images that the statistics of a head on learning features begin with


@dataclass(frozen=True, eq=False)
class FitResult:
    """What a fit reached.

    Attributes:
        composite: with the weights of the best epoch, in evaluation mode.
        freeze: what was frozen, and every weight's rate.
        curve: per epoch its training loss and each answer's validation top-1 and NLL.
        best_epoch: the chosen epoch, from 0; -1 where the fit was stopped before its first end.
        seconds: time spent in whole epochs, also in earlier calls that this one went on from.
        interrupted: whether somebody stopped it.
    """

    composite: Composite
    freeze: Freeze
    curve: tuple[Mapping[str, Any], ...]
    best_epoch: int
    seconds: float
    interrupted: bool


def fit(
    composite: Composite,
    task: Task,
    policy: FreezePolicy,
    options: FitOptions,
    *,
    loss: Loss | None = None,
    checkpoint: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> FitResult:
    """Train the composite's weights in place and keep the epoch that validates best.

    Args:
        composite: compiled for `task.size` and the task's numbers of classes.
        policy: what learns, and how fast, in one phase or several.
        loss: what is minimised; the cross-entropy of every trained answer by default.
        checkpoint: where to write the state after every epoch; a fit that finds its own state
            there goes on from it and ends in the same weights as one that was never stopped.
        on_progress: called with (steps done, steps in all).

    Raises UsageError where composite, task, policy and loss do not go together; RunError where
    the loss stops being a number.
    """
    loss = loss or task_loss(composite.plan)
    check_fit(composite, policy, size=task.size, columns=class_counts(task), loss=loss)
    stages = plan_stages(composite, policy, loss, options)
    work = _Work(composite, task, stages, checkpoint, on_progress)
    best = BestWeights(
        loss.judged or (composite.plan.answer,), pick=loss.pick, patience=options.patience
    )
    stop = StopWhenAsked()
    interrupted = False
    trained = composite
    with stop.listening(), _quiet():
        for number in range(work.first, len(stages)):
            trained, interrupted = work.run(number, best, stop)
            trained.load_state_dict(best.weights, strict=False)
            if interrupted:
                break
    return FitResult(
        composite=_kept(trained, loss, best.picked).eval(),
        freeze=stages[-1].freeze,
        curve=tuple(best.curve),
        best_epoch=best.epoch,
        seconds=best.seconds,
        interrupted=interrupted,
    )


class _Work:
    """Runs the stages of one fit, each by a Lightning trainer of its own."""

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
        _check_images(self.train, self.val)
        self.checkpoint, self.on_progress = checkpoint, on_progress
        self.resumed = _stage_in(checkpoint)
        self.first = self.resumed or 0
        options = stages[0].options
        batches = len(_loader(self.train, options, shuffle=True, seed=0))
        self.steps = [stage.options.epochs * batches for stage in stages]

    def run(self, number: int, best: BestWeights, stop: StopWhenAsked) -> tuple[Composite, bool]:
        """Train one stage; the composite as that stage holds it, and whether it was stopped."""
        stage, goes_on = self.stages[number], self.resumed == number
        held = apply_freeze(self.composite, stage.freeze)
        fixed, moving = standardisers(held, stage.freeze.held)
        if not goes_on:
            self._calibrate(held, fixed, moving if number == 0 else set())
        held = held.holding(stage.freeze.held | fixed)
        module = FitModule(held, stage.freeze, stage.objective, stage.options, number=number)
        best.enter(stage.name, stage.freeze, held)
        seed = stage_seed(stage.options.seed, number)
        trainer = _trainer(stage.options, self._callbacks(number, best, stop))
        try:
            trainer.fit(
                module.train(),
                _loader(self.train, stage.options, shuffle=True, seed=seed),
                _loader(self.val, stage.options, shuffle=False, seed=seed),
                ckpt_path=str(self.checkpoint) if goes_on else None,
                weights_only=True,
            )
        except OutOfPatience:
            pass
        except Interrupted:
            return module.composite.cpu(), True
        return module.composite.cpu(), False

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


def _stage_in(checkpoint: Path | None) -> int | None:
    """The stage that a checkpoint was written in; None where there is no checkpoint."""
    if checkpoint is None or not checkpoint.exists():
        return None
    state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    return int(state["convgraft"]["stage"])


def _kept(trained: Composite, loss: Loss, picked: str) -> Composite:
    """The composite with the answers that are worth keeping."""
    if loss.pick:
        return keep_answers(trained, (picked,))
    return keep_answers(trained, loss.keep or trained.plan.answers)


def _check_images(train: Pixels, val: Pixels) -> None:
    for part, pixels, least in (("training", train, 2), ("validation", val, 1)):
        if len(pixels.labels) < least:
            raise DataError(
                f"there are too few {part} images",
                expected=f"at least {least}",
                found=str(len(pixels.labels)),
            )


def _loader(pixels: Pixels, options: FitOptions, *, shuffle: bool, seed: int) -> DataLoader[Any]:
    count = len(pixels.labels)
    size = options.batch_size if shuffle else EVALUATION_BATCH
    augment = augmentation(options.augment, pixels.images.shape[-1]) if shuffle else None
    return DataLoader(
        PixelDataset(pixels, range(count), augment=augment, seed=seed),
        batch_size=size,
        sampler=EpochSampler(count, seed=seed, shuffle=shuffle),
        # batch norm cannot normalise a last batch of one image
        drop_last=shuffle and count > size and count % size == 1,
        num_workers=options.workers if shuffle else 0,
        persistent_workers=bool(shuffle and options.workers),
    )


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


_LOGGERS = ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero", "lightning.fabric")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's banners and hints out of the user's terminal."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    try:
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
