"""What heads on frozen networks are worth, from features alone: a ridge regression for each.

Every subset of networks, with a head over the last features, over all taps, over the upper taps,
or with single heads that vote: milliseconds each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from convgraft.data import MISSING, Pixels
from convgraft.data.seeding import shuffled
from convgraft.errors import UsageError
from convgraft.strategies import Ingredients, StrategyOptions
from convgraft.studies.search.features import Features
from convgraft.studies.search.space import CLOSED, UPPER_TAPS, Candidate, defaults
from convgraft.training import Task
from convgraft.training.closed_form import Kernel, Scores, solve

MOST_IMAGES = 1000  # training images that regressions are solved on; their cost grows by the cube
READS = {
    "ridge-probe": "features",
    "ridge-parallel": "features",
    "ridge-ensemble": "features",
    "ridge-ladder": "all",
    "ridge-upper-ladder": "upper",
}


@dataclass(frozen=True)
class Prediction:
    """What a candidate will score, as far as closed form can tell.

    Attributes:
        val: top-1 on the validation images.
        held_out: top-1 on the training images, each answered by a fit to the others.
        score: top-1 on both together, which rests on more images than either.
        macs: of one image, heads aside.
    """

    candidate: Candidate
    val: float
    held_out: float
    score: float
    macs: int


@dataclass(frozen=True, eq=False)
class Predictor:
    """Features and labels, and the regressions over them.

    Attributes:
        given: the networks, whose taps it reads.
        features: by network.
    """

    given: Ingredients
    features: Mapping[str, Features]
    task: Task
    seed: int = 0

    def predict(self, subsets: Sequence[tuple[str, ...]]) -> list[Prediction]:
        """Every closed way over these subsets, the best first.

        Of equal ones the cheapest is first. Left out is what has no tap to read.
        """
        found = [self._predict(one) for one in defaults(CLOSED, subsets) if self._readable(one)]
        return sorted(found, key=lambda one: (-one.score, one.macs))

    def _readable(self, candidate: Candidate) -> bool:
        reads = READS[candidate.way]
        return all((name, reads) in self._kernels for name in candidate.networks)

    def _predict(self, candidate: Candidate) -> Prediction:
        scores = self._answer(candidate)
        held_out = scores.held_out.argmax(1) == self.labels["train"]
        val = scores.val.argmax(1) == self.labels["val"]
        return Prediction(
            candidate,
            val.double().mean().item(),
            held_out.double().mean().item(),
            torch.cat([held_out, val]).double().mean().item(),
            sum(self.features[name].macs for name in candidate.networks),
        )

    def _answer(self, candidate: Candidate) -> Scores:
        if candidate.way == "ridge-ensemble":
            return Scores.average(self._single[name] for name in candidate.networks)
        reads = READS[candidate.way]
        return self._solve(Kernel.total(self._kernels[name, reads] for name in candidate.networks))

    def _solve(self, kernel: Kernel) -> Scores:
        return solve(kernel, self.labels["train"], self.given.classes)

    @cached_property
    def _single(self) -> dict[str, Scores]:
        """Each network's own head over its features."""
        return {name: self._solve(self._kernels[name, "features"]) for name in self.features}

    @cached_property
    def rows(self) -> dict[str, Tensor]:
        """The labelled images of each part; of many training images, some."""
        found = {part: _labelled(self.task.pixels(part)) for part in ("train", "val")}
        order = torch.from_numpy(shuffled(len(found["train"]), self.seed))
        found["train"] = found["train"][order[:MOST_IMAGES].sort().values]
        return found

    @cached_property
    def labels(self) -> dict[str, Tensor]:
        """Their labels, by part."""
        return {part: self.task.pixels(part).labels[rows] for part, rows in self.rows.items()}

    @cached_property
    def _kernels(self) -> dict[tuple[str, str], Kernel]:
        """By network and by what of it is read."""
        found: dict[tuple[str, str], Kernel] = {}
        for name in self.features:
            for reads, taps in self._taps(name).items():
                if taps:
                    found[name, reads] = Kernel.total(self._kernel(name, tap) for tap in taps)
        return found

    def _kernel(self, name: str, tap: str) -> Kernel:
        values = self.features[name].values
        train, val = (values[part][tap][self.rows[part]] for part in ("train", "val"))
        return Kernel.of(train, val)

    @cached_property
    def _upper(self) -> Ingredients:
        return replace(self.given, options=StrategyOptions(taps=UPPER_TAPS))

    def _taps(self, name: str) -> dict[str, list[str]]:
        """The taps of a network that each kind of head reads."""
        chosen = {
            "features": [self.given.features(name)],
            "all": self.given.side_taps(name),
            "upper": self._upper.side_taps(name),
        }
        known = set(self.features[name].taps)
        named = {reads: [ref.tap for ref in refs] for reads, refs in chosen.items()}
        return {reads: taps for reads, taps in named.items() if set(taps) <= known}


def _labelled(pixels: Pixels) -> Tensor:
    """Rows of the images whose main label is known; raises UsageError where there is none."""
    rows = (pixels.labels != MISSING).nonzero()[:, 0]
    if not len(rows):
        raise UsageError(
            "a search chooses on labelled validation images", expected="one or more", found="none"
        )
    return rows
