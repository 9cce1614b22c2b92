"""Which candidate to try next, by Optuna's tree-structured Parzen estimator.

One study each for frozen and for learning ways, both in one journal file, so that a search goes on
with what it knew. Only this file knows of Optuna.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convgraft.errors import UsageError
from convgraft.studies.search.networks import Networks
from convgraft.studies.search.space import Candidate, Way


@dataclass(frozen=True, eq=False)
class Asked:
    """A candidate, and Optuna's trial that it belongs to."""

    candidate: Candidate
    trial: Any


@dataclass(frozen=True, eq=False)
class Proposals:
    """Candidates of some ways, over the networks that they may take.

    Attributes:
        study: Optuna's.
        broken_off: its trials that somebody broke off, which come first.
    """

    ways: Sequence[Way]
    networks: Networks
    study: Any
    broken_off: list[Any] = field(default_factory=list)

    @classmethod
    def open(
        cls,
        path: Path,
        name: str,
        ways: Sequence[Way],
        networks: Networks,
        seed: int,
    ) -> Proposals:
        """The study of that name in a journal file, or a new one.

        A trial that somebody broke off is proposed again. Ways that there are no networks for
        are left out. Raises UsageError where Optuna is not installed.
        """
        optuna = import_optuna()
        backend = optuna.storages.journal.JournalFileBackend(str(path))
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            study = optuna.create_study(
                study_name=name,
                storage=optuna.storages.JournalStorage(backend),
                direction="maximize",
                load_if_exists=True,
            )
        finally:
            optuna.logging.set_verbosity(before)
        # a search that goes on must not draw again what it drew before
        study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
        running = study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
        broken_off = [optuna.trial.Trial(study, trial._trial_id) for trial in running]
        able = [way for way in ways if networks.of(way)]
        return cls(able, networks, study, broken_off)

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever asked or enqueued."""
        return not self.study.trials

    def enqueue(self, candidates: Iterable[Candidate]) -> None:
        """Propose these before any other, in this order."""
        for candidate in candidates:
            self.study.enqueue_trial(self._parameters(candidate))

    def ask(self) -> Asked:
        """The next candidate."""
        trial = self.broken_off.pop(0) if self.broken_off else self.study.ask()
        with warnings.catch_warnings():  # an enqueued value that is no choice any more is drawn
            warnings.simplefilter("ignore")
            name = trial.suggest_categorical("way", [way.name for way in self.ways])
            way = next(one for one in self.ways if one.name == name)
            texts = self._texts(way)
            networks = trial.suggest_categorical(_networks(way), texts)
            choices = {
                key: trial.suggest_categorical(f"{way.name}.{key}", values)
                for key, values in way.choices.items()
            }
        return Asked(Candidate(name, tuple(networks.split("+")), choices), trial)

    def tell(self, asked: Asked, value: float | None) -> None:
        """What a candidate scored; None: it cannot be trained, or costs too much."""
        if value is None:
            self.study.tell(asked.trial, state=import_optuna().trial.TrialState.PRUNED)
        else:
            self.study.tell(asked.trial, value)

    def drop(self, asked: Asked) -> None:
        """Forget a candidate that there is no time for; it says nothing of what is good."""
        self.study.tell(asked.trial, state=import_optuna().trial.TrialState.FAIL)

    def _texts(self, way: Way) -> list[str]:
        return ["+".join(one) for one in self.networks.of(way)]

    def _parameters(self, candidate: Candidate) -> dict[str, Any]:
        way = next(one for one in self.ways if one.name == candidate.way)
        own = {f"{way.name}.{key}": value for key, value in candidate.choices.items()}
        return {"way": way.name, _networks(way): "+".join(candidate.networks), **own}


def _networks(way: Way) -> str:
    """The parameter that says which networks: the same for ways that take the same."""
    if way.cuts:
        return f"networks.{way.name}"
    return f"networks.{way.least}-{way.most or 'all'}"


def import_optuna() -> Any:
    """The library; raises UsageError where it is not installed."""
    try:
        import optuna
        import optuna.storages.journal
    except ImportError as error:
        raise UsageError(
            "a search needs Optuna, which is not installed",
            hint="pip install convgraft[search]",
        ) from error
    return optuna
