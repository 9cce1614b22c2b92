"""The steps of `convgraft ensemble` before an image is read: open, check, compose, claim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import convgraft
from convgraft.cli.ensemble_images import Chosen, held_out, test_part
from convgraft.cli.ensemble_members import Member, agree_on_classes, ingredients, open_members
from convgraft.cli.opening import opened
from convgraft.cli.run_folder import RunFolder, claim
from convgraft.compose import Composite, compose
from convgraft.data import ImageSet, open_images
from convgraft.errors import ArtifactError, UsageError
from convgraft.layers import HEADS
from convgraft.strategies.ensemble import check_votes, vote_plan

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Asked:
    """What the user asked for; None where nothing was said."""

    members: Sequence[str]
    votes: Sequence[str]
    data: str | None
    target: str | None
    split: str | None
    held_out: int | None
    test: str | None
    max_cost: float | None
    image_size: int | None
    seed: int
    batch_size: int
    trust_python: bool


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that was checked before an image is read.

    Attributes:
        fit_on, test_on: an image set and which of its images; None where none was named.
    """

    asked: Asked
    members: Sequence[Member]
    composite: Composite
    labels: tuple[str, ...]
    fit_on: tuple[ImageSet, Chosen] | None
    test_on: tuple[ImageSet, Chosen] | None


def prepare(asked: Asked) -> Prepared:
    """Open and check everything; raises UsageError, and no image is decoded."""
    check_votes(asked.votes)
    _check_data(asked)
    members = open_members(asked.members, asked.seed, asked.trust_python)
    fit_set = _images(asked.data, asked) if asked.data else None
    test_set = _images(asked.test, asked) if asked.test else None
    labels = agree_on_classes(members, [images for images in (fit_set, test_set) if images])
    given = ingredients(members, asked.image_size)
    composite = compose(vote_plan(given, asked.votes), given.sources, seed=asked.seed).eval()
    fit_on = test_on = None
    if fit_set:
        chosen = held_out(fit_set, members, asked.split, asked.held_out, asked.seed)
        fit_on = (fit_set, chosen)
    if test_set:
        same = fit_set is not None and fit_set.fingerprint == test_set.fingerprint
        fitted = fit_on[1] if fit_on and same else None
        test_on = (test_set, test_part(test_set, members, fitted, asked.seed))
    return Prepared(asked, members, composite, labels, fit_on, test_on)


def _images(location: str, asked: Asked) -> ImageSet:
    return opened(lambda told: open_images(location, target=asked.target, on_progress=told))


def _check_data(asked: Asked) -> None:
    fitted = [kind for kind in asked.votes if HEADS[kind].fitted]
    if fitted and not asked.data:
        raise UsageError(
            f"the vote {', '.join(fitted)} is fitted on labelled images",
            expected="--data DATA, images that the members have not been trained on",
            hint="average, logits, hard and plurality need none",
        )
    for option, value in (("--split", asked.split), ("--held-out", asked.held_out)):
        if value is not None and not asked.data:
            raise UsageError(f"{option} says which images of --data to fit on", found="no --data")
    if asked.max_cost is not None and "cascade" not in asked.votes:
        raise UsageError("--max-cost is for a cascade", expected="--vote cascade")


def claim_folder(out: Path, prepared: Prepared, overwrite: bool) -> RunFolder:
    """Take the folder; raises ArtifactError where it is in use, or a member is read from it."""
    for member in prepared.members:
        pending = member.source.pending
        places = [place for place in (member.folder, pending and pending.path) if place]
        if any(out.resolve() in (p.resolve(), *p.resolve().parents) for p in places):
            raise ArtifactError(
                f'member "{member.spec}" is read from "{out}", which is to be written',
                hint="another --out",
            )
    asked = prepared.asked
    sets = {"data": prepared.fit_on, "test": prepared.test_on}
    config = {
        "convgraft": convgraft.__version__,
        "plan": str(prepared.composite.plan),
        "images": {name: found[0].fingerprint for name, found in sets.items() if found},
        "asked": [asked.split, asked.held_out, asked.max_cost, asked.seed],
    }
    return claim(out, config, overwrite=overwrite)
