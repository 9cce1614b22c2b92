"""Heads on inner products, against loops over images and scikit-learn on whole features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from convgraft.studies.fewshot import HEADS, EpisodeKernel, draw_episodes
from convgraft.studies.fewshot.heads import coordinates

WAYS, SHOTS, QUERIES = 3, 4, 5
LABELS = np.repeat(np.arange(5), 12)
RANDOM = np.random.default_rng(1)
PARTS = [
    (RANDOM.normal(size=(60, 9)) + RANDOM.normal(size=(5, 9))[LABELS]).astype(np.float32),
    10 * (RANDOM.normal(size=(60, 40)) + RANDOM.normal(size=(5, 40))[LABELS]).astype(np.float32),
]
EPISODES = draw_episodes(LABELS, ways=WAYS, shots=SHOTS, queries=QUERIES, count=8, seed=0)
KERNELS = [EpisodeKernel.of(torch.from_numpy(part), EPISODES) for part in PARTS]
JOINED = EpisodeKernel.joined(KERNELS)


def normalised(part: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Support and queries of an episode, image by image: scaled, centred and scaled again."""
    unit = [row.astype(float) / np.linalg.norm(row) for row in part]
    support = [unit[row] for row in EPISODES.support[number].ravel()]
    queries = [unit[row] for row in EPISODES.queries[number].ravel()]
    mean = sum(support) / len(support)
    learned, asked = (
        np.array([(x - mean) / np.linalg.norm(x - mean) for x in some])
        for some in (support, queries)
    )
    return learned, asked


def joined(number: int) -> tuple[np.ndarray, np.ndarray]:
    sides = zip(*(normalised(part, number) for part in PARTS), strict=True)
    learned, asked = (np.concatenate(side, axis=1) / 2**0.5 for side in sides)
    return learned, asked


def cases():
    for number in range(len(EPISODES)):
        for place, part in enumerate(PARTS):
            yield KERNELS[place], number, *normalised(part, number)
        yield JOINED, number, *joined(number)


TARGETS = np.repeat(np.arange(WAYS), SHOTS)


def test_prototypes_are_the_nearest_class_means() -> None:
    for kernel, number, learned, asked in cases():
        answers = HEADS["prototype"](kernel)[number]
        for query, x in enumerate(asked):
            distances = []
            for label in range(WAYS):
                mean = learned[label * SHOTS : (label + 1) * SHOTS].mean(0)
                distances.append(((x - mean) ** 2).sum())
            weights = np.exp(-np.array(distances))
            np.testing.assert_allclose(answers[query], weights / weights.sum(), atol=1e-5)
            assert int(answers[query].argmax()) == int(np.argmin(distances))


def test_ridge_is_scikit_learns() -> None:
    for kernel, number, learned, asked in cases():
        naive = Ridge(alpha=1.0, fit_intercept=False).fit(learned, np.eye(WAYS)[TARGETS])
        found = HEADS["ridge"](kernel)[number]
        np.testing.assert_allclose(found, naive.predict(asked), atol=1e-5)


def test_linear_is_logistic_regression_on_the_whole_features() -> None:
    found = {id(kernel): HEADS["linear"](kernel) for kernel in (*KERNELS, JOINED)}
    for kernel, number, learned, asked in cases():
        naive = LogisticRegression(C=1.0, max_iter=1000, tol=1e-8).fit(learned, TARGETS)
        answer = found[id(kernel)][number]
        np.testing.assert_allclose(answer, naive.predict_proba(asked), atol=2e-3)


def test_coordinates_have_the_same_inner_products_also_without_full_rank() -> None:
    rank = KERNELS[0]  # 12 support images in 9 dimensions
    for kernel in (rank, JOINED):
        learned, asked = coordinates(kernel)
        turned = learned.transpose(1, 2)
        torch.testing.assert_close(learned @ turned, kernel.support, atol=1e-5, rtol=0)
        torch.testing.assert_close(asked @ turned, kernel.queries, atol=1e-4, rtol=0)


@pytest.mark.parametrize("head", HEADS)
def test_a_query_is_judged_alone(head: str) -> None:
    """Other queries, and the scale of all features, have no say."""
    part = PARTS[0].copy()
    before = HEADS[head](KERNELS[0])[0, 0]
    part[EPISODES.queries[0].ravel()[1:]] += 5
    one = next(EPISODES.chunks(1))
    after = HEADS[head](EpisodeKernel.of(torch.from_numpy(part), one))[0]
    torch.testing.assert_close(after[0], before, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(after[1:], HEADS[head](KERNELS[0])[0, 1:], atol=1e-3)
    scaled = EpisodeKernel.of(torch.from_numpy(7 * PARTS[0]), one)
    torch.testing.assert_close(HEADS[head](scaled)[0, 0], before, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_features_that_are_all_the_same_give_equal_answers(head: str) -> None:
    kernel = EpisodeKernel.of(torch.ones(60, 4), EPISODES)
    found = HEADS[head](kernel)
    assert found.isfinite().all()
    torch.testing.assert_close(found, found[:, :, :1].expand_as(found), atol=1e-4, rtol=0)
