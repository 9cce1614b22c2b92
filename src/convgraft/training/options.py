"""How a fit is run, as one checked value."""

from __future__ import annotations

import math
from dataclasses import dataclass

from convgraft.errors import UsageError, near_miss

OPTIMISERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "one-cycle", "constant")
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps", "tpu")
PRECISIONS = ("32-true", "16-mixed", "bf16-mixed", "bf16-true", "16-true", "64-true")
AUTO = "auto"  # augment as suits what learns
DEFAULT_RATES = {"adamw": 2e-3, "sgd": 2e-2}


@dataclass(frozen=True)
class FitOptions:
    """Settings of one fit. Raises UsageError for values that make no sense.

    Attributes:
        epochs: passes over the training images.
        batch_size: images per step.
        lr: peak learning rate of parts at full rate; None: the optimiser's default.
        weight_decay: of weights with two or more dimensions; norms and biases have none.
        optimiser: `adamw` or `sgd` (momentum 0.9, Nesterov).
        schedule: `cosine` (5 % warm-up), `one-cycle` or `constant`.
        label_smoothing: share of the target spread over all classes.
        augment: a name of `convgraft.data.AUGMENTATIONS`; `convgraft.studies.train_arm` also knows
            `auto`: `light` where networks learn, `none` where all of them are frozen.
        views: augmented versions of each image that frozen parts are run over once, to be used in
            turn; None: 4, or as many as there are epochs; 0: frozen parts run in every epoch.
        patience: stop after so many epochs without a better validation score; None: never.
        seed: of everything random in the fit.
        workers: processes that augment images; 0: none beside this one.
        accelerator, precision: Lightning's words.
        compile: whether loss and gradients of a step are compiled, by `torch.compile`.
        budget_seconds: for all epochs together; as many as fit are trained, at least one and at
            most `epochs`. None: all of them, however long that takes.
        checkpoint_minutes: between two checkpoints within an epoch, where any are written; 0: only
            when an epoch has ended.
    """

    epochs: int = 10
    batch_size: int = 32
    lr: float | None = None
    weight_decay: float = 1e-2
    optimiser: str = "adamw"
    schedule: str = "cosine"
    label_smoothing: float = 0.0
    augment: str = "none"
    views: int | None = None
    patience: int | None = None
    seed: int = 0
    workers: int = 0
    accelerator: str = "auto"
    precision: str = "32-true"
    compile: bool = False
    budget_seconds: float | None = None
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        _positive("epochs", self.epochs)
        if self.batch_size < 2:
            found = str(self.batch_size)
            raise UsageError(
                "the batch size is 2 or more: one image cannot be normalised", found=found
            )
        _positive("learning rate", self.rate)
        if self.patience is not None:
            _positive("patience", self.patience)
        if self.budget_seconds is not None:
            _positive("budget in seconds", self.budget_seconds)
        _share("label smoothing", self.label_smoothing)
        _one_of("optimiser", self.optimiser, OPTIMISERS)
        _one_of("schedule", self.schedule, SCHEDULES)
        _one_of("accelerator", self.accelerator, ACCELERATORS)
        _one_of("precision", self.precision, PRECISIONS)
        if not 0 <= self.checkpoint_minutes < math.inf:
            found = str(self.checkpoint_minutes)
            raise UsageError("minutes between checkpoints are a number, 0 or more", found=found)
        if not 0 <= self.weight_decay < math.inf:
            raise UsageError("weight decay is a number, 0 or more", found=str(self.weight_decay))
        if self.workers < 0 or self.seed < 0 or (self.views or 0) < 0:
            raise UsageError("workers, views and seed are not negative")

    @property
    def rate(self) -> float:
        """The peak learning rate."""
        return DEFAULT_RATES.get(self.optimiser, 1e-3) if self.lr is None else self.lr


def _positive(what: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise UsageError(f"the {what} must be above 0", found=str(value))


def _share(what: str, value: float) -> None:
    if not 0 <= value < 1:
        raise UsageError(f"the {what} is a share from 0 to 1", found=str(value))


def _one_of(what: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        raise UsageError(
            f'there is no {what} called "{word}"',
            expected=", ".join(known),
            hint=near_miss(word, known),
        )
