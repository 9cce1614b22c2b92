"""What a search tries first, before Optuna has anything to go by."""

from __future__ import annotations

from collections.abc import Sequence

from convgraft.studies.search.pace import Pace
from convgraft.studies.search.predict import Prediction
from convgraft.studies.search.space import LEARNING, Candidate, Way

SOLVED = 24  # closed candidates that become networks
TRAINED = 4  # of them, those whose heads are trained too
SHARE = 0.6  # of the time left that one of the first learning trials may take


def first_closed(predictions: Sequence[Prediction]) -> list[Candidate]:
    """The best prediction, the best single network's, the predicted front, then the next best.

    Args:
        predictions: the best first.
    """
    singles = [one for one in predictions if len(one.candidate.networks) == 1]
    front: list[Prediction] = []
    for one in sorted(predictions, key=lambda one: (one.macs, -one.score)):
        if not front or one.score > front[-1].score:
            front.append(one)
    ordered = [*predictions[:1], *singles[:1], *reversed(front), *predictions]
    return list({one.candidate.key: one.candidate for one in ordered}.values())[:SOLVED]


def first_frozen(predictions: Sequence[Prediction]) -> list[Candidate]:
    """The best of them with heads that are trained by gradient."""
    closed = first_closed(predictions)[:TRAINED]
    return [Candidate(one.way.removeprefix("ridge-"), one.networks) for one in closed]


def first_learning(
    predictions: Sequence[Prediction], pace: Pace, seconds: float
) -> list[Candidate]:
    """Each learning way over the best networks, by prediction, that it has the time to train.

    Args:
        seconds: that are left.
    """
    found = (_in_time(way, predictions, pace, SHARE * seconds) for way in LEARNING)
    return [one for one in found if one is not None]


def _in_time(
    way: Way, predictions: Sequence[Prediction], pace: Pace, seconds: float
) -> Candidate | None:
    """The best networks that there is time for, with as many epochs as fit."""
    ordered = dict.fromkeys(one.candidate.networks for one in predictions)
    for networks in ordered:
        if not way.takes(len(networks)):
            continue
        for epochs in sorted(way.choices["epochs"], reverse=True):
            candidate = Candidate(way.name, networks, {"epochs": epochs})
            if pace.estimate(candidate) <= seconds:
                return candidate
    return None
