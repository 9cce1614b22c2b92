"""Votes against votes counted by hand, image by image."""

import math
from collections import Counter

import pytest
import torch
from torch import Tensor

from convgraft.layers import HEADS
from convgraft.layers.fitted_votes import CascadeHead, GreedyHead, StackHead, WeightedHead
from convgraft.layers.votes import VOTE_KINDS, HardHead, LogitsHead, PluralityHead


def members(count: int = 5, images: int = 60, classes: int = 4, scale: float = 2.0) -> list[Tensor]:
    return [scale * torch.randn(images, classes) for _ in range(count)]


def build(kind: str, given: list[Tensor]) -> torch.nn.Module:
    shapes = [(x.shape[1],) for x in given]
    return HEADS[kind].build(shapes, 0, (), 0.0, "concat")


def naive_average(rows: list[Tensor]) -> list[float]:
    classes = len(rows[0])
    return [sum(row.softmax(0)[c].item() for row in rows) / len(rows) for c in range(classes)]


def naive_winner(rows: list[Tensor], *, majority: bool) -> int:
    average = naive_average(rows)
    votes = Counter(int(row.argmax()) for row in rows)
    most = max(votes.values())
    if majority and 2 * most <= len(rows):
        return average.index(max(average))
    leaders = [c for c in votes if votes[c] == most]
    return max(leaders, key=lambda c: average[c])


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8])
@pytest.mark.parametrize(("head", "majority"), [(PluralityHead(), False), (HardHead(), True)])
def test_the_winner_is_the_one_counted_by_hand(head: torch.nn.Module, majority: bool, count: int):
    given = members(count, scale=8.0)
    found = head(*given).argmax(1).tolist()
    rows = [[x[n] for x in given] for n in range(len(given[0]))]
    assert found == [naive_winner(row, majority=majority) for row in rows]
    assert len({naive_winner(row, majority=majority) for row in rows}) > 1


def test_hard_and_plurality_differ_where_no_class_has_over_half_the_votes():
    sure, unsure = torch.tensor([[0.0, 0.0, 9.0]]), torch.tensor([[0.5, 0.4, 0.3]])
    other = torch.tensor([[0.4, 0.6, 0.3]])
    given = [sure, unsure, unsure, other, other.flip(1)]
    assert [int(x.argmax()) for x in given] == [2, 0, 0, 1, 1]
    split = [*given, unsure]  # three of six for class 0: not over half
    assert PluralityHead()(*split).argmax().item() == 0
    assert HardHead()(*split).argmax().item() == 2


def test_plurality_counts_the_average_as_one_vote_more():
    given = members(3)
    shares = PluralityHead()(*given).exp()
    for n in range(len(given[0])):
        rows = [x[n] for x in given]
        votes = Counter(int(row.argmax()) for row in rows)
        expected = [(votes[c] + p) / 4 for c, p in enumerate(naive_average(rows))]
        assert shares[n].tolist() == pytest.approx(expected, rel=1e-5)


def test_logits_are_averaged():
    given = members(3)
    mean = (given[0] + given[1] + given[2]) / 3
    torch.testing.assert_close(LogitsHead()(*given), mean.log_softmax(1))


def test_weights_weigh_probabilities():
    given, head = members(3), WeightedHead(3, 4)
    head.weights.copy_(torch.tensor([0.7, 0.0, 0.3]))
    expected = 0.7 * given[0].softmax(1) + 0.3 * given[2].softmax(1)
    torch.testing.assert_close(head(*given).exp(), expected)


def test_a_bag_weighs_by_how_often_a_member_is_in_it():
    given, head = members(3), GreedyHead(3, 4)
    head.counts.copy_(torch.tensor([3.0, 0.0, 1.0]))
    expected = (3 * given[0].softmax(1) + given[2].softmax(1)) / 4
    torch.testing.assert_close(head(*given).exp(), expected)


def test_a_stack_is_a_linear_map_of_log_probabilities():
    given, head = members(2, images=5, classes=3), StackHead(2, 3)
    head.weight.normal_()
    head.bias.normal_()
    found = head(*given)
    for n in range(5):
        features = [math.log(p) for x in given for p in x[n].softmax(0).tolist()]
        rows = zip(head.weight.tolist(), head.bias.tolist(), strict=True)
        scores = [sum(w * f for w, f in zip(row, features, strict=True)) + b for row, b in rows]
        expected = torch.tensor(scores).log_softmax(0)
        torch.testing.assert_close(found[n], expected, rtol=1e-4, atol=1e-4)


def test_a_cascade_asks_one_after_another():
    given, head = members(3), CascadeHead(3, 4)
    head.thresholds.copy_(torch.tensor([0.8, 0.6]))
    stopped = []
    for n, row in enumerate(head(*given)):
        place = next((i for i, t in ((0, 0.8), (1, 0.6)) if given[i][n].softmax(0).max() >= t), 2)
        torch.testing.assert_close(row, given[place][n].log_softmax(0))
        stopped.append(place)
    assert set(stopped) == {0, 1, 2}


def test_before_they_are_fitted():
    given = members(3)
    average = build("average", given)(*given)
    torch.testing.assert_close(build("weighted", given)(*given), average)
    torch.testing.assert_close(build("greedy", given)(*given), average)
    torch.testing.assert_close(build("stack", given)(*given), build("logits", given)(*given))
    extreme = [torch.tensor([[200.0, -200.0]]), torch.tensor([[0.0, 1.0]])]
    assert build("cascade", extreme)(*extreme).argmax().item() == 1


@pytest.mark.parametrize("kind", VOTE_KINDS)
def test_log_probabilities_are_finite_and_sum_to_one(kind: str):
    given = [*members(2, scale=1e4), *members(2)]
    found = build(kind, given)(*given)
    assert found.isfinite().all()
    torch.testing.assert_close(found.exp().sum(1), torch.ones(len(found)))


@pytest.mark.parametrize("kind", VOTE_KINDS)
def test_votes_have_no_weights_that_gradients_train(kind: str):
    head = build(kind, members(2))
    assert not list(head.parameters())
    assert HEADS[kind].fitted == bool(list(head.buffers()))


@pytest.mark.parametrize("kind", VOTE_KINDS)
def test_votes_can_be_exported(kind: str):
    given = tuple(members(3))
    head = build(kind, list(given))
    exported = torch.export.export(head, given).module()
    torch.testing.assert_close(exported(*given), head(*given))
