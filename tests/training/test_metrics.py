"""Metrics against loops that a reader can check by eye."""

from __future__ import annotations

import math

import pytest
import torch

from convgraft.training import measure


def test_metrics_against_naive_formulas() -> None:
    torch.manual_seed(0)
    logits = torch.randn(200, 4) * 2
    labels = torch.randint(0, 3, (200,))  # class 3 never occurs
    found = measure(logits, labels)
    probabilities = [[math.exp(v) for v in row] for row in logits.tolist()]
    probabilities = [[v / sum(row) for v in row] for row in probabilities]
    right = [
        row.index(max(row)) == y for row, y in zip(probabilities, labels.tolist(), strict=True)
    ]
    assert found.images == 200
    assert found.top1 == pytest.approx(sum(right) / 200)
    nll = -sum(math.log(p[y]) for p, y in zip(probabilities, labels.tolist(), strict=True)) / 200
    assert found.nll == pytest.approx(nll)
    shares = []
    for c in range(3):
        own = [ok for ok, y in zip(right, labels.tolist(), strict=True) if y == c]
        shares.append(sum(own) / len(own))
    assert found.balanced == pytest.approx(sum(shares) / 3)
    bins: dict[int, list[tuple[float, bool]]] = {}
    for row, ok in zip(probabilities, right, strict=True):
        bins.setdefault(min(int(max(row) * 15), 14), []).append((max(row), ok))
    ece = sum(
        abs(sum(c for c, _ in items) - sum(ok for _, ok in items)) / 200 for items in bins.values()
    )
    assert found.ece == pytest.approx(ece, abs=1e-6)
