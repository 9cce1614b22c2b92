"""Episodes: no overlap, classes in equal shares, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from convgraft.errors import UsageError
from convgraft.studies.fewshot import Episodes, check_enough, draw_episodes

SIZES = (30, 12, 25, 60, 14, 40)
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(6), SIZES))
NAMES = tuple("abcdef")


def draw(*, ways: int = 4, shots: int = 5, queries: int = 6, count: int = 50, seed: int = 3):
    return draw_episodes(LABELS, ways=ways, shots=shots, queries=queries, count=count, seed=seed)


def equal(one: Episodes, other: Episodes) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("classes", "support", "queries")
    )


def test_no_image_is_twice_in_an_episode_and_all_are_of_their_class() -> None:
    found = draw()
    assert (len(found), found.ways, found.images_each) == (50, 4, 44)
    for number in range(50):
        images = np.concatenate([found.support[number], found.queries[number]], axis=1)
        assert images.shape == (4, 11)
        assert len(np.unique(images)) == images.size
        assert len(set(found.classes[number].tolist())) == 4
        assert (LABELS[images] == found.classes[number][:, None]).all()


def test_classes_and_images_of_a_class_are_equally_likely() -> None:
    found = draw(count=1500)
    often = np.bincount(found.classes.ravel())
    assert stats.chisquare(often).pvalue > 1e-3
    small, large = (np.flatnonzero(label == LABELS) for label in (1, 3))
    for rows in (found.support, found.queries):
        often = np.bincount(rows.ravel(), minlength=len(LABELS))
        assert stats.chisquare(often[small]).pvalue > 1e-3
        assert stats.chisquare(often[large]).pvalue > 1e-3


def test_the_seed_alone_decides() -> None:
    assert equal(draw(), draw())
    assert not equal(draw(), draw(seed=4))


def test_fewer_episodes_are_the_first_of_more() -> None:
    (first,) = draw(count=20).chunks(100)
    assert equal(first, next(draw().chunks(20)))
    assert sum(len(part) for part in draw().chunks(20)) == 50


def test_fewer_shots_have_the_same_queries() -> None:
    assert equal(draw().with_shots(2), draw(shots=2))


def test_labels_need_not_be_without_gaps() -> None:
    found = draw_episodes(LABELS * 10, ways=6, shots=1, queries=2, count=3, seed=0)
    assert np.sort(found.classes, axis=1).tolist() == [[0, 10, 20, 30, 40, 50]] * 3


def test_what_makes_no_episode_is_refused_with_a_way_out() -> None:
    check_enough(LABELS, NAMES, ways=6, shots=5, queries=7)
    with pytest.raises(UsageError, match="more classes than the set") as told:
        check_enough(LABELS, NAMES, ways=7, shots=1, queries=1)
    assert "--ways from 2 to 6" in str(told.value)
    with pytest.raises(UsageError, match="1 of 6 classes have too few") as told:
        check_enough(LABELS, NAMES, ways=5, shots=5, queries=8)
    assert "b has 12" in str(told.value)
    assert "--queries 7 or fewer" in str(told.value)
    with pytest.raises(UsageError, match="2 of 6 classes have too few") as told:
        check_enough(LABELS, NAMES, ways=5, shots=12, queries=7)
    assert "fewer --shots" in str(told.value)
