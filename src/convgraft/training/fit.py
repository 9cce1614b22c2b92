"""Fit a composite to a task: the best epoch by validation, whatever stops the run on the way."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as lit
import torch
from torch.utils.data import DataLoader

from convgraft.compose import Composite
from convgraft.data import EpochSampler, PixelDataset, Pixels, augmentation
from convgraft.errors import DataError, UsageError
from convgraft.training.callbacks import (
    BestWeights,
    Checkpoint,
    Interrupted,
    StepProgress,
    StopWhenAsked,
)
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
        seconds: time spent in this call.
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
    _check_classes(composite, task)
    freeze = work_out(policy, composite)
    train, val = task.pixels("train"), task.pixels("val")
    _check_images(train, val, options)
    module = FitModule(apply_freeze(composite, freeze), freeze, options)
    best = BestWeights(composite.plan.answer, options.patience)
    stop = StopWhenAsked()
    callbacks: list[lit.Callback] = [best, stop]
    callbacks += [StepProgress(on_progress)] if on_progress else []
    callbacks += [Checkpoint(checkpoint)] if checkpoint else []
    resume = str(checkpoint) if checkpoint and checkpoint.exists() else None
    began = time.monotonic()
    with stop.listening(), _quiet():
        trainer = _trainer(options, callbacks)
        with suppress(Interrupted):
            trainer.fit(
                module,
                _loader(train, options, shuffle=True),
                _loader(val, options, shuffle=False),
                ckpt_path=resume,
                weights_only=True,
            )
    trained = module.composite.cpu()
    trained.load_state_dict(best.weights, strict=False)
    return FitResult(
        composite=trained.eval(),
        freeze=freeze,
        curve=tuple(best.curve),
        best_epoch=best.epoch,
        seconds=time.monotonic() - began,
        interrupted=stop.asked,
    )


def _check_classes(composite: Composite, task: Task) -> None:
    size = composite.plan.image_size
    if size != task.size:
        raise UsageError(f"the network takes {size} pixels and the images have {task.size}")
    with torch.no_grad():
        composite.eval()
        outputs = composite(torch.zeros(1, 3, size, size))
    for name, logits in outputs.items():
        if logits.shape[1] != len(task.classes):
            raise UsageError(
                f'the answer "{name}" tells {logits.shape[1]} classes apart',
                expected=f"{len(task.classes)}, as the data has",
                hint="a head of its own, e.g. --strategy probe",
            )


def _check_images(train: Pixels, val: Pixels, options: FitOptions) -> None:
    for part, pixels, least in (("training", train, 2), ("validation", val, 1)):
        if len(pixels.labels) < least:
            raise DataError(
                f"there are too few {part} images",
                expected=f"at least {least}",
                found=str(len(pixels.labels)),
            )
    if options.batch_size < 2:
        raise UsageError("a batch of one image cannot be normalised", hint="--batch-size 2")


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
