"""The study that suits an image set, as a commented YAML file, and what is to be said of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from convgraft.cli.init_look import Look
from convgraft.plan.shown import shown_name
from convgraft.strategies import source_names

SIDES = (32, 64, 100, 128, 160, 192, 224)
ENLARGED = 100
LIMITS = (100, 400, 1000)
MANY_STEPS, BATCH = 300, 32  # a fit of a few hundred steps at least
UNEQUAL, TINY_TEST, NAMED = 5, 500, 3


def image_size(seen: Look, own: Sequence[int]) -> int:
    """The side that is worth its cost: that of the pictures, within what suits the networks.

    Those that were made for large pictures see little in tiny ones, and more once these are
    enlarged: they get `ENLARGED` at least.

    Args:
        own: the sides that the networks were made for; empty where they are not known.
    """
    most = max(own, default=SIDES[-1])
    least = ENLARGED if own and most > ENLARGED else SIDES[0]
    wanted = max(least, min(seen.median_side, most))
    return min(SIDES, key=lambda side: abs(side - wanted))


def limits(seen: Look) -> list[int | None]:
    """Numbers of training images at which ways of combining differ; None is all of them."""
    least = 2 * len(seen.counts)
    return [*(limit for limit in LIMITS if least <= limit < 0.8 * seen.parts[0]), None]


def epochs(count: int) -> int:
    """Epochs in which so many images make enough steps."""
    return min(40, max(5, -(-MANY_STEPS * BATCH // max(1, count))))


def study_text(
    data: str,
    seen: Look,
    models: Sequence[str],
    own: Sequence[int],
    target: Sequence[str],
) -> str:
    """A study file; `own` are the image sizes that the networks were made for."""
    rarest = min(seen.counts, key=lambda name: seen.counts[name])
    commonest = max(seen.counts, key=lambda name: seen.counts[name])
    chosen = limits(seen)
    lines = [
        "# Ways to combine networks, compared: convgraft compare THIS_FILE --out FOLDER",
        f"# {seen.images} images of {len(seen.counts)} classes: from {seen.counts[rarest]} "
        f"({shown_name(rarest)}) to {seen.counts[commonest]} ({shown_name(commonest)}) a class.",
        f"data: {json.dumps(data)}",
        *([f"target: {json.dumps(list(target))}"] if target else []),
        *_models(models),
        f"# The shorter side of the pictures is {seen.median_side} pixels in the middle.",
        "# Larger costs more: time grows with the square. Networks for large pictures see more in",
        "# enlarged ones.",
        f"image_size: {image_size(seen, own)}{_other_size(seen, own)}",
        "arms:",
        "  - cross-skip  # the networks exchange what their blocks compute, and learn",
        "  - parallel    # side by side, their features concatenated, trained together",
        "  - ladder      # frozen; a small head over all of their layers: the cheapest",
        "# Beside them each network alone, with a new head (probe) or learning too (finetune), and",
        "# their averages.",
        "baselines: [probe, finetune]",
        "# Training images: few labels and many rarely have the same winner.",
        f"limits: [{', '.join(str(limit or 'all') for limit in chosen)}]",
        *_seeds(seen),
        "# A few hundred steps each; the epoch that validates best is kept.",
        f"epochs: {{{', '.join(_epochs(limit, seen) for limit in chosen)}}}",
        "training:",
        "  augment: auto  # light where networks learn, none where they are frozen",
    ]
    return "\n".join(lines) + "\n"


def remarks(seen: Look) -> list[str]:
    """What a person should know before anything is trained."""
    told = [
        f"{seen.images} images of {len(seen.counts)} classes, "
        f"{seen.parts[0]} for training, {seen.parts[1]} for validation, {seen.parts[2]} for testing"
        + ("" if not seen.own_parts else ", as the data says")
    ]
    if seen.imbalance >= UNEQUAL:
        told.append(
            f"classes are unequal, by {seen.imbalance:.0f} to 1: look at balanced accuracy, too"
        )
    if seen.parts[2] < TINY_TEST:
        told.append(f"only {seen.parts[2]} test images: differences of a few points may be chance")
    if seen.broken:
        names = ", ".join(map(shown_name, seen.broken[:NAMED]))
        told.append(f"broken, and left out: {len(seen.broken)} of those looked at: {names}")
    if seen.copies:
        told.append(f"copies of other images, byte for byte: {seen.copies}")
    if seen.conflicts:
        places = ", ".join(shown_name(image) for _, image in seen.conflicts[0].places[:NAMED])
        told.append(f"the same picture in several classes: {len(seen.conflicts)}, first {places}")
    return told


def _models(models: Sequence[str]) -> list[str]:
    if not models:
        return [
            "# The networks, by a name each; or leave this out and say --models ARCH@WEIGHTS ...",
            "# models: {a: torchvision/squeezenet1_1@a.safetensors, b: timm/resnet18@DEFAULT}",
        ]
    names = source_names(len(models))
    named = (f"{name}: {json.dumps(spec)}" for name, spec in zip(names, models, strict=True))
    return [f"models: {{{', '.join(named)}}}"]


def _other_size(seen: Look, own: Sequence[int]) -> str:
    """What networks for large pictures would rather have, where the networks are not known yet."""
    larger = image_size(seen, [SIDES[-1]])
    chosen = image_size(seen, own)
    return f"  # {larger} for networks of ImageNet" if not own and larger > chosen else ""


def _seeds(seen: Look) -> list[str]:
    if seen.parts[2] < 2 * TINY_TEST:
        return ["# With few test images it takes more splits to tell two ways apart.", "seeds: 5"]
    return ["# Splits, new heads and trainings: intervals need three at least.", "seeds: 3"]


def _epochs(limit: int | None, seen: Look) -> str:
    return f"{limit or 'all'}: {epochs(limit or seen.parts[0])}"
