"""The members of an ensemble: runs and networks, opened, and the classes that they agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from convgraft.cli.console import say
from convgraft.cli.own_classes import check_same_classes, read_labels
from convgraft.cli.runs_as_models import recorded_split
from convgraft.data import ImageSet, Split
from convgraft.errors import UsageError
from convgraft.opening import open_network, source_seed
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
        return recorded_split(self.folder, images) if self.folder else None


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
    return Member(name, spec, opened, read_labels(folder), folder)


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
    for other in known[1:]:
        check_same_classes(
            known[0], other, hint="members and images that number their classes alike"
        )
    return labels
