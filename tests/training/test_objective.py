"""Every term of a loss against a loop over the samples."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from convgraft.plan import Head, Plan, SourceRef, TapRef
from convgraft.training import Loss, Objective, Term, task_loss

N, CLASSES = 6, 4
FEATURES = (TapRef("a", "flatten"),)
PLAN = Plan(
    8,
    (SourceRef("a", "cifar_resnet20"),),
    heads=(
        Head("kind", "linear", FEATURES, 3, column="kind"),
        Head("one", "linear", FEATURES, CLASSES),
        Head("two", "linear", FEATURES, CLASSES),
        Head("label", "average", (TapRef("heads", "one"), TapRef("heads", "two"))),
    ),
)


def outputs() -> dict[str, Tensor]:
    made = {name: torch.randn(N, CLASSES, requires_grad=True) for name in ("one", "two", "three")}
    return {**made, "kind": torch.randn(N, 3, requires_grad=True)}


def value(term: Term, found: dict[str, Tensor], labels: dict[str, Tensor], **more: float) -> Tensor:
    (loss,) = Objective((term,)).losses(PLAN, found, labels, **more)
    return loss


def probabilities(row: Tensor, temperature: float = 1.0) -> list[float]:
    powers = [math.exp(x / temperature) for x in row.tolist()]
    return [power / sum(powers) for power in powers]


def divergence(target: list[float], found: list[float]) -> float:
    return sum(q * math.log(q / p) for q, p in zip(target, found, strict=True))


@pytest.mark.parametrize("labels", [[0, 1, 2, 3, 0, 1], [0, -1, 2, -1, -1, 1], [-1] * N])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_task_is_the_mean_over_images_with_a_label(labels: list[int], smoothing: float) -> None:
    found = outputs()
    losses = []
    for row, label in zip(found["one"], labels, strict=True):
        if label >= 0:
            logs = [math.log(p) for p in probabilities(row)]
            losses.append(-(1 - smoothing) * logs[label] - smoothing * sum(logs) / CLASSES)
    naive = sum(losses) / len(losses) if losses else 0.0
    given = {"": torch.tensor(labels)}
    assert value(Term("task", ("one",)), found, given, smoothing=smoothing).item() == pytest.approx(
        naive, abs=1e-6
    )


def test_task_reads_the_label_column_of_its_answer() -> None:
    found = outputs()
    labels = {"": torch.zeros(N, dtype=torch.int64), "kind": torch.tensor([2, -1, 1, 1, 0, -1])}
    loss = value(Term("task", ("kind",), weight=0.5), found, labels)
    rows = [0, 2, 3, 4]
    naive = [-math.log(probabilities(found["kind"][row])[labels["kind"][row]]) for row in rows]
    assert loss.item() == pytest.approx(0.5 * sum(naive) / 4, abs=1e-6)


def test_images_without_a_label_give_no_gradient() -> None:
    found = outputs()
    value(Term("task", ("one",)), found, {"": torch.tensor([1, -1, 2, -1, 0, 3])}).backward()
    grad = found["one"].grad
    assert grad is not None
    assert [bool(row.any()) for row in grad] == [True, False, True, False, True, True]


def test_match_is_the_mean_square_over_all_numbers() -> None:
    found = {name: torch.randn(2, 3, 2, 2, requires_grad=True) for name in ("r", "h")}
    loss = value(Term("match", ("r",), "h", weight=2.0), found, {})
    pairs = zip(found["r"].flatten().tolist(), found["h"].flatten().tolist(), strict=True)
    assert loss.item() == pytest.approx(2 * sum((r - h) ** 2 for r, h in pairs) / 24, rel=1e-5)
    loss.backward()
    assert found["h"].grad is None
    assert found["r"].grad is not None


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_distil_is_the_divergence_from_the_teacher(temperature: float) -> None:
    found = outputs()
    loss = value(Term("distil", ("one",), "two", temperature=temperature), found, {})
    naive = [
        divergence(probabilities(teacher, temperature), probabilities(row, temperature))
        for row, teacher in zip(found["one"], found["two"], strict=True)
    ]
    assert loss.item() == pytest.approx(temperature**2 * sum(naive) / N, rel=1e-4)
    loss.backward()
    assert found["two"].grad is None


def test_distil_from_itself_is_nothing() -> None:
    found = outputs()
    term = Term("distil", ("one",), "one", temperature=2.0)
    assert value(term, found, {}).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_mutual_is_every_heads_divergence_from_their_mean(temperature: float) -> None:
    found = outputs()
    names = ("one", "two", "three")
    term = Term("mutual", names, weight=0.25, temperature=temperature)
    naive = 0.0
    for n in range(N):
        answers = [probabilities(found[name][n], temperature) for name in names]
        mean = [sum(p) / 3 for p in zip(*answers, strict=True)]
        naive += sum(divergence(mean, answer) for answer in answers)
    loss = value(term, found, {})
    assert loss.item() == pytest.approx(0.25 * temperature**2 * naive / N, rel=1e-4)


def test_mutual_moves_each_head_as_if_the_mean_stood_still() -> None:
    found = outputs()
    value(Term("mutual", ("one", "two")), found, {}).backward()
    mean = ((found["one"].softmax(1) + found["two"].softmax(1)) / 2).detach()
    # d KL(q || softmax(x)) / dx = softmax(x) - q
    grad = found["one"].grad
    assert grad is not None
    torch.testing.assert_close(grad, (found["one"].softmax(1) - mean).detach() / N)


def test_terms_are_weighed_one_by_one() -> None:
    found, labels = outputs(), {"": torch.zeros(N, dtype=torch.int64)}
    terms = (Term("task", ("one",), weight=3.0), Term("match", ("one",), "two"))
    losses = Objective(terms).losses(PLAN, found, labels)
    single = value(Term("task", ("one",)), found, labels)
    torch.testing.assert_close(losses[0], 3 * single)
    assert len(losses) == 2


def test_losses_are_printed_as_sums_of_stages() -> None:
    match = Objective((Term("match", ("match0",), "match0_goal", weight=0.5),))
    task = Objective((Term("task", ("label",)), Term("mutual", ("a", "b"))))
    assert str(Loss("two-stage", (match, task))) == (
        "0.5 x match(match0, match0_goal); then 1 x task(label) + 1 x mutual(a, b)"
    )


def test_votes_are_not_trained_on_labels() -> None:
    assert str(task_loss(PLAN)) == "1 x task(kind) + 1 x task(one) + 1 x task(two)"


def test_an_answer_waits_for_the_stage_that_teaches_its_head() -> None:
    match = Objective((Term("match", ("match0",), "match0_goal"),))
    assert not match.teaches(PLAN, ["one"])
    assert Objective((Term("task", ("one",)),)).teaches(PLAN, ["one"])
    assert match.teaches(PLAN, ["label"])  # a vote has no weights of its own
