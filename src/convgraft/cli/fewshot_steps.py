"""The steps of `convgraft fewshot`: read, open, evaluate, tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convgraft.cli import fit_steps
from convgraft.cli.console import say
from convgraft.cli.opening import opened
from convgraft.cli.runs_as_models import runs_among
from convgraft.data import BrokenImage, ImageSet, open_images
from convgraft.errors import UsageError
from convgraft.export.files import write_json, write_text
from convgraft.report.fewshot import fewshot_markdown
from convgraft.report.fewshot_figure import draw_fewshot
from convgraft.strategies import Ingredients
from convgraft.studies.fewshot import (
    JOIN,
    VOTE,
    Difference,
    Rules,
    Score,
    check_enough,
    differences,
    frozen_features,
    run_fewshot,
    whole_set,
)
from convgraft.studies.fewshot.features import readable_names
from convgraft.studies.fewshot.rules import read_heads, read_shots
from convgraft.training import Task
from convgraft.training.task import Progress


@dataclass(frozen=True, eq=False)
class Inputs:
    """What is opened before an image is decoded."""

    images: ImageSet
    given: Ingredients
    rules: Rules


@dataclass(frozen=True, eq=False)
class Found:
    """What came out.

    Attributes:
        images: how many were there to draw from.
        broken: those that could not be decoded.
    """

    images: int
    scores: Sequence[Score]
    differences: Sequence[Difference]
    broken: tuple[BrokenImage, ...]


def read_rules(ways: int, shots: str, queries: int, episodes: int, seed: int, heads: str) -> Rules:
    """The options as rules; raises UsageError."""
    return Rules(ways, read_shots(shots), queries, episodes, seed, read_heads(heads))


def check_place(out: Path | None) -> None:
    """Raise UsageError before any work where results cannot be written."""
    if out and out.exists() and not out.is_dir():
        raise UsageError(f'"{out}" is a file', expected="a folder, e.g. --out runs/fewshot")


def open_inputs(
    data: str, models: Sequence[str], image_size: int | None, target: str | None, rules: Rules
) -> Inputs:
    """Images and networks; raises UsageError for what makes no episode.

    Networks made for smaller images than the others get them at their own size.
    """
    column = [target] if target else None
    images = opened(lambda report: open_images(data, target=column, on_progress=report))
    _check_enough(images.labels[images.labels >= 0], images, rules)
    given = fit_steps.open_models(models, image_size, images, rules.seed)
    size = given.image_size
    sized = {name: fit_steps.at_own_size(one, size) for name, one in given.sources.items()}
    return Inputs(images, replace(given, sources=sized), rules)


def _check_enough(labels: NDArray[np.int64], images: ImageSet, rules: Rules) -> None:
    check_enough(
        labels, images.classes, ways=rules.ways, shots=max(rules.shots), queries=rules.queries
    )


def tell_seen(inputs: Inputs) -> None:
    """Say which networks are runs on these very images, whose classes are not new to them."""
    for run in runs_among(inputs.given.sources, inputs.images):
        say(f"{run.spec} has learned from images of this set: to it, these classes are not new")


def evaluate(inputs: Inputs, report: Progress, *, strict: bool) -> Found:
    """The features of all networks, then every episode; raises UsageError, DataError."""
    images, given = inputs.images, inputs.given
    split = whole_set(images)
    task = Task(images, split, given.image_size, strict=strict, on_progress=report)
    features = frozen_features(given, task, report)
    _check_enough(features.labels, images, inputs.rules)
    scores = run_fewshot(features, inputs.rules, report)
    return Found(len(features.labels), scores, differences(scores), task.broken)


def as_data(inputs: Inputs, found: Found) -> Mapping[str, Any]:
    """What `--json` prints and `fewshot.json` holds: accuracies and differences are shares."""
    rules, names = inputs.rules, readable_names(inputs.given.sources)
    return {
        "data": inputs.images.location,
        "fingerprint": inputs.images.fingerprint,
        "image_size": inputs.given.image_size,
        "images": found.images,
        "classes": len(inputs.images.classes),
        "left_out": [image.id for image in found.broken],
        "networks": [
            {"name": names[name], "network": one.spec} for name, one in inputs.given.sources.items()
        ],
        "ways": rules.ways,
        "shots": list(rules.shots),
        "queries": rules.queries,
        "episodes": rules.episodes,
        "seed": rules.seed,
        "heads": list(rules.heads),
        "join": JOIN,
        "vote": VOTE,
        "scores": [_score(one) for one in found.scores],
        "differences": [_difference(one) for one in found.differences],
    }


def _score(one: Score) -> Mapping[str, Any]:
    mean = one.accuracy
    told = {"head": one.head, "shots": one.shots, "arm": one.arm}
    return {**told, "accuracy": mean.value, "low": mean.low, "high": mean.high}


def _difference(one: Difference) -> Mapping[str, Any]:
    told = {"head": one.head, "shots": one.shots, "arm": one.arm, "against": one.against}
    share = one.share
    return {**told, "difference": share.value, "low": share.low, "high": share.high}


def write_report(data: Mapping[str, Any], folder: Path) -> list[Path]:
    """fewshot.json, fewshot.md and the figure; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = [folder / "figure.png", folder / "figure.svg"]
    write_json(folder / "fewshot.json", data)
    write_text(folder / "fewshot.md", fewshot_markdown(data))
    draw_fewshot(data, figures)
    return [folder / "fewshot.json", folder / "fewshot.md", *figures]
