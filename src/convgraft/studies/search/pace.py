"""How much time there is, and how long a trial will take.

The first guess comes from the pass over the images: seconds of a forward pass, times images, times
epochs, where a step of training counts as several. What trials really took corrects it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

from convgraft.studies.search.features import Features
from convgraft.studies.search.space import Candidate

OVERHEAD = 3.0  # seconds of a trial that trains nothing to speak of
PASSES = 5  # forward passes that a step of training costs, augmentation with it
PER_STEP = 0.01  # seconds of a step of a head over stored values


@dataclass(frozen=True, eq=False)
class Clock:
    """Time spent of a budget, in this call and in earlier ones.

    Attributes:
        budget: seconds.
        before: seconds that earlier calls spent.
    """

    budget: float
    before: float = 0.0
    now: Callable[[], float] = time.monotonic
    began: float = field(default=-1.0)

    def __post_init__(self) -> None:
        if self.began < 0:
            object.__setattr__(self, "began", self.now())

    @property
    def spent(self) -> float:
        """Seconds spent in all calls."""
        return self.before + self.now() - self.began

    @property
    def left(self) -> float:
        """Seconds left, below 0 where there was an overrun."""
        return self.budget - self.spent


@dataclass(frozen=True, eq=False)
class Pace:
    """Estimates, and what trials took against them, by kind of candidate."""

    features: Mapping[str, Features]
    train: int
    val: int
    batch_size: int
    ratios: Mapping[str, list[float]] = field(
        default_factory=lambda: {"closed": [], "frozen": [], "learning": []}
    )

    def estimate(self, candidate: Candidate) -> float:
        """Seconds that a trial will take."""
        known = self.ratios[candidate.kind]
        return self._guess(candidate) * (median(known) if known else 1.0)

    def learn(self, candidate: Candidate, seconds: float) -> None:
        """Take in what a trial took."""
        self.ratios[candidate.kind].append(seconds / self._guess(candidate))

    def _guess(self, candidate: Candidate) -> float:
        forward = sum(self.features[name].seconds for name in candidate.networks)
        if candidate.kind == "closed":
            return OVERHEAD
        epochs = int(candidate.choices["epochs"])
        if candidate.kind == "learning":
            return OVERHEAD + forward * epochs * (PASSES * self.train + self.val)
        steps = epochs * self.train / self.batch_size
        return OVERHEAD + forward * (self.train + self.val) + PER_STEP * steps
