"""Which images an ensemble is fitted and tested on, and who of its members has seen them before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convgraft.cli.ensemble_members import Member
from convgraft.data import ImageSet, split_images
from convgraft.data.seeding import shuffled
from convgraft.data.shares import shares
from convgraft.errors import UsageError, near_miss

PARTS = ("train", "val", "test", "all")


@dataclass(frozen=True)
class Chosen:
    """Images by their indices.

    Attributes:
        part: which they are, in words.
        unsure: members of which nobody knows whether they were trained on these images.
        seen: members that were trained on some of them.
    """

    indices: tuple[int, ...]
    part: str
    unsure: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()

    @property
    def bias(self) -> str | None:
        """A plain word on what that does to fitted votes; None where no member is in doubt."""
        told = []
        if self.seen:
            told.append(f"{', '.join(self.seen)} trained on images that the votes are fitted on.")
        if self.unsure:
            told.append(
                f"Nothing says that {', '.join(self.unsure)} did not train on the images that the "
                "votes are fitted on."
            )
        if not told:
            return None
        told.append(
            "A vote fitted on images that members know by heart trusts those that remember best, "
            "and its held-out figures are too good: go by images that no member has seen."
        )
        return " ".join(told)


def held_out(
    images: ImageSet, members: Sequence[Member], part: str | None, count: int | None, seed: int
) -> Chosen:
    """The images to fit on: by default those that all runs among the members kept for validation,
    else the validation part that `convgraft fit` would make.

    Raises UsageError where there is no such part, or it has fewer images than asked for.
    """
    if part is not None and part not in PARTS:
        raise UsageError(
            f'there is no part called "{part}"',
            expected=", ".join(PARTS),
            hint=near_miss(part, PARTS),
        )
    common = _recorded(images, members, "val") if part is None else None
    if part is None and common:
        indices, said = common, "validation part of the runs"
    else:
        indices, said = _own_part(images, part or "val", seed), f"{part or 'val'} part of the data"
    if count is not None:
        indices = _limited(images, indices, count, seed)
    return _with_doubts(Chosen(indices, said), images, members)


def test_part(
    images: ImageSet, members: Sequence[Member], fitted: Chosen | None, seed: int
) -> Chosen:
    """The images to test on: the runs' test part, else the data's own, else all.

    Raises UsageError where votes were fitted on some of them; `fitted` is None where they were
    fitted on another set, or not at all.
    """
    common = _recorded(images, members, "test")
    if common:
        chosen = Chosen(common, "test part of the runs")
    elif images.parts is not None and "test" in images.parts:
        chosen = Chosen(_given(images, "test"), "test part of the data")
    elif fitted is not None:
        chosen = Chosen(split_images(images, seed=seed).test, "test part of the data")
    else:
        chosen = Chosen(tuple(range(len(images))), "all images")
    if fitted is not None and set(chosen.indices) & set(fitted.indices):
        raise UsageError(
            "the votes would be tested on images that they are fitted on",
            hint="another --test, or --split val",
        )
    return chosen


def _recorded(images: ImageSet, members: Sequence[Member], part: str) -> tuple[int, ...]:
    """What all runs that were trained on these images have in that part."""
    splits = [split for member in members if (split := member.split(images))]
    if not splits:
        return ()
    return tuple(sorted(set.intersection(*(set(split.part(part)) for split in splits))))


def _own_part(images: ImageSet, part: str, seed: int) -> tuple[int, ...]:
    if part == "all":
        return tuple(range(len(images)))
    return split_images(images, seed=seed).part(part)


def _given(images: ImageSet, part: str) -> tuple[int, ...]:
    return tuple(i for i, name in enumerate(images.parts or ()) if name == part)


def _limited(images: ImageSet, indices: Sequence[int], count: int, seed: int) -> tuple[int, ...]:
    """`count` of the images, in proportion to their classes, at least one of each."""
    groups: dict[int, list[int]] = {}
    for place in shuffled(len(indices), seed):
        groups.setdefault(int(images.labels[indices[place]]), []).append(indices[place])
    if not len(groups) <= count <= len(indices):
        raise UsageError(
            f"{count} images cannot be held out",
            expected=f"from {len(groups)}, one per class, to {len(indices)}, all there are",
            hint="--split train, or --split all, where the members have seen none of them",
        )
    takes = shares(count, [len(group) for group in groups.values()])
    chosen = zip(groups.values(), takes, strict=True)
    return tuple(sorted(index for group, take in chosen for index in group[:take]))


def _with_doubts(chosen: Chosen, images: ImageSet, members: Sequence[Member]) -> Chosen:
    splits = {member.name: member.split(images) for member in members}
    wanted = set(chosen.indices)
    unsure = tuple(name for name, split in splits.items() if split is None)
    seen = tuple(name for name, split in splits.items() if split and wanted & set(split.train))
    return Chosen(chosen.indices, chosen.part, unsure, seen)
