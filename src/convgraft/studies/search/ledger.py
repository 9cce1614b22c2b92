"""What a search knows of its candidates: whether there is time, what they cost, and their lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from convgraft.errors import RunError, UsageError
from convgraft.strategies import Ingredients
from convgraft.studies.arms import Arm
from convgraft.studies.design import build_arm
from convgraft.studies.search.features import Report
from convgraft.studies.search.front import choose, worth
from convgraft.studies.search.pace import Clock, Pace
from convgraft.studies.search.predict import Prediction
from convgraft.studies.search.price import Price, price_of
from convgraft.studies.search.rules import Rules
from convgraft.studies.search.space import Candidate
from convgraft.studies.search.store import Line, SearchStore


class StoppedTrialError(RunError):
    """Somebody stopped the search."""


@dataclass(frozen=True, eq=False)
class Ledger:
    """Prices candidates before they are trained, and writes what came of them.

    Attributes:
        problems: why candidates could not be trained.
    """

    given: Ingredients
    rules: Rules
    store: SearchStore
    report: Report
    clock: Clock
    pace: Pace
    predictions: Sequence[Prediction]
    problems: list[str] = field(default_factory=list, kw_only=True)

    def fits(self, candidate: Candidate) -> bool:
        """Whether there is time for a candidate; there always is for the first one."""
        return not self.store.lines or self.pace.estimate(candidate) <= self.clock.left

    def priced(self, candidate: Candidate) -> tuple[Arm, Price]:
        """Its arm and what that costs; raises UsageError or PlanError where it cannot be made."""
        given = replace(self.given, sources={n: self.given.sources[n] for n in candidate.networks})
        arm = build_arm(candidate.design, given, self.rules.options.seed)
        price = price_of(arm)
        if reason := self.rules.ceiling.refuses(price):
            raise UsageError(f"{candidate} costs {reason}")
        return arm, price

    def _line(
        self, candidate: Candidate, price: Price, facts: Mapping[str, Any], seconds: float
    ) -> Line:
        scores = {one.candidate.key: one.score for one in self.predictions}
        return {
            "number": len(self.store.lines),
            "name": str(candidate),
            "key": candidate.key,
            "way": candidate.way,
            "networks": list(candidate.networks),
            "choices": dict(candidate.choices),
            "kind": candidate.kind,
            "predicted": scores.get(candidate.key),
            "val": facts["val"],
            "macs": facts["macs"],
            "parameters": facts["parameters"],
            "trainable": facts["trainable"],
            "latency": price.latency,
            "best_epoch": facts["best_epoch"],
            "estimated": self.pace.estimate(candidate),
            "seconds": seconds,
        }

    def write(
        self,
        candidate: Candidate,
        price: Price,
        facts: Mapping[str, Any],
        seconds: float,
        keep: Callable[[Path], Any],
    ) -> Line:
        """Keep the network where it is the best so far, then write its line.

        Args:
            facts: as of `facts_of`.
            keep: writes the trained network to a folder.
        """
        line = self._line(candidate, price, facts, seconds)
        best = choose(self.store.lines)
        is_best = best is None or worth(line) > worth(best)
        if is_best:
            keep(self.store.kept(line["number"]))
        self.store.append(line)
        if is_best:
            self.store.keep_only(line["number"])
        self.pace.learn(Candidate.of(line), line["seconds"])
        self.store.spend(self.clock.spent)
        self.report("search", round(self.clock.spent), round(self.clock.budget))
        return line
