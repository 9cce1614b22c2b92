"""Which images train, which choose the epoch and which are kept for the final figure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from convgraft.data.columns import MISSING
from convgraft.data.imageset import PARTS, ImageSet
from convgraft.data.seeding import check_seed, shuffled
from convgraft.data.shares import shares
from convgraft.errors import DataError, near_miss

Groups = list[list[int]]  # indices by class, in drawing order


@dataclass(frozen=True)
class Split:
    """Indices into an `ImageSet`, ascending and disjoint.

    Attributes:
        train, val, test: the images of each part.
        seed: what the random choice was made with.
    """

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    seed: int

    def part(self, name: str) -> tuple[int, ...]:
        """The indices of `train`, `val` or `test`. Raises `DataError` for another name."""
        if name not in PARTS:
            raise DataError(
                f"there is no part {name}",
                expected=", ".join(PARTS),
                hint=near_miss(name, PARTS),
            )
        return {"train": self.train, "val": self.val, "test": self.test}[name]


def split_images(
    images: ImageSet,
    *,
    seed: int,
    test: float = 0.2,
    val: float = 0.1,
    limit: int | None = None,
    exclude: Collection[int] = (),
) -> Split:
    """Divide images class by class, the same way each time and on every platform.

    Parts that the data itself gives are kept; what it lacks is drawn from its train part. A class
    of three images or more is in every drawn part, a smaller one only trains. The test part
    depends on `seed` and `test` alone, so runs with other limits are measured on the same images.
    Classes are those of the main label column; images without a label there are divided as one
    more class.

    Args:
        images: what to divide.
        seed: 0 or more.
        test, val: fractions of the whole set, 0 or more and below 1 together.
        limit: how many training images to keep, in proportion to the classes; at least one each.
        exclude: indices left out at the very end; all other images stay where they would be.

    Raises:
        DataError: an argument is out of range, or a class is left without a training image.
    """
    _check_fractions(test, val)
    check_seed(seed)
    pool = _pool(images, seed)
    _check_classes(images, pool)
    able = [number for number, group in enumerate(pool) if len(group) >= len(PARTS)]
    drawn: dict[str, list[int]] = {}
    # What each class keeps back: one for train, and while test is drawn one for val.
    for part, fraction, spare in (("test", test, 2), ("val", val, 1)):
        drawn[part] = _given(images, part)
        if not drawn[part] and fraction and able:
            drawn[part], pool = _draw(pool, able, round(fraction * len(images)), spare)
    pool = _limited(images, pool, limit)
    drawn["train"] = [index for group in pool for index in group]
    split = Split(*(_without(drawn[part], exclude) for part in PARTS), seed=seed)
    _check_classes(images, _by_class(images, split.train))
    return split


def _check_fractions(test: float, val: float) -> None:
    for name, fraction in (("test", test), ("val", val)):
        if not 0 <= fraction < 1:
            raise DataError(
                f"{name} is {fraction:g}", expected="a fraction of the set: 0 or more, below 1"
            )
    if test + val >= 1:
        raise DataError(
            f"test {test:g} and val {val:g} leave nothing to train on",
            expected="fractions of the set that add up to less than 1",
        )


def _by_class(images: ImageSet, indices: Sequence[int]) -> Groups:
    """A group for each class, and at the end, where there are any, one without a label."""
    groups: Groups = [[] for _ in (*images.classes, MISSING)]
    for index in indices:
        groups[int(images.labels[index])].append(index)  # -1, the missing label, is the last
    return groups if groups[MISSING] else groups[:MISSING]


def _pool(images: ImageSet, seed: int) -> Groups:
    order: list[int] = shuffled(len(images), seed).tolist()
    if images.parts is not None:
        order = [index for index in order if images.parts[index] == "train"]
    return _by_class(images, order)


def _given(images: ImageSet, part: str) -> list[int]:
    return [index for index, name in enumerate(images.parts or ()) if name == part]


def _draw(pool: Groups, able: Sequence[int], total: int, spare: int) -> tuple[list[int], Groups]:
    """About `total` images off the front of the `able` groups, and the rest of all groups."""
    counts = [len(pool[number]) for number in able]
    total = min(max(total, len(able)), sum(counts))
    takes = [0] * len(pool)
    for number, share in zip(able, shares(total, counts), strict=True):
        takes[number] = min(share, len(pool[number]) - spare)
    taken = [index for group, take in zip(pool, takes, strict=True) for index in group[:take]]
    return taken, [group[take:] for group, take in zip(pool, takes, strict=True)]


def _limited(images: ImageSet, pool: Groups, limit: int | None) -> Groups:
    if limit is None:
        return pool
    available = sum(len(group) for group in pool)
    if not len(pool) <= limit <= available:
        unlabelled = " and one without a label" if len(pool) > len(images.classes) else ""
        raise DataError(
            f"the limit of {limit} training images cannot be met",
            expected=f"from {len(pool)}, one per class{unlabelled}, to {available}, all there are",
        )
    counts = [len(group) for group in pool]
    return [group[:keep] for group, keep in zip(pool, shares(limit, counts), strict=True)]


def _without(indices: Sequence[int], exclude: Collection[int]) -> tuple[int, ...]:
    out = set(exclude)
    return tuple(sorted(index for index in indices if index not in out))


def _check_classes(images: ImageSet, groups: Groups) -> None:
    bare = [name for name, group in zip(images.classes, groups, strict=False) if not group]
    if bare:
        shown = ", ".join(bare[:5]) + (f" and {len(bare) - 5} more" if len(bare) > 5 else "")
        raise DataError(
            f"no training image in {len(bare)} of {len(images.classes)} classes: {shown}",
            expected="a training image or more in every class",
            hint="add images of these classes or remove the classes",
        )
