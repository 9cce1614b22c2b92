"""Fit a composite to a task: the best epoch by validation, whatever stops the run on the way."""

from __future__ import annotations

import logging
import time
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
from convgraft.training.check import check_fit, check_reach, class_counts
from convgraft.training.freeze import Freeze, apply_freeze
from convgraft.training.frozen_part import Stored, split_frozen
from convgraft.training.memory_format import fastest_format
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
        seconds: time spent in whole epochs and in getting ready for them, also in earlier calls
            that this one went on from.
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
    check_reach(composite, stages)
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
        self.resumed = _stage_in(checkpoint, stages)
        self.first = self.resumed or 0
        options = stages[0].options
        batches = len(_loader(self.train, options, shuffle=True, seed=0))
        self.steps = [stage.options.epochs * batches for stage in stages]

    def run(self, number: int, best: BestWeights, stop: StopWhenAsked) -> tuple[Composite, bool]:
        """Train one stage; the composite as that stage holds it, and whether it was stopped."""
        began = time.monotonic()
        stage, goes_on = self.stages[number], self.resumed == number
        if goes_on and self.checkpoint:  # before anything frozen is computed from it
            self.composite.load_state_dict(_weights_in(self.checkpoint))
        held = apply_freeze(self.composite, stage.freeze)
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
        trainer = _trainer(stage.options, self._callbacks(number, best, stop))
        try:
            trainer.fit(
                module.train(),
                _loader(train, stage.options, shuffle=True, seed=seed),
                _loader(val, stage.options, shuffle=False, seed=seed),
                ckpt_path=str(self.checkpoint) if goes_on else None,
                weights_only=True,
            )
        except OutOfPatience:
            pass
        except Interrupted:
            return held.cpu().to(memory_format=torch.contiguous_format), True
        return held.cpu().to(memory_format=torch.contiguous_format), False

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


def _loader(
    data: Pixels | Stored, options: FitOptions, *, shuffle: bool, seed: int
) -> DataLoader[Any]:
    count = len(data)
    size = options.batch_size if shuffle else EVALUATION_BATCH
    dataset: Any = data
    if isinstance(data, Pixels):
        augment = augmentation(options.augment, data.images.shape[-1]) if shuffle else None
        dataset = PixelDataset(data, range(count), augment=augment, seed=seed)
    workers = options.workers if shuffle and isinstance(data, Pixels) else 0
    return DataLoader(
        dataset,
        batch_size=size,
        sampler=EpochSampler(count, seed=seed, shuffle=shuffle),
        collate_fn=None if isinstance(data, Pixels) else _as_it_is,
        # batch norm cannot normalise a last batch of one image
        drop_last=shuffle and count > size and count % size == 1,
        num_workers=workers,
        persistent_workers=bool(workers),
    )


def _as_it_is(batch: Any) -> Any:
    """Stored values come in batches already."""
    return batch


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
