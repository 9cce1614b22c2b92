"""A whole evaluation on features that are made up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from convgraft.errors import UsageError
from convgraft.studies.fewshot import (
    JOIN,
    VOTE,
    EpisodeKernel,
    FrozenFeatures,
    Rules,
    Score,
    differences,
    draw_episodes,
    run,
    run_fewshot,
)
from convgraft.studies.fewshot.heads import prototype

LABELS = np.tile(np.arange(6), 20)
RULES = Rules(ways=4, shots=(1, 3), queries=5, episodes=30, seed=2)


def quiet(what: str, done: int, total: int) -> None:
    pass


def made(seed: int, *, signal: float = 1.0, knows: tuple[int, ...] = tuple(range(6))) -> Tensor:
    """Noise [120, 16], and a direction for each class that the network knows."""
    random = np.random.default_rng(seed)
    centres = np.zeros((6, 16))
    centres[list(knows)] = random.normal(size=(len(knows), 16))
    values = signal * centres[LABELS] + random.normal(size=(120, 16))
    return torch.from_numpy(values).float()


def evaluate(rules: Rules = RULES, **values: Tensor) -> dict[tuple[str, int, str], Score]:
    found = run_fewshot(FrozenFeatures(LABELS, values), rules, quiet)
    return {(one.head, one.shots, one.arm): one for one in found}


def test_every_arm_has_every_episode_under_every_head() -> None:
    found = evaluate(a=made(0), b=made(1))
    arms = ("a", "b", JOIN, VOTE)
    heads = ("prototype", "linear", "ridge")
    assert list(found) == [(h, k, arm) for h in heads for k in (1, 3) for arm in arms]
    assert {len(one.accuracies) for one in found.values()} == {30}


def test_prototype_accuracies_are_those_of_a_loop_over_queries() -> None:
    values = made(0)
    rules = Rules(4, (1, 3), 5, 30, 2, ("prototype",))
    found = evaluate(rules, a=values)["prototype", 3, "a"].accuracies
    episodes = draw_episodes(LABELS, ways=4, shots=3, queries=5, count=30, seed=2)
    unit = torch.stack([one / one.norm() for one in values.double()])
    for number in range(30):
        support = unit[torch.from_numpy(episodes.support[number])]
        mean = support.reshape(-1, 16).mean(0)
        prototypes = [
            torch.stack([(x - mean) / (x - mean).norm() for x in some]).mean(0) for some in support
        ]
        right = 0
        for label, rows in enumerate(episodes.queries[number]):
            for row in rows:
                x = unit[row] - mean
                x = x / x.norm()
                distances = [float((x - one).norm()) for one in prototypes]
                right += distances.index(min(distances)) == label
        assert found[number] == pytest.approx(right / 20)


def test_the_vote_is_the_mean_of_the_single_answers() -> None:
    a, b = made(0), made(1)
    rules = Rules(4, (1, 3), 5, 30, 2, ("prototype",))
    found = evaluate(rules, a=a, b=b)["prototype", 1, VOTE].accuracies
    episodes = draw_episodes(LABELS, ways=4, shots=3, queries=5, count=30, seed=2).with_shots(1)
    kernels = [EpisodeKernel.of(one, episodes) for one in (a, b)]
    mean = (prototype(kernels[0]) + prototype(kernels[1])) / 2
    right = (mean.argmax(2) == kernels[0].query_labels).double().mean(1)
    np.testing.assert_allclose(found, right)


def test_networks_that_know_different_classes_are_better_joined() -> None:
    a, b = made(0, signal=3, knows=(0, 1, 2)), made(1, signal=3, knows=(3, 4, 5))
    found = evaluate(Rules(4, (1, 3), 5, 30, 2, ("prototype", "ridge")), a=a, b=b)
    told = differences(list(found.values()))
    joins = [one.share for one in told if one.arm == JOIN and one.against in ("a", "b")]
    assert len(joins) == 4
    assert all(share.low is not None and share.low > 0.02 for share in joins)


@pytest.mark.parametrize("head", RULES.heads)
def test_noise_is_chance_and_signal_is_recognised(head: str) -> None:
    rules = Rules(4, (1, 3), 5, 150, 0, (head,))
    if head == "linear":
        rules = Rules(4, (1,), 5, 60, 0, (head,))
    noise = evaluate(rules, a=made(0, signal=0))[head, 1, "a"].accuracy
    assert noise.low is not None and noise.high is not None
    assert noise.low - 0.02 < 0.25 < noise.high + 0.02
    assert evaluate(rules, a=made(0, signal=20))[head, 1, "a"].accuracy.value > 0.99


def test_how_many_episodes_are_computed_at_once_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = Rules(4, (1, 3), 5, 30, 2, ("prototype", "ridge"))
    whole = evaluate(rules, a=made(0), b=made(1))
    monkeypatch.setattr(run, "IMAGES_AT_ONCE", 70)
    parts = evaluate(rules, a=made(0), b=made(1))
    for key, one in whole.items():
        np.testing.assert_allclose(one.accuracies, parts[key].accuracies)


def test_progress_ends_with_all_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int, int]] = []
    monkeypatch.setattr(run, "IMAGES_AT_ONCE", 320)
    rules = Rules(4, (1, 3), 5, 25, 2, ("prototype",))
    run_fewshot(FrozenFeatures(LABELS, {"a": made(0)}), rules, lambda *one: told.append(one))
    assert told == [("episodes", 10, 25), ("episodes", 20, 25), ("episodes", 25, 25)]


@pytest.mark.parametrize(
    ("name", "wrong"), [("ways", 1), ("queries", 0), ("episodes", 1), ("seed", -1)]
)
def test_numbers_that_make_no_episode_are_refused(name: str, wrong: int) -> None:
    with pytest.raises(UsageError, match=f"--{name} is {wrong}"):
        replace(RULES, **{name: wrong})


def test_no_shots_and_no_heads_are_refused() -> None:
    for shots, heads in (((), ("ridge",)), ((0, 1), ("ridge",)), ((1,), ()), ((1,), ("x",))):
        with pytest.raises(UsageError):
            Rules(shots=shots, heads=heads)
