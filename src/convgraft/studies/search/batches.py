"""Candidates side by side: so many are asked for, all are trained, then all are told.

What Optuna proposes next depends on what it was told, and not on which worker was quick: for a
number of workers a batch is the same however long each of its candidates takes.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from convgraft.errors import ConvgraftError
from convgraft.studies.search.ledger import Ledger, StoppedTrialError
from convgraft.studies.search.price import Price
from convgraft.studies.search.trial_task import Bench, TrialParcel, TrialTask, do_trial
from convgraft.studies.search.trials import Asked, Proposals
from convgraft.studies.workers import Workers

PATIENCE = 0.5  # seconds until the next look at what workers say


@dataclass(frozen=True, eq=False)
class _Chosen:
    """A candidate of a batch: what it costs, and the seconds that it took to find out."""

    asked: Asked
    price: Price
    seconds: float


@dataclass(frozen=True, eq=False)
class Batches:
    """Trains candidates by workers.

    Attributes:
        open_bench: opens in a worker what candidates are trained on; it is sent there.
    """

    workers: Workers
    open_bench: Callable[[], Bench]
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def count(self) -> int:
        """How many candidates are trained at a time."""
        return self.workers.count

    def step(self, work: Ledger, proposals: Proposals, most: int, skips: int) -> bool:
        """Train the next candidates that can be; False where none came in many proposals."""
        batch, twins = self._choose(work, proposals, most, skips)
        for number, parcel in enumerate(self._trained(work, batch)):
            chosen = batch[number]
            value = _written(work, chosen, parcel)
            for asked in (chosen.asked, *twins.get(chosen.asked.candidate.key, ())):
                proposals.tell(asked, value)
        return bool(batch)

    def _choose(
        self, work: Ledger, proposals: Proposals, most: int, skips: int
    ) -> tuple[list[_Chosen], dict[str, list[Asked]]]:
        """A batch, and what was proposed twice in it, by key; what is known already is told."""
        batch: list[_Chosen] = []
        twins: dict[str, list[Asked]] = {}
        for _ in range(skips * most):
            asked = proposals.ask()
            known = work.store.find(asked.candidate.key)
            if known is not None:
                proposals.tell(asked, known["val"])
            elif any(one.asked.candidate.key == asked.candidate.key for one in batch):
                twins.setdefault(asked.candidate.key, []).append(asked)
            elif not work.fits(asked.candidate):
                proposals.drop(asked)
            elif (chosen := _priced(work, asked)) is None:
                proposals.tell(asked, None)
            else:
                batch.append(chosen)
            if len(batch) == most:
                break
        return batch, twins

    def _trained(self, work: Ledger, batch: list[_Chosen]) -> Iterator[TrialParcel]:
        """What came of each, in order, as soon as those before it are there too."""
        for number, chosen in enumerate(batch):
            options = work.rules.options
            task = TrialTask(
                self.token, self.open_bench, chosen.asked.candidate, options, number + 1
            )
            self.workers.start((self.token, number), do_trial, task)
        there: dict[int, TrialParcel] = {}
        for number in range(len(batch)):
            while number not in there:
                there |= self._next(work)
            yield there.pop(number)

    def _next(self, work: Ledger) -> dict[int, TrialParcel]:
        try:
            ended = self.workers.finished(PATIENCE, work.report)
        except KeyboardInterrupt as error:
            raise StoppedTrialError(
                "stopped while candidates were trained",
                found=f'{len(work.store.lines)} trials are in "{work.store.folder}"',
                hint="the same command goes on with the same candidates",
            ) from error
        return {
            one.key[1]: one.result or TrialParcel(problem=one.lost)  # type: ignore[index]
            for one in ended
        }


def _priced(work: Ledger, asked: Asked) -> _Chosen | None:
    """What a candidate costs; None where it cannot be trained or costs too much.

    Workers have nothing to do meanwhile, so that its milliseconds are those of an idle machine.
    """
    began = time.monotonic()
    try:
        _, price = work.priced(asked.candidate)
    except ConvgraftError as error:
        work.problems.append(error.what)
        return None
    return _Chosen(asked, price, time.monotonic() - began)


def _written(work: Ledger, chosen: _Chosen, parcel: TrialParcel) -> float | None:
    """Write the line of a candidate, and what it scored; None where it could not be trained."""
    if parcel.problem or parcel.stopped:
        work.problems.append(parcel.problem or "somebody ended its worker")
        return None
    seconds = chosen.seconds + parcel.seconds
    candidate = chosen.asked.candidate
    line = work.write(candidate, chosen.price, parcel.facts, seconds, parcel.unpack)
    return line["val"]
