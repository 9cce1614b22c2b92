"""From a network's answers on the test part: confusion, calibration, the worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from convgraft.report.page_data import Bin, Examined, Mistake
from convgraft.studies import Predictions

BINS = 15  # as of the ECE that is measured
WORST = 12


def examine(answers: Sequence[Predictions], told: str) -> Examined:
    """What one arm's answers show, those of several seeds taken together.

    Args:
        answers: one at least; those with other classes than the first are left out.
        told: whose they are, in words.
    """
    classes = answers[0].classes
    same = [one for one in answers if one.classes == classes]
    chances = np.concatenate([one.probabilities.double().numpy() for one in same])
    labels = np.concatenate([one.labels.numpy() for one in same])
    bins = calibration_bins(chances, labels)
    counted = confusion(chances.argmax(1), labels, len(classes))
    return Examined(
        told,
        classes,
        tuple(tuple(row) for row in counted.tolist()),
        bins,
        sum(one.count * abs(one.right - one.confidence) for one in bins) / len(labels),
        worst(chances, labels, [name for one in same for name in one.ids], classes),
    )


def confusion(
    answers: NDArray[np.int64], labels: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Numbers of images [true class, answer]."""
    counted = np.bincount(labels * classes + answers, minlength=classes * classes)
    return counted.reshape(classes, classes)


def calibration_bins(chances: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[Bin, ...]:
    """Answers by confidence in `BINS` bins of equal width, as (low, high]; only those with any."""
    confidence = np.minimum(chances.max(1), 1.0)
    right = chances.argmax(1) == labels
    number = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    return tuple(
        Bin(int(own.sum()), float(confidence[own].mean()), float(right[own].mean()))
        for own in (number == one for one in range(BINS))
        if own.any()
    )


def worst(
    chances: NDArray[np.float64],
    labels: NDArray[np.int64],
    ids: Sequence[str],
    classes: Sequence[str],
) -> tuple[Mistake, ...]:
    """The wrong answers given with most confidence; an image that several seeds got wrong once."""
    answers, confidence = chances.argmax(1), chances.max(1)
    found: dict[str, Mistake] = {}
    for row in map(int, np.argsort(-confidence, kind="stable")):
        if len(found) == WORST:
            break
        if answers[row] != labels[row] and ids[row] not in found:
            true, answer = classes[int(labels[row])], classes[int(answers[row])]
            found[ids[row]] = Mistake(ids[row], true, answer, float(confidence[row]))
    return tuple(found.values())


def most_confused(shown: Examined, count: int = 10) -> list[tuple[str, str, int, float]]:
    """True class, answer, images, and their share of the true class; the most frequent first."""
    found = [
        (shown.classes[true], shown.classes[answer], number, number / sum(row))
        for true, row in enumerate(shown.confusion)
        for answer, number in enumerate(row)
        if true != answer and number
    ]
    return sorted(found, key=lambda one: (-one[2], one[:2]))[:count]
