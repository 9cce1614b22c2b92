"""Confusion, calibration and mistakes against loops that can be checked by eye."""

from __future__ import annotations

import pytest

from convgraft.report.examined import BINS, examine, most_confused
from convgraft.report.page_data import Examined
from convgraft.studies import Predictions


def each(predictions: Predictions) -> list[tuple[str, int, int, float]]:
    """Name, label, answer and confidence of every image."""
    rows = zip(
        predictions.ids,
        predictions.labels.tolist(),
        predictions.probabilities.tolist(),
        strict=True,
    )
    return [(name, label, max(range(3), key=p.__getitem__), max(p)) for name, label, p in rows]


def test_confusion_counts_every_pair(predictions: Predictions, shown: Examined) -> None:
    counted = [[0] * 3 for _ in range(3)]
    for _, label, answer, _ in each(predictions):
        counted[label][answer] += 1
    assert [list(row) for row in shown.confusion] == counted
    assert sum(map(sum, counted)) == 60


def test_calibration_is_that_of_a_loop_over_bins(predictions: Predictions, shown: Examined) -> None:
    error = 0.0
    for number in range(BINS):
        low, high = number / BINS, (number + 1) / BINS
        own = [one for one in each(predictions) if low < one[3] <= high]
        if own:
            right = sum(label == answer for _, label, answer, _ in own) / len(own)
            error += abs(right - sum(one[3] for one in own) / len(own)) * len(own) / 60
    assert shown.ece == pytest.approx(error)
    assert shown.ece == pytest.approx(predictions.metrics().ece, abs=1e-6)
    assert sum(one.count for one in shown.bins) == 60


def test_the_worst_mistakes_are_the_surest(predictions: Predictions, shown: Examined) -> None:
    wrong = [one for one in each(predictions) if one[1] != one[2]]
    expected = sorted(wrong, key=lambda one: -one[3])[:12]
    assert [one.id for one in shown.mistakes] == [one[0] for one in expected]
    assert [one.probability for one in shown.mistakes] == [one[3] for one in expected]


def test_seeds_are_taken_together_and_an_image_is_shown_once(predictions: Predictions) -> None:
    once, twice = examine([predictions], "one"), examine([predictions, predictions], "two")
    assert sum(map(sum, twice.confusion)) == 120
    assert twice.ece == pytest.approx(once.ece)
    assert [one.id for one in twice.mistakes] == [one.id for one in once.mistakes]


def test_the_most_frequent_confusions_come_first(shown: Examined) -> None:
    found = most_confused(shown)
    assert [one[2] for one in found] == sorted((one[2] for one in found), reverse=True)
    assert all(true != answer for true, answer, _, _ in found)
    assert sum(one[2] for one in found) == 60 - sum(shown.confusion[i][i] for i in range(3))
