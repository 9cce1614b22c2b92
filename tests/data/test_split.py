from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convgraft.data import ImageSet, Split, open_images, split_images
from convgraft.errors import DataError


def made(counts: Sequence[int], parts: Sequence[str] | None = None) -> ImageSet:
    labels = np.repeat(np.arange(len(counts)), counts)
    return ImageSet(
        location="made",
        kind="folder",
        target=None,
        classes=tuple(f"class{number}" for number in range(len(counts))),
        ids=tuple(f"{index}.png" for index in range(len(labels))),
        labels=labels,
        parts=None if parts is None else tuple(parts),
        fingerprint="0" * 64,
        source=lambda index: b"",
    )


def per_class(images: ImageSet, indices: Sequence[int]) -> list[int]:
    return np.bincount(images.labels[list(indices)], minlength=len(images.classes)).tolist()


def test_disjoint_covering_and_in_proportion():
    images = made([100, 50, 200])
    split = split_images(images, seed=1)
    assert sorted(split.train + split.val + split.test) == list(range(350))
    assert per_class(images, split.test) == [20, 10, 40]
    assert per_class(images, split.val) == [10, 5, 20]
    assert all(list(part) == sorted(part) for part in (split.train, split.val, split.test))
    assert all(type(index) is int for index in split.train)


def test_the_seed_decides():
    images = made([40, 40])
    assert split_images(images, seed=3) == split_images(images, seed=3)
    assert split_images(images, seed=3).test != split_images(images, seed=4).test


def test_the_test_part_does_not_depend_on_limit_or_val():
    images = made([40, 40])
    plain = split_images(images, seed=3)
    for other in (split_images(images, seed=3, limit=10), split_images(images, seed=3, val=0.3)):
        assert other.test == plain.test


def test_small_classes_train_first():
    images = made([1, 2, 3, 4, 60])
    split = split_images(images, seed=0)
    assert per_class(images, split.train)[:4] == [1, 2, 1, 2]
    assert per_class(images, split.val)[:4] == [0, 0, 1, 1]
    assert per_class(images, split.test)[:4] == [0, 0, 1, 1]


@pytest.mark.parametrize("fractions", [(0.45, 0.45), (0.9, 0.05), (0.05, 0.9)])
def test_large_fractions_leave_a_training_image(fractions: tuple[float, float]):
    images = made([3, 3, 30])
    split = split_images(images, seed=0, test=fractions[0], val=fractions[1])
    assert min(per_class(images, split.train)) >= 1
    assert min(per_class(images, split.val)) >= 1
    assert min(per_class(images, split.test)) >= 1


def test_zero_fractions_leave_parts_empty():
    split = split_images(made([5, 5]), seed=0, test=0, val=0)
    assert (len(split.train), split.val, split.test) == (10, (), ())


def test_given_parts_are_kept():
    parts = ["train"] * 6 + ["val", "test"] + ["train"] * 6 + ["val", "test"]
    split = split_images(made([8, 8], parts), seed=0)
    assert (split.val, split.test) == ((6, 14), (7, 15))
    assert len(split.train) == 12


def test_what_is_not_given_comes_from_train_as_a_fraction_of_everything():
    images = made([100, 100], (["train"] * 80 + ["test"] * 20) * 2)
    split = split_images(images, seed=0, val=0.1)
    assert split.test == tuple(range(80, 100)) + tuple(range(180, 200))
    assert per_class(images, split.val) == [10, 10]
    images = replace(images, parts=tuple(["train"] * 80 + ["val"] * 20) * 2)
    split = split_images(images, seed=0, test=0.2)
    assert per_class(images, split.test) == [20, 20]
    assert len(split.val) == 40
    assert set(split.test).isdisjoint(split.val)


def test_the_limit_keeps_proportions_and_other_parts():
    images = made([100, 50, 200])
    plain, limited = split_images(images, seed=0), split_images(images, seed=0, limit=70)
    assert per_class(images, limited.train) == [20, 10, 40]
    assert set(limited.train) < set(plain.train)
    assert (limited.val, limited.test) == (plain.val, plain.test)


@pytest.mark.parametrize("limit", [-1, 0, 2, 246])
def test_a_limit_that_cannot_be_met(limit: int):
    with pytest.raises(DataError) as caught:
        split_images(made([100, 50, 200]), seed=0, limit=limit)
    assert caught.value.expected == "from 3, one per class, to 245, all there are"


def test_excluded_images_leave_the_others_where_they_are():
    images = made([30, 30])
    plain = split_images(images, seed=0, limit=20)
    out = {plain.train[0], plain.val[1], plain.test[2]}
    dropped = split_images(images, seed=0, limit=20, exclude=out)
    for name in ("train", "val", "test"):
        assert set(dropped.part(name)) == set(plain.part(name)) - out


def test_a_class_without_training_image():
    with pytest.raises(DataError, match="no training image in 1 of 3 classes: class1"):
        split_images(made([5, 0, 5]), seed=0)
    with pytest.raises(DataError, match="class1"):
        split_images(made([5, 1]), seed=0, exclude=[5])
    with pytest.raises(DataError, match="class1"):
        split_images(made([2, 1], ["train", "test", "test"]), seed=0)


def unlabelled(images: ImageSet, indices: Sequence[int]) -> ImageSet:
    labels = images.labels.copy()
    labels[list(indices)] = -1
    return replace(images, labels=labels)


def test_images_without_a_label_are_divided_as_one_more_class():
    images = unlabelled(made([100, 50, 250]), range(150, 250))
    split = split_images(images, seed=1, limit=70)
    whole = split_images(made([100, 50, 100, 150]), seed=1, limit=70)
    missing = [sum(images.labels[list(part)] == -1) for part in (split.val, split.test)]
    assert missing == [10, 20]
    assert [len(split.part(name)) for name in ("train", "val", "test")] == [70, 40, 80]
    # the same proportions as with a class in the place of the missing ones
    assert sum(images.labels[list(split.train)] == -1) == sum(
        made([100, 50, 100, 150]).labels[list(whole.train)] == 2
    )
    assert sorted(split_images(images, seed=1, test=0, val=0).train) == list(range(400))


def test_few_images_without_a_label_only_train():
    images = unlabelled(made([40, 40]), [0, 1])
    split = split_images(images, seed=0)
    assert {0, 1} <= set(split.train)
    parts = ["train"] * 30 + ["test"] * 10
    given = unlabelled(made([40, 40], parts * 2), [35, 36])
    assert {35, 36} <= set(split_images(given, seed=0, limit=10).test)


def test_the_limit_counts_the_unlabelled_as_one_class():
    images = unlabelled(made([100, 50]), range(10))
    assert len(split_images(images, seed=0, limit=3).train) == 3
    with pytest.raises(DataError) as caught:
        split_images(images, seed=0, limit=2)
    assert caught.value.expected == (
        "from 3, one per class and one without a label, to 105, all there are"
    )


def test_a_class_whose_labels_are_all_missing():
    with pytest.raises(DataError, match="no training image in 1 of 2 classes: class1"):
        split_images(unlabelled(made([5, 5]), range(5, 10)), seed=0)


@pytest.mark.parametrize("wrong", [{"test": -0.1}, {"val": 1.0}, {"test": 0.6, "val": 0.4}])
def test_fractions_out_of_range(wrong: dict[str, float]):
    with pytest.raises(DataError, match=r"test|val"):
        split_images(made([5, 5]), seed=0, **wrong)  # type: ignore[arg-type]


def test_a_negative_seed():
    with pytest.raises(DataError, match="seed -1"):
        split_images(made([5, 5]), seed=-1)


def test_parts_by_name():
    split = Split((0,), (1,), (2,), seed=0)
    assert [split.part(name) for name in ("train", "val", "test")] == [(0,), (1,), (2,)]
    with pytest.raises(DataError) as caught:
        split.part("tset")
    assert caught.value.hint == "did you mean test?"


def test_natural_images(real_data: Path):
    images = open_images(real_data / "natural_images")
    split = split_images(images, seed=0, limit=400)
    assert [len(split.train), len(split.val), len(split.test)] == [400, 690, 1380]
    shares = Counter(images.classes[images.labels[index]] for index in split.train)
    assert max(abs(shares[name] - 400 * count / 6899) for name, count in counts(images)) < 1


def counts(images: ImageSet) -> list[tuple[str, int]]:
    return list(zip(images.classes, np.bincount(images.labels).tolist(), strict=True))
