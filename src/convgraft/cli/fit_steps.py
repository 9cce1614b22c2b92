"""The steps of `convgraft fit` before training: data, plan, arms, configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import convgraft
from convgraft.cache import DTYPES, Cache, default_cache
from convgraft.cli.opening import opened
from convgraft.compose import check
from convgraft.data import ImageSet, Split, augmentation, open_images, split_images
from convgraft.errors import UsageError, near_miss
from convgraft.match.matching import LEAST_IMAGES
from convgraft.opening import open_network, open_sources, source_seed
from convgraft.plan import Plan, read_plan
from convgraft.sources import Source
from convgraft.strategies import Ingredients, StrategyOptions, source_names
from convgraft.strategies.likely import LIKENESS, SHAPE
from convgraft.studies import (
    Arm,
    Design,
    arm_of_plan,
    baseline_arms,
    build_arm,
    random_front,
)
from convgraft.training import PRESETS, FitOptions, Task
from convgraft.training.at_rest import EXACT
from convgraft.training.options import AUTO
from convgraft.training.policies import FROZEN_PRESETS

DEFAULT_STRATEGY, DEFAULT_FREEZE = "cross-skip", "discriminative"


@dataclass(frozen=True)
class Asked:
    """What the user asked to be joined, and how; None where nothing was said."""

    models: list[str] | None
    plan: Path | None
    image_size: int | None
    design: Design
    random_front: bool = False


def open_data(
    data: str,
    targets: list[str] | None,
    label_map: Path | None,
    limit: int | None,
    seed: int,
    augment: str,
    stream: bool = False,
) -> tuple[ImageSet, Split]:
    """The images, streamed if asked for or if they are such, and their split."""
    check_augmentation(augment)
    images = opened(
        lambda report: open_images(
            data, target=targets or None, label_map=label_map, on_progress=report
        )
    )
    images = replace(images, streams=stream or images.streams)
    return images, split_images(images, seed=seed, limit=limit)


def open_store(wanted: bool, dtype: str) -> Cache | None:
    """The user's store, with new values in that precision; raises UsageError for another word."""
    known = [name for name in DTYPES if name != "uint8"]
    if dtype not in known:
        raise UsageError(
            f'values are not stored as "{dtype}"',
            expected=", ".join(known),
            hint=near_miss(dtype, known),
        )
    return replace(default_cache(), dtype=dtype) if wanted else None


def check_augmentation(name: str) -> None:
    """Tell an unknown name before any work; raises DataError."""
    if name != AUTO:
        augmentation(name, 32)


def read_options(given: Mapping[str, Any]) -> tuple[StrategyOptions, tuple[str, ...]]:
    """The strategy's options, and which of them were given; None is not given."""
    said = {name: value for name, value in given.items() if value is not None}
    if "hidden" in said:
        said["hidden"] = _widths(said["hidden"])
    return StrategyOptions(**said), tuple(said)


def read_weights(text: str | None, main: str) -> dict[str, float]:
    """`fine=1,coarse=0.5` as weights by label column, the main one under the empty name.

    Raises UsageError where it cannot be read.
    """
    weights: dict[str, float] = {}
    for item in filter(None, (text or "").split(",")):
        name, _, value = item.partition("=")
        try:
            weights[name.strip()] = float(value)
        except ValueError:
            weights[name.strip()] = -1.0
        if not 0 <= weights[name.strip()] < float("inf"):
            raise UsageError(
                "task weights are numbers by label column",
                expected="e.g. fine_label=1,coarse_label=0.5",
                found=text,
            )
    return {"" if name == main else name: weight for name, weight in weights.items()}


def plan_arms(
    asked: Asked, images: ImageSet, seed: int, baselines: bool
) -> tuple[Ingredients, list[Arm]]:
    """The join's arm, then its controls and baselines where they are asked for."""
    if asked.plan is not None:
        given, plan = _from_plan(asked, asked.plan, images, seed)
        arms = [arm_of_plan(replace(asked.design, strategy="plan"), plan, given)]
    else:
        given = open_models(asked.models or [], asked.image_size, images, seed)
        arms = [build_arm(asked.design, given, seed)]
        given = replace(given, options=asked.design.options)
    if asked.random_front:
        arms.append(random_front(asked.design, given, seed))
    if baselines:
        policy = arms[0].policy
        tunes = policy.name in PRESETS and policy.name not in FROZEN_PRESETS
        tuned = policy if tunes else PRESETS[DEFAULT_FREEZE]
        arms += baseline_arms(given, tuned)
    return given, arms


def check_likeness(pairs: str, split: Split) -> None:
    """Whether there are enough training images to pair taps by likeness; raises UsageError."""
    if pairs == LIKENESS and len(split.train) < LEAST_IMAGES:
        raise UsageError(
            "too few training images to pair layers by likeness",
            expected=f"{LEAST_IMAGES} at least, some thousand for good",
            found=str(len(split.train)),
            hint=f"--pairs {SHAPE}",
        )


def with_likeness(
    arms: Sequence[Arm], asked: Asked, given: Ingredients, task: Task, seed: int
) -> list[Arm]:
    """The same arms, those of the design made anew where images decide which taps are joined."""
    if asked.plan is not None or asked.design.options.pairs != LIKENESS:
        return list(arms)
    given = replace(given, images=lambda: task.pixels("train").images)
    made = [build_arm(asked.design, given, seed)]
    if asked.random_front:
        made.append(random_front(asked.design, given, seed))
    for arm in made:
        check(arm.plan, arm.sources, name=f"the plan of {arm.name}")
    return [*made, *arms[len(made) :]]


def open_models(
    models: Sequence[str], image_size: int | None, images: ImageSet, seed: int
) -> Ingredients:
    """The networks of `--models`, opened, for the data's classes."""
    if not models:
        raise UsageError(
            "there is nothing to combine", expected="--models SOURCE SOURCE, or --plan"
        )
    opened = [
        open_network(spec, seed=source_seed(seed, number), load=False)
        for number, spec in enumerate(models)
    ]
    size = image_size or max(one.image_size for one in opened)
    sized = [one if image_size else at_own_size(one, size) for one in opened]
    sources = dict(zip(source_names(len(models)), sized, strict=True))
    return Ingredients(sources, size, len(images.classes), columns=other_columns(images))


def other_columns(images: ImageSet) -> dict[str, int]:
    """The number of classes of each label column beside the main one."""
    return {name: len(column.classes) for name, column in images.others.items()}


def at_own_size(one: Source, size: int) -> Source:
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


def _from_plan(asked: Asked, path: Path, images: ImageSet, seed: int) -> tuple[Ingredients, Plan]:
    """Read the plan and open the sources that it names; baselines get heads like its answer's."""
    said = (*(["models"] if asked.models else []), *asked.design.asked)
    if said or asked.design.strategy:
        option = said[0] if said else "strategy"
        raise UsageError(f"a plan says itself what --{option} says", hint=f"leave --{option} out")
    plan = read_plan(path).with_classes(len(images.classes), other_columns(images))
    if asked.image_size:
        plan = replace(plan, image_size=asked.image_size)
    sources = open_sources(plan, seed=seed)
    head = next((head for head in reversed(plan.heads) if head.kind in ("linear", "mlp")), None)
    options = StrategyOptions(hidden=head.hidden, dropout=head.dropout) if head else None
    given = Ingredients(
        sources,
        plan.image_size,
        len(images.classes),
        options or StrategyOptions(),
        other_columns(images),
    )
    return given, plan


def config(
    arms: Sequence[Arm],
    options: FitOptions,
    images: ImageSet,
    split: Split,
    pairs: str = SHAPE,
    store: Cache | None = None,
) -> dict[str, Any]:
    """What makes this run this run: two commands with the same are the same.

    Args:
        pairs: how taps are paired; the arms' plans are those that shapes alone give.
        store: what frozen parts are stored in; another precision is another run.
    """
    told = asdict(options)
    hurried = () if options.budget_seconds is not None else ("budget_seconds",)
    indifferent = ("workers", "accelerator", "checkpoint_minutes", *hurried)
    return {
        "convgraft": convgraft.__version__,
        "arms": {a.name: [str(a.plan), a.policy.as_data(), str(a.loss)] for a in arms},
        "weights": _weights(arms),
        "options": {k: v for k, v in told.items() if k not in indifferent},
        "data": images.fingerprint,
        "training_images": len(split.train),
        **({"pairs": pairs} if pairs != SHAPE else {}),
        **({"stored_as": store.dtype} if store and store.dtype != EXACT else {}),
        **({"stream": True} if images.streams else {}),  # epochs have another order
    }


def _weights(arms: Sequence[Arm]) -> dict[str, str | None]:
    """By network, the digest of its weights in the first arm that has any."""
    found: dict[str, str | None] = {}
    for arm in arms:
        for name, one in arm.sources.items():
            if found.get(name) is None:
                found[name] = _digest(one)
    return found


def _digest(one: Source) -> str | None:
    """SHA-256 of a source's weights file; None where it has none."""
    if one.pending is None:
        return None
    with one.pending.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
