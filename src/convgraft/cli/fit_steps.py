"""The steps of `convgraft fit` before and after training: data, plan, arms, checks, summary."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import convgraft
from convgraft.compose import check, compose, open_sources, source_seed
from convgraft.data import ImageSet, Split, augmentation, open_images, split_images
from convgraft.errors import ArtifactError, UsageError
from convgraft.plan import Plan, read_plan
from convgraft.sources import Source, source
from convgraft.strategies import Ingredients, StrategyOptions, find_strategy, source_names
from convgraft.studies import Arm, Row, baseline_arms
from convgraft.training import PRESETS, FitOptions, Task, check_fit, read_policy

DEFAULT_STRATEGY, DEFAULT_FREEZE = "cross-skip", "discriminative"
TUNING_PRESETS = ("discriminative", "all")  # those under which sources learn


@dataclass(frozen=True)
class Asked:
    """What the user asked to be joined, and how; None where nothing was said."""

    models: list[str] | None
    plan: Path | None
    strategy: str | None
    image_size: int | None
    freeze: str | None
    start: str | None
    hidden: str | None
    dropout: float | None


def open_data(
    data: str, target: str | None, limit: int | None, seed: int, augment: str
) -> tuple[ImageSet, Split]:
    """The images and their split."""
    augmentation(augment, 32)  # an unknown name is told before any work
    images = open_images(data, target=target)
    return images, split_images(images, seed=seed, limit=limit)


def plan_arms(
    asked: Asked, classes: int, seed: int, baselines: bool
) -> tuple[Ingredients, list[Arm]]:
    """The join's arm, then its baselines where they are asked for."""
    if asked.plan is not None:
        name, preset = "plan", DEFAULT_FREEZE
        given, plan = _from_plan(asked, asked.plan, classes, seed)
    else:
        name = asked.strategy or DEFAULT_STRATEGY
        given, plan = _from_models(asked, name, classes, seed)
        preset = find_strategy(name, len(given.sources)).freeze
    policy = read_policy(asked.freeze or preset)
    arms = [Arm(name, plan, given.sources, policy)]
    if baselines:
        tuned = policy if policy.name in TUNING_PRESETS else PRESETS[DEFAULT_FREEZE]
        arms += baseline_arms(given, tuned)
    return given, arms


def _from_models(asked: Asked, strategy: str, classes: int, seed: int) -> tuple[Ingredients, Plan]:
    """Open the networks and let the strategy write the plan."""
    models = asked.models or []
    if not models:
        raise UsageError(
            "there is nothing to combine", expected="--models SOURCE SOURCE, or --plan"
        )
    chosen = find_strategy(strategy, len(models))
    opened = [
        source(spec, seed=source_seed(seed, number), load=False)
        for number, spec in enumerate(models)
    ]
    size = asked.image_size or max(one.image_size for one in opened)
    sized = [one if asked.image_size else _at_own_size(one, size) for one in opened]
    options = StrategyOptions(
        asked.start or "zero", _widths(asked.hidden or ""), asked.dropout or 0.0
    )
    sources = dict(zip(source_names(len(models)), sized, strict=True))
    given = Ingredients(sources, size, classes, options)
    return given, chosen.write(given)


def _at_own_size(one: Source, size: int) -> Source:
    """Networks made for smaller images than the largest get them at their own size."""
    if one.image_size >= size or one.preprocessing.size:
        return one
    return replace(one, preprocessing=replace(one.preprocessing, size=one.image_size))


def _widths(text: str) -> tuple[int, ...]:
    try:
        widths = tuple(int(width) for width in text.split(",") if width.strip())
    except ValueError:
        widths = (0,)
    if any(width < 1 for width in widths):
        raise UsageError("hidden widths are whole numbers", expected="e.g. 256,64", found=text)
    return widths


def _from_plan(asked: Asked, path: Path, classes: int, seed: int) -> tuple[Ingredients, Plan]:
    """Read the plan and open the sources that it names; baselines get heads like its answer's."""
    for option in ("models", "strategy", "start", "hidden", "dropout"):
        if getattr(asked, option) not in (None, []):
            raise UsageError(
                f"a plan says itself what --{option} says", hint=f"leave --{option} out"
            )
    plan = read_plan(path).with_classes(classes)
    if asked.image_size:
        plan = replace(plan, image_size=asked.image_size)
    sources = open_sources(plan, seed=seed)
    head = next((head for head in reversed(plan.heads) if head.kind in ("linear", "mlp")), None)
    options = StrategyOptions(hidden=head.hidden, dropout=head.dropout) if head else None
    return Ingredients(sources, plan.image_size, classes, options or StrategyOptions()), plan


def check_arms(arms: Sequence[Arm], given: Ingredients, classes: int, out: Path) -> None:
    """Every problem of every plan and policy, before the folder is taken or an image read."""
    for name, one in given.sources.items():
        if one.pending and out.resolve() in one.pending.path.resolve().parents:
            raise ArtifactError(
                f'source "{name}" is read from "{out}", which is to be written',
                hint="another --out",
            )
    for arm in arms:
        check(arm.plan, arm.sources, name=f"the plan of {arm.name}")
    for arm in arms:
        network = compose(arm.plan, arm.sources)
        check_fit(network, arm.policy, size=given.image_size, classes=classes)


def config(
    arms: Sequence[Arm], options: FitOptions, images: ImageSet, split: Split
) -> dict[str, Any]:
    """What makes this run this run: two commands with the same are the same."""
    indifferent = ("workers", "accelerator")
    return {
        "convgraft": convgraft.__version__,
        "arms": {arm.name: [str(arm.plan), list(map(list, arm.policy.rules))] for arm in arms},
        "weights": {n: _digest(one) for n, one in arms[0].sources.items()},
        "options": {k: v for k, v in asdict(options).items() if k not in indifferent},
        "data": images.fingerprint,
        "training_images": len(split.train),
    }


def _digest(one: Source) -> str | None:
    """SHA-256 of a source's weights file; None where it has none."""
    if one.pending is None:
        return None
    with one.pending.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def summary(
    out: Path, main: Arm, options: FitOptions, task: Task, rows: Sequence[Row], verdict: str
) -> dict[str, Any]:
    """What `--json` prints."""
    table = [row.as_dict() for row in rows]
    split = task.split
    return {
        "run": str(out),
        "strategy": main.name,
        "freeze": main.policy.name,
        "seed": options.seed,
        "images": {"train": len(split.train), "val": len(split.val), "test": len(split.test)},
        "left_out": [image.id for image in task.broken],
        "result": table[0],
        "rows": table,
        "verdict": verdict or None,
    }
