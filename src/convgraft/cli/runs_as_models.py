"""Runs among the models of a fit: which images they have learned from.

A run whose training or validation images are test images of another fit knows some of the answers:
the test would tell how well it remembers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from convgraft.cli.console import say
from convgraft.data import ImageSet, Split, read_split, split_images
from convgraft.errors import DataError, UsageError
from convgraft.export import METRICS, SPLIT, WEIGHTS
from convgraft.sources import Source

BASELINES = "baselines"  # the folder of a run's other arms, which share its split


@dataclass(frozen=True)
class Learned:
    """A model that comes from a run, and the split of the images at hand that the run had."""

    spec: str
    split: Split


def runs_among(sources: Mapping[str, Source], images: ImageSet) -> list[Learned]:
    """The models whose weights come from a run on these images."""
    folders = {one.spec: folder for one in sources.values() if (folder := run_folder(one))}
    splits = {spec: recorded_split(folder, images) for spec, folder in folders.items()}
    return [Learned(spec, split) for spec, split in splits.items() if split]


def run_folder(one: Source) -> Path | None:
    """The run that a source's weights are read from; None where they are from elsewhere."""
    if one.pending is None or one.pending.path.name != WEIGHTS:
        return None
    return one.pending.path.parent


def recorded_split(folder: Path, images: ImageSet) -> Split | None:
    """Which of these images a run was trained on; None where it was trained on other ones.

    The same images with other label columns are the same images.
    """
    folder = folder.resolve()
    if folder.parent.name == BASELINES and not (folder / SPLIT).is_file():
        folder = folder.parent.parent
    if not (folder / SPLIT).is_file():
        return None
    for known in (images, _with_other_columns(folder, images)):
        try:
            return read_split(folder / SPLIT, known)
        except DataError:
            continue
    return None


def _with_other_columns(folder: Path, images: ImageSet) -> ImageSet:
    """The images under the fingerprint of the run, where it saw as many at the same place."""
    try:
        data = json.loads((folder / METRICS).read_text(encoding="utf-8"))["data"]
        place, count, fingerprint = data["location"], data["images"], str(data["fingerprint"])
        same = Path(place).resolve() == Path(images.location).resolve() and count == len(images)
    except (OSError, ValueError, KeyError, TypeError):
        return images
    return replace(images, fingerprint=fingerprint) if same else images


def check_unseen(
    runs: Sequence[Learned],
    images: ImageSet,
    splits: Sequence[Split],
    hint: Callable[[int | None], str],
) -> None:
    """Refuse test images that a run has learned from; say which runs know validation images.

    Args:
        splits: of the fits to come.
        hint: what to try, from a seed under which no run has seen a test image, None for no such.

    Raises UsageError.
    """
    for split in splits:
        for run in runs:
            if seen := _seen(run, split.test):
                raise UsageError(
                    f"{run.spec} has learned from {seen} of the {len(split.test)} test images",
                    expected="test images that no model was trained or validated on",
                    found=f"a split with seed {split.seed}, the run's has {run.split.seed}",
                    hint=hint(_common_seed(runs, images)),
                )
    for run in runs:
        if any(set(split.val) & set(run.split.train) for split in splits):
            say(
                f"{run.spec} was trained on some of the validation images: validation scores, and "
                "what is chosen by them, are too good"
            )


def _seen(run: Learned, test: Collection[int]) -> int:
    return len({*run.split.train, *run.split.val} & set(test))


def _common_seed(runs: Sequence[Learned], images: ImageSet) -> int | None:
    for seed in sorted({run.split.seed for run in runs}):
        test = split_images(images, seed=seed).test
        if not any(_seen(run, test) for run in runs):
            return seed
    return None
