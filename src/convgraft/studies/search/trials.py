"""Which candidate to try next, by Optuna's tree-structured Parzen estimator.

One study each for frozen and for learning ways, both in one journal file, so that a search goes on
with what it knew. What is drawn depends on the seed, the trial and what was told before, and on no
process's random numbers: a search that was killed draws what it would have drawn. Only this file
knows of Optuna.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convgraft.errors import ArtifactError, UsageError
from convgraft.studies.search.networks import Networks
from convgraft.studies.search.space import Candidate, Way

ENQUEUED = "enqueued"


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
        seed: of what is drawn.
        broken_off: its trials that somebody broke off, which come first.
        together: whether several are asked for before one is told; those that are being trained
            are then taken for bad ones, so that not all are alike.
    """

    ways: Sequence[Way]
    networks: Networks
    study: Any
    seed: int = 0
    broken_off: list[Any] = field(default_factory=list)
    together: bool = False

    @classmethod
    def open(
        cls,
        path: Path,
        name: str,
        ways: Sequence[Way],
        networks: Networks,
        seed: int,
        together: bool = False,
    ) -> Proposals:
        """The study of that name in a journal file, or a new one.

        A trial that somebody broke off is proposed again. Ways that there are no networks for
        are left out. The folder is this process's alone. Raises UsageError where Optuna is not
        installed, ArtifactError where the journal cannot be read.
        """
        optuna = import_optuna()
        _mend(path)
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
        # what is wrong in a journal shows in whatever is done with its words
        except Exception as error:
            raise ArtifactError(
                f'"{path}" cannot be read',
                found=f"{type(error).__name__}: {error}",
                hint="remove it: proposals then begin anew, and what is trained stays",
            ) from error
        finally:
            optuna.logging.set_verbosity(before)
        running = study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
        broken_off = [optuna.trial.Trial(study, trial._trial_id) for trial in running]
        able = [way for way in ways if networks.of(way)]
        return cls(able, networks, study, seed, broken_off, together)

    @property
    def is_new(self) -> bool:
        """Whether not all is enqueued that comes first."""
        return not self.study.user_attrs.get(ENQUEUED)

    def enqueue(self, candidates: Iterable[Candidate]) -> None:
        """Propose these before any other, in this order."""
        for candidate in candidates:
            self.study.enqueue_trial(self._parameters(candidate), skip_if_exists=True)
        self.study.set_user_attr(ENQUEUED, True)

    def ask(self) -> Asked:
        """The next candidate."""
        trial = self.broken_off.pop(0) if self.broken_off else self.study.ask()
        with warnings.catch_warnings():  # an enqueued value that is no choice any more is drawn
            warnings.simplefilter("ignore")
            name = self._draw(trial, "way", [way.name for way in self.ways])
            way = next(one for one in self.ways if one.name == name)
            texts = self._texts(way)
            networks = self._draw(trial, _networks(way), texts)
            choices = {
                key: self._draw(trial, f"{way.name}.{key}", values)
                for key, values in way.choices.items()
            }
        return Asked(Candidate(name, tuple(networks.split("+")), choices), trial)

    def _draw(self, trial: Any, name: str, values: Sequence[Any]) -> Any:
        told = f"{self.seed} {trial.number} {name}".encode()
        seed = int.from_bytes(hashlib.sha256(told).digest()[:4], "big")
        apart = {"constant_liar": True} if self.together else {}
        self.study.sampler = import_optuna().samplers.TPESampler(seed=seed, **apart)
        return trial.suggest_categorical(name, values)

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


def _mend(path: Path) -> None:
    """Take away what a process that was killed leaves: half a line, and Optuna's lock.

    Optuna would wait half a minute for the lock, and not read past the line.
    """
    for left in path.parent.glob(f"{path.name}.lock*"):  # also one that was just being renamed
        left.unlink(missing_ok=True)
    if path.is_file() and not (data := path.read_bytes()).endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)


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
