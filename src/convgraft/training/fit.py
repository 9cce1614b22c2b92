"""Fit a composite to a task: the best epoch by validation, whatever stops the run on the way."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as lit
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.utils.data import DataLoader

from convgraft.compose import Composite
from convgraft.data import EpochSampler, PixelDataset, Pixels, augmentation
from convgraft.errors import DataError, UsageError
from convgraft.training.callbacks import (
    BestWeights,
    Checkpoint,
    Interrupted,
    OutOfPatience,
    StepProgress,
    StopWhenAsked,
)
from convgraft.training.evaluate import answers
from convgraft.training.freeze import Freeze, FreezePolicy, apply_freeze, work_out
from convgraft.training.module import FitModule
from convgraft.training.options import FitOptions
from convgraft.training.task import Task

EVALUATION_BATCH = 128


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
    checkpoint: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> FitResult:
    """Train the composite's weights in place and keep the epoch that validates best.

    Args:
        composite: compiled for `task.size` and the task's number of classes.
        policy: what learns, and how fast.
        checkpoint: where to write the state after every epoch; a fit that finds its own state
            there goes on from it and ends in the same weights as one that was never stopped.
        on_progress: called with (steps done, steps in all).

    Raises UsageError where composite, task and policy do not go together; RunError where the loss
    stops being a number.
    """
    freeze = check_fit(composite, policy, size=task.size, classes=len(task.classes))
    train, val = task.pixels("train"), task.pixels("val")
    _check_images(train, val)
    module = FitModule(apply_freeze(composite, freeze), freeze, options).train()
    best = BestWeights(composite.plan.answer, options.patience)
    stop = StopWhenAsked()
    callbacks: list[lit.Callback] = [best, stop]
    callbacks += [StepProgress(on_progress)] if on_progress else []
    callbacks += [Checkpoint(checkpoint)] if checkpoint else []
    resume = str(checkpoint) if checkpoint and checkpoint.exists() else None
    interrupted = False
    with stop.listening(), _quiet():
        trainer = _trainer(options, callbacks)
        try:
            trainer.fit(
                module,
                _loader(train, options, shuffle=True),
                _loader(val, options, shuffle=False),
                ckpt_path=resume,
                weights_only=True,
            )
        except OutOfPatience:
            pass
        except Interrupted:
            interrupted = True
    trained = module.composite.cpu()
    trained.load_state_dict(best.weights, strict=False)
    return FitResult(
        composite=trained.eval(),
        freeze=freeze,
        curve=tuple(best.curve),
        best_epoch=best.epoch,
        seconds=best.seconds,
        interrupted=interrupted,
    )


def check_fit(composite: Composite, policy: FreezePolicy, *, size: int, classes: int) -> Freeze:
    """Whether a composite can learn that many classes from images of that size, and what would.

    Raises UsageError where it cannot, or where nothing would learn.
    """
    own = composite.plan.image_size
    if own != size:
        raise UsageError(f"the network takes {own} pixels and the images have {size}")
    for name, logits in answers(composite, torch.zeros(1, 3, size, size)).items():
        if logits.shape[1] != classes:
            raise UsageError(
                f'the answer "{name}" tells {logits.shape[1]} classes apart',
                expected=f"{classes}, as the data has",
                hint="a head of its own, e.g. --strategy probe",
            )
    return work_out(policy, composite)


def _check_images(train: Pixels, val: Pixels) -> None:
    for part, pixels, least in (("training", train, 2), ("validation", val, 1)):
        if len(pixels.labels) < least:
            raise DataError(
                f"there are too few {part} images",
                expected=f"at least {least}",
                found=str(len(pixels.labels)),
            )


def _loader(pixels: Pixels, options: FitOptions, *, shuffle: bool) -> DataLoader[Any]:
    count = len(pixels.labels)
    size = options.batch_size if shuffle else EVALUATION_BATCH
    augment = augmentation(options.augment, pixels.images.shape[-1]) if shuffle else None
    return DataLoader(
        PixelDataset(pixels, range(count), augment=augment, seed=options.seed),
        batch_size=size,
        sampler=EpochSampler(count, seed=options.seed, shuffle=shuffle),
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
