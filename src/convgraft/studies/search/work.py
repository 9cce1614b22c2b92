"""The loop of a search: ask for a candidate, look at its cost, train it, write its line.

Closed candidates come first, then frozen ones whose heads are trained, because both are cheap; with
the rest of the time networks learn. Everything is judged on the validation part.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from convgraft.errors import ConvgraftError, UsageError
from convgraft.studies.arms import Arm
from convgraft.studies.search.batches import Batches
from convgraft.studies.search.first import first_closed, first_frozen, first_learning
from convgraft.studies.search.ledger import Ledger, StoppedTrialError
from convgraft.studies.search.solved import Solver
from convgraft.studies.search.space import Candidate
from convgraft.studies.search.store import Line
from convgraft.studies.search.trial_task import Keep, facts_of
from convgraft.studies.search.trials import Proposals
from convgraft.studies.trained import Trained, train_arm
from convgraft.training import Task

CLOSED_SHARE = 0.25  # of the time: closed candidates take no more of it
FROZEN_SHARE = 0.4  # of the time that is over when networks begin to learn
FROZEN_TRIALS = 20  # trained frozen candidates after which they do so even if there is time
SKIPS = 25  # proposals in a row that come to nothing, after which a stage is over


@dataclass(frozen=True, eq=False)
class Work(Ledger):
    """What a running search knows, and its loop.

    Attributes:
        batches: trains candidates side by side; None: this process trains one after another.
    """

    task: Task
    keep: Keep
    solver: Solver
    proposals: Mapping[str, Proposals]
    batches: Batches | None = None

    def run(self) -> None:
        """Solve and train until time or candidates are used up; one trial at the least."""
        self._solve_first()
        exhausted = {kind for kind, one in self.proposals.items() if not one.ways}
        while not self._is_over() and len(exhausted) < len(self.proposals):
            kind = self._next_kind(exhausted)
            self._put_forward(kind)
            step = self._step if self.batches is None else self._step_together
            if not step(self.proposals[kind]):
                exhausted.add(kind)
        if not self.store.lines:
            raise UsageError(
                "no candidate could be trained",
                found="; ".join(dict.fromkeys(self.problems)) or None,
                hint="a higher --max-macs or --max-latency, or other networks",
            )

    def _is_over(self) -> bool:
        count = len(self.store.lines)
        enough = self.rules.trials is not None and count >= self.rules.trials
        return bool(count) and (enough or self.clock.left <= 0)

    def _solve_first(self) -> None:
        """Make networks of the best predictions, for a share of the time."""
        for candidate in first_closed(self.predictions):
            is_late = self.clock.spent > CLOSED_SHARE * self.clock.budget
            if self._is_over() or (is_late and self.store.lines):
                return
            if self.store.find(candidate.key) is None:
                self._try(candidate)

    def _next_kind(self, exhausted: set[str]) -> str:
        """Frozen networks first, for a share of the time; then networks learn."""
        if exhausted:
            return next(kind for kind in self.proposals if kind not in exhausted)
        kinds = [line["kind"] for line in self.store.lines]
        is_late = self.clock.spent > FROZEN_SHARE * self.clock.budget
        is_later = is_late or kinds.count("frozen") >= FROZEN_TRIALS or "learning" in kinds
        return "learning" if is_later else "frozen"

    def _put_forward(self, kind: str) -> None:
        proposals = self.proposals[kind]
        if not proposals.is_new:
            return
        if kind == "learning":
            proposals.enqueue(first_learning(self.predictions, self.pace, self.clock.left))
        else:
            proposals.enqueue(first_frozen(self.predictions))

    def _step(self, proposals: Proposals) -> bool:
        """Train the next candidate that can be; False where none came in many proposals."""
        for _ in range(SKIPS):
            asked = proposals.ask()
            known = self.store.find(asked.candidate.key)
            if known is not None:
                proposals.tell(asked, known["val"])
            elif not self.fits(asked.candidate):
                proposals.drop(asked)
            else:
                line = self._try(asked.candidate)
                proposals.tell(asked, line["val"] if line else None)
                if line:
                    return True
        return False

    def _step_together(self, proposals: Proposals) -> bool:
        """The same with as many candidates as there are workers for, and none told before all."""
        assert self.batches is not None
        most = self.batches.count
        if self.rules.trials is not None:
            most = min(most, max(1, self.rules.trials - len(self.store.lines)))
        return self.batches.step(self, proposals, most, SKIPS)

    def _try(self, candidate: Candidate) -> Line | None:
        """The line of a trained candidate; None where it cannot be trained or costs too much."""
        began = time.monotonic()
        try:
            arm, price = self.priced(candidate)
            is_closed = candidate.kind == "closed"
            trained = self.solver.train(arm) if is_closed else self._train(arm, candidate)
        except StoppedTrialError:
            raise
        except ConvgraftError as error:
            self.problems.append(error.what)
            return None
        seconds = time.monotonic() - began
        return self.write(
            candidate, price, facts_of(trained), seconds, lambda path: self.keep(path, trained)
        )

    def _train(self, arm: Arm, candidate: Candidate) -> Trained:
        trained = train_arm(
            arm,
            self.task,
            candidate.options(self.rules.options),
            on_progress=lambda done, total: self.report("train", done, total),
        )
        if not trained.notes["finished"]:
            raise StoppedTrialError(
                f"stopped while training {candidate}",
                found=f'{len(self.store.lines)} trials are in "{self.store.folder}"',
                hint="the same command goes on with the next trial",
            )
        return trained
