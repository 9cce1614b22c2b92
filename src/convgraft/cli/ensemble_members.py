"""The members of an ensemble: runs and networks, opened, and the classes that they agree on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from convgraft.cli.console import say
from convgraft.compose import open_network, source_seed
from convgraft.data import ImageSet, Split, read_split
from convgraft.errors import ArtifactError, DataError, UsageError
from convgraft.export import SPLIT
from convgraft.export.artifact import LABELS
from convgraft.sources import Source
from convgraft.strategies import Ingredients, source_names


@dataclass(frozen=True, eq=False)
class Member:
    """One member.

    Attributes:
        name: in the plan.
        spec: as the user typed it.
        labels: its class names, where it is a run; empty for a bare network.
        folder: of the run.
    """

    name: str
    spec: str
    source: Source
    labels: tuple[str, ...] = ()
    folder: Path | None = None

    def split(self, images: ImageSet) -> Split | None:
        """Which of these images it was trained on, where it is a run that was trained on them."""
        if self.folder is None or not (self.folder / SPLIT).is_file():
            return None
        try:
            return read_split(self.folder / SPLIT, images)
        except DataError:
            return None


def open_members(specs: Sequence[str], seed: int, trust_python: bool) -> list[Member]:
    """Open every member, weights looked at and not loaded; raises UsageError for fewer than two."""
    if len(specs) < 2:
        raise UsageError(
            "an ensemble has several members",
            expected="two or more of RUN or ARCH@WEIGHTS",
            found=str(len(specs)),
        )
    return [
        _open(name, spec, source_seed(seed, number), trust_python)
        for number, (name, spec) in enumerate(zip(source_names(len(specs)), specs, strict=True))
    ]


def _open(name: str, spec: str, seed: int, trust_python: bool) -> Member:
    opened = open_network(spec, seed=seed, load=False, trust_python=trust_python)
    location, _, inner = spec.strip().removeprefix("run:").partition("#")
    if opened.nested is None or inner:
        return Member(name, spec, opened)
    folder = Path(location).expanduser()
    return Member(name, spec, opened, _labels(folder), folder)


def _labels(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(json.loads((folder / LABELS).read_text(encoding="utf-8"))["classes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f'"{folder / LABELS}" cannot be read', found=str(error)) from error


def ingredients(members: Sequence[Member], image_size: int | None) -> Ingredients:
    """The members as a strategy is given them; smaller networks get images of their own size."""
    size = image_size or max(member.source.image_size for member in members)
    sources = {member.name: _sized(member.source, image_size, size) for member in members}
    return Ingredients(sources, size, members[0].source.classes)


def _sized(source: Source, asked: int | None, size: int) -> Source:
    own = source.preprocessing
    if asked or own.size or source.image_size >= size:
        return source
    return replace(source, preprocessing=replace(own, size=source.image_size))


def agree_on_classes(members: Sequence[Member], sets: Sequence[ImageSet]) -> tuple[str, ...]:
    """The class names, in label order, that runs and image sets have in common.

    Numbers are the names where nobody has others. Raises UsageError where members, or members and
    images, know different classes.
    """
    count = members[0].source.classes
    for member in members[1:]:
        if member.source.classes != count:
            raise UsageError(
                f"{members[0].spec} and {member.spec} tell different numbers of classes apart",
                expected=str(count),
                found=str(member.source.classes),
                hint="members answer the same question: give both heads for it by convgraft fit",
            )
    known = [(member.spec, member.labels) for member in members if member.labels]
    known += [(images.location, images.classes) for images in sets]
    if not known:
        say(f"no run and no images tell what the classes are called: they are 0 to {count - 1}")
        return tuple(map(str, range(count)))
    first, labels = known[0]
    if len(labels) != count:
        raise UsageError(
            f"{first} and {members[0].spec} have different numbers of classes",
            expected=str(count),
            found=str(len(labels)),
        )
    for other, theirs in known[1:]:
        _check_same(first, labels, other, theirs)
    return labels


def _check_same(first: str, labels: Sequence[str], other: str, theirs: Sequence[str]) -> None:
    if tuple(labels) == tuple(theirs):
        return
    same = set(labels) == set(theirs)
    raise UsageError(
        f"{first} and {other} have "
        + ("the same classes in another order" if same else "different classes"),
        expected=", ".join(labels[:10]),
        found=", ".join(theirs[:10]),
        hint="members and images that number their classes alike",
    )
