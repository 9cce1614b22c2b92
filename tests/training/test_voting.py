"""Fitted votes: what they promise on the images they are fitted on, against naive searches."""

from __future__ import annotations

import itertools

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from convgraft.compose import Composite, compose, cost, keep_answers
from convgraft.data import Pixels
from convgraft.errors import RunError, UsageError
from convgraft.layers.fitted_votes import NEVER, CascadeHead, StackHead, WeightedHead
from convgraft.training import answers, evaluate
from convgraft.training.mixtures import convex_weights, greedy_counts, mixed, safe_weights
from convgraft.training.stacking import STRENGTHS, fit_stack
from convgraft.training.thresholds import choose_thresholds
from convgraft.training.voting import HeldOut, fit_votes
from helpers import head, images, opened, plan_for


def problem(seed: int, members: int, count: int = 60, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Log-probabilities [members, N, classes] of members of different worth, and labels."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=draw)
    logits = 3 * torch.randn(members, count, classes, generator=draw)
    for place in range(members):
        logits[place, range(count), labels] += 3 * torch.rand(1, generator=draw).item()
    return logits.log_softmax(2), labels


def right(logs: Tensor, labels: Tensor) -> int:
    return sum(int(row.argmax()) == int(label) for row, label in zip(logs, labels, strict=True))


def test_a_weighted_vote_is_never_worse_than_its_best_member() -> None:
    moved = 0
    for seed in range(150):
        logs, labels = problem(seed, 2 + seed % 4)
        head = WeightedHead(len(logs), 4)
        head.weights.copy_(safe_weights(logs, labels))
        best = max(right(member, labels) for member in logs)
        assert right(head(*logs), labels) >= best, seed
        assert head.weights.sum().item() == pytest.approx(1)
        assert head.weights.min() >= 0
        moved += right(mixed(logs, convex_weights(logs, labels)), labels) < best
    assert moved > 0  # the convex weights alone do not keep that promise


def test_convex_weights_have_the_least_nll_of_a_fine_grid() -> None:
    for seed in range(10):
        logs, labels = problem(seed, 3)
        grid = [(i / 20, j / 20) for i in range(21) for j in range(21 - i)]

        def nll(weights: list[float], logs: Tensor = logs, labels: Tensor = labels) -> float:
            mix = sum(w * x.double().exp() for w, x in zip(weights, logs, strict=True))
            return -mix[range(len(labels)), labels].log().mean().item()

        found = nll(convex_weights(logs, labels).tolist())
        assert found <= min(nll([i, j, 1 - i - j]) for i, j in grid) + 1e-7


def test_greedy_selection_takes_the_best_step_each_time() -> None:
    for seed in range(10):
        logs, labels = problem(seed, 3)
        bags, bag = [], []
        for _ in range(8):

            def worth(bag: list[int], logs: Tensor = logs, labels: Tensor = labels):
                mean = sum(logs[m].double().exp() for m in bag) / len(bag)
                chances = mean[range(len(labels)), labels]
                return right(mean, labels), round(chances.log().mean().item(), 9)

            bag = max(([*bag, member] for member in range(3)), key=worth)
            bags.append((worth(bag), -len(bag), bag))
        best = max(bags)[2]
        assert greedy_counts(logs, labels, steps=8).tolist() == [best.count(m) for m in range(3)]


def test_a_stack_is_scikit_learns_regression() -> None:
    logs, labels = problem(1, 2, count=200)
    head = StackHead(2, 4)
    features = head.features(*logs)
    found = fit_stack(features, labels, head.weight, head.bias, 0)
    assert set(found.nll) == set(STRENGTHS)
    assert found.strength == min(found.nll, key=lambda c: found.nll[c])
    head.weight.copy_(found.weight)
    head.bias.copy_(found.bias)
    model = LogisticRegression(C=found.strength, max_iter=300, tol=1e-3)
    expected = model.fit(features.double().numpy(), labels.numpy()).predict_proba(features)
    torch.testing.assert_close(head(*logs).exp(), torch.from_numpy(expected).float())


@pytest.mark.parametrize("present", [(2,), (0, 3), (0, 1, 3)])
def test_a_stack_keeps_the_average_for_classes_without_an_image(present: tuple[int, ...]) -> None:
    logs, labels = problem(2, 2, count=200)
    kept = torch.tensor([int(label) in present for label in labels])
    head = StackHead(2, 4)
    features = head.features(*logs)[kept]
    found = fit_stack(features, labels[kept], head.weight, head.bias, 0)
    absent = [c for c in range(4) if c not in present]
    assert torch.equal(found.weight[absent], head.weight[absent])
    head.weight.copy_(found.weight)
    head.bias.copy_(found.bias)
    worth = right(head(*logs[:, kept]), labels[kept]) / int(kept.sum())
    assert worth >= max(right(x[kept], labels[kept]) for x in logs) / int(kept.sum()) - 0.05


def naive_cascade(
    thresholds: tuple[float, ...], logs: Tensor, labels: Tensor, costs: list[float]
) -> tuple[int, float]:
    good, spent = 0, 0.0
    for n, label in enumerate(labels):
        for place in range(len(logs)):
            spent += costs[place]
            probabilities = logs[place, n].exp()
            if place == len(logs) - 1 or probabilities.max() >= thresholds[place]:
                good += int(probabilities.argmax()) == int(label)
                break
    return good, spent / len(labels)


def test_thresholds_are_the_cheapest_of_all_that_answer_as_well() -> None:
    cheaper = 0
    for seed in range(20):
        logs, labels = problem(seed, 2)
        costs = [1.0, 3.0]
        found = choose_thresholds(logs, labels, costs)
        floor = right(logs[-1], labels)
        sure = logs[0].exp().max(1).values
        tried = [naive_cascade((t,), logs, labels, costs) for t in [*sure.tolist(), 0.0, NEVER]]
        assert found.cost == pytest.approx(min(spent for good, spent in tried if good >= floor))
        assert (found.right, found.cost) == pytest.approx(
            naive_cascade(found.thresholds, logs, labels, costs)
        )
        cheaper += found.cost < 4
    assert cheaper > 10


@pytest.mark.parametrize("members", [3, 4])
def test_long_cascades_are_as_good_as_the_last_and_no_dearer_than_all(members: int) -> None:
    costs = [1.0, 3.0, 9.0, 27.0][:members]
    for seed in range(10):
        logs, labels = problem(seed, members)
        found = choose_thresholds(logs, labels, costs)
        good, spent = naive_cascade(found.thresholds, logs, labels, costs)
        assert (found.right, found.cost) == pytest.approx((good, spent))
        assert good >= right(logs[-1], labels)
        assert spent <= sum(costs)
        assert sum(c * s for c, s in zip(costs, found.shares, strict=True)) == pytest.approx(spent)


def test_a_cost_is_kept_with_the_best_answers_that_it_buys() -> None:
    logs, labels = problem(3, 2)
    sure = logs[0].exp().max(1).values
    for limit in (1.0, 1.7, 2.5, 4.0):
        found = choose_thresholds(logs, labels, [1.0, 3.0], max_cost=limit)
        tried = [
            naive_cascade((t,), logs, labels, [1.0, 3.0]) for t in [*sure.tolist(), 0.0, NEVER]
        ]
        assert found.cost <= limit + 1e-6
        assert found.right == max(good for good, spent in tried if spent <= limit + 1e-9)
    with pytest.raises(UsageError, match="as cheap"):
        choose_thresholds(logs, labels, [1.0, 3.0], max_cost=0.5)


VOTES = ("weighted", "stack", "greedy", "cascade")


def voting_network() -> Composite:
    sources = {"a": opened("cifar_resnet20"), "b": opened("cifar_resnet32", seed=1)}
    members = [head("a", "identity", "a:fc"), head("b", "identity", "b:fc")]
    votes = [head(kind, kind, "heads:a", "heads:b") for kind in VOTES]
    last = [
        head("mean", "average", "heads:weighted", "heads:stack"),
        head("top", "weighted", "heads:mean", "b:fc"),
    ]
    return compose(plan_for(sources, heads=[*members, *votes, *last], size=16), sources).eval()


def labelled(count: int = 40) -> Pixels:
    labels = torch.arange(count) % 10
    labels[::7] = -1
    pixels = (255 * images(16, count)).to(torch.uint8)
    return Pixels(pixels, labels, tuple(range(count)), ())


def test_every_vote_of_a_network_is_fitted_in_the_plans_order() -> None:
    network, pixels = voting_network(), labelled()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    held_out = HeldOut(network, pixels)
    notes = held_out.fit()
    assert list(notes) == [*VOTES, "top"]
    assert {note["images"] for note in notes.values()} == {int((pixels.labels != -1).sum())}
    assert list(notes["top"]["weights"]) == ["mean", "b:fc"]
    now = answers(network, pixels.images)
    measured = evaluate(network, pixels)
    for name, expected in held_out.metrics().items():
        torch.testing.assert_close(held_out.answers[name], now[name], rtol=1e-4, atol=1e-4)
        assert measured[name].nll == pytest.approx(expected.nll, rel=1e-4), name
    assert notes["top"]["top1"] >= max(m["top1"] for m in notes["top"]["members"].values())
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert changed
    assert all(name.startswith("heads.") for name in changed)


def test_a_cascades_costs_are_those_of_its_members_alone() -> None:
    network = voting_network()
    said = fit_votes(network, labelled())["cascade"]
    alone = [cost(keep_answers(network, (name,))).macs for name in "ab"]
    assert list(said["macs_of_members"].values()) == alone
    module = network.get_submodule("heads.cascade")
    assert isinstance(module, CascadeHead)
    assert said["macs"] == pytest.approx(alone[0] + said["shares"]["b"] * alone[1], abs=1)


def test_without_a_label_nothing_is_fitted() -> None:
    pixels = labelled(8)
    pixels.labels.fill_(-1)
    with pytest.raises(RunError, match="label"):
        fit_votes(voting_network(), pixels)


def test_the_same_images_give_the_same_votes() -> None:
    first, second = voting_network(), voting_network()
    fit_votes(first, labelled())
    fit_votes(second, labelled())
    for (name, one), other in itertools.zip_longest(
        first.state_dict().items(), second.state_dict().values()
    ):
        assert torch.equal(one, other), name
