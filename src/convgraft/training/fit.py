"""Fit a composite to a task: the best epoch by validation, whatever stops the run on the way."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from convgraft.compose import Composite, keep_answers
from convgraft.training.callbacks import BestWeights
from convgraft.training.check import check_fit, check_reach, class_counts
from convgraft.training.diverged import Kept, told
from convgraft.training.epoch_log import closing
from convgraft.training.freeze import Freeze
from convgraft.training.module import NotFinite
from convgraft.training.objective import Loss, task_loss
from convgraft.training.options import FitOptions
from convgraft.training.policies import FreezePolicy
from convgraft.training.process_group import current_group
from convgraft.training.stage_runner import StageRunner
from convgraft.training.stages import Stage, plan_stages
from convgraft.training.stopping import StopWhenAsked
from convgraft.training.task import Task


@dataclass(frozen=True, eq=False)
class FitResult:
    """What a fit reached.

    Attributes:
        composite: with the weights of the best epoch, in evaluation mode.
        freeze: what was frozen in the last stage, and every weight's rate there.
        learned: names of the weights that learned in any stage.
        frozen: paths of the networks that no stage has changed, e.g. `sources.a`.
        curve: per epoch its training loss and each answer's validation top-1 and NLL.
        best_epoch: the chosen epoch, from 0; -1 where the fit was stopped before its first end.
        seconds: time spent in whole epochs and in getting ready for them, also in earlier calls
            that this one went on from.
        interrupted: whether somebody stopped it.
    """

    composite: Composite
    freeze: Freeze
    learned: frozenset[str]
    frozen: frozenset[str]
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
    loggers: Sequence[Logger] = (),
) -> FitResult:
    """Train the composite's weights in place and keep the epoch that validates best.

    Args:
        composite: compiled for `task.size` and the task's numbers of classes.
        policy: what learns, and how fast, in one phase or several.
        loss: what is minimised; the cross-entropy of every trained answer by default.
        checkpoint: where to write the state after every epoch; a fit that finds its own state
            there goes on from it and ends in the same weights as one that was never stopped.
        on_progress: called with (steps done, steps in all).
        loggers: Lightning's, told of every epoch when it is whole; `convgraft.training.epoch_log`
            says what they are told.

    Raises UsageError where composite, task, policy and loss do not go together; RunError where
    the loss or an answer stops being a number. It names the batch; the composite then has the
    weights of the best epoch before, if there was one, and the checkpoint is of the last whole one.
    """
    loss = loss or task_loss(composite.plan)
    check_fit(composite, policy, size=task.size, columns=class_counts(task), loss=loss)
    stages = plan_stages(composite, policy, loss, options)
    check_reach(composite, stages)
    runner = StageRunner(composite, task, stages, checkpoint, on_progress, loggers)
    best = BestWeights(
        loss.judged or (composite.plan.answer,), pick=loss.pick, patience=options.patience
    )
    stop = StopWhenAsked()
    interrupted = False
    trained = composite
    with stop.listening(), _quiet(), closing(loggers, lambda: interrupted):
        for number in range(runner.first, len(stages)):
            try:
                trained, interrupted = runner.run(number, best, stop)
            except NotFinite as error:
                composite.load_state_dict(best.weights, strict=False)
                kept = Kept(best.epoch, checkpoint)
                raise told(
                    error, task, number, stages[number].options, kept, runner.data
                ) from error
            trained.load_state_dict(best.weights, strict=False)
            if interrupted:
                break
    stopped = current_group().any(interrupted or stop.asked)  # also after the last batch
    return FitResult(
        composite=_kept(trained, loss, best.picked).eval(),
        freeze=stages[-1].freeze,
        learned=frozenset(n for s in stages for n, rate in s.freeze.rates.items() if rate > 0),
        frozen=_frozen(composite, stages),
        curve=tuple(best.curve),
        best_epoch=best.epoch,
        seconds=best.seconds,
        interrupted=stopped,
    )


def _frozen(composite: Composite, stages: Sequence[Stage]) -> frozenset[str]:
    """The networks that every stage holds, and lets no weight of learn."""
    roots = {f"sources.{ref.name}" for ref in composite.plan.sources}
    for stage in stages:
        learned = [name for name, rate in stage.freeze.rates.items() if rate > 0]
        roots &= stage.freeze.held
        roots -= {root for root in roots if any(n.startswith(f"{root}.") for n in learned)}
    return frozenset(roots)


def _kept(trained: Composite, loss: Loss, picked: str) -> Composite:
    """The composite with the answers that are worth keeping."""
    if loss.pick:
        return keep_answers(trained, (picked,))
    return keep_answers(trained, loss.keep or trained.plan.answers)


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
