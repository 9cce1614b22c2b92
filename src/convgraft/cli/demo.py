"""`convgraft demo`: the main job, offline, on handwritten digits, in a few minutes.

Two small networks each learn half of the digits, one 0 to 4, the other 5 to 9. Then they are joined
to tell all ten apart from 20 images a class, and the join is compared with what one would have done
otherwise. The table tells what happened, also where the join does not win.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convgraft import __version__
from convgraft.cli.console import (
    RESULT_HEADER,
    print_json,
    print_table,
    progress,
    result_rows,
    say,
)

if TYPE_CHECKING:
    from convgraft.cli.pipeline import Report
    from convgraft.data import ImageSet, Split
    from convgraft.studies import Arm

NETWORKS = {"a": "cifar_resnet20", "b": "cifar_resnet32"}
HALVES = {"a": range(5), "b": range(5, 10)}
IMAGE_SIZE, PER_CLASS = 16, 20
JOINS = ("cross-skip", "parallel")


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the run.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(min=0)] = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace a run that lies there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Pretrain two networks on halves of the digits, join them, compare. Needs no network.

    Example: convgraft demo --out runs/demo
    """
    from convgraft.cli import pipeline
    from convgraft.cli.run_folder import claim
    from convgraft.data import open_images, split_images
    from convgraft.report import draw_comparison, verdict
    from convgraft.training import FitOptions, Task

    images = open_images("digits")
    split = few_images(images, split_images(images, seed=seed))
    folder = claim(out, {"demo": seed, "convgraft": __version__}, overwrite=overwrite)
    options = FitOptions(epochs=20, batch_size=20, augment="digits", seed=seed)
    with progress() as report:
        runs = {n: _pretrain(n, images, split, seed, folder.path, report) for n in NETWORKS}
        task = Task(images, split, IMAGE_SIZE, on_progress=report)
        given, arms = _arms(runs)
        rows = pipeline.run_arms(arms, given, task, options, folder, report)
    table = [row.as_dict() for row in rows]
    title = f"Ten digits from {PER_CLASS} images a class"
    figure = draw_comparison(table, out / "comparison.png", title=title, joins=JOINS)
    if json:
        print_json({"run": str(out), "figure": str(figure), "rows": table})
        return
    print_table(title, RESULT_HEADER, result_rows(rows))
    say(verdict(table, joins=JOINS))
    say(f"saved in {out} (figure: {figure}); next: convgraft explain {out}")


def _pretrain(
    name: str, images: ImageSet, split: Split, seed: int, folder: Path, report: Report
) -> Path:
    """Train one network on its half of the digits; the run that holds its weights.

    It sees none of the images that the join is trained, chosen or tested on.
    """
    from convgraft.compose import compose
    from convgraft.data import split_images
    from convgraft.errors import RunError
    from convgraft.export import save
    from convgraft.sources import source
    from convgraft.strategies import STRATEGIES, Ingredients
    from convgraft.training import PRESETS, FitOptions, Task, fit

    run = folder / "pretrained" / name
    if (run / "metrics.json").is_file():
        return run
    half = pretraining_half(images, split, HALVES[name])
    opened = source(NETWORKS[name], classes=5, seed=seed)
    given = Ingredients({name: opened}, IMAGE_SIZE, 5)
    task = Task(half, split_images(half, seed=seed), IMAGE_SIZE)
    plan = STRATEGIES["finetune"].write(given)
    result = fit(
        compose(plan, given.sources, seed=seed),
        task,
        PRESETS["all"],
        FitOptions(epochs=10, batch_size=64, augment="digits", seed=seed),
        on_progress=lambda done, total: report(f"pretrain {name}", done, total),
    )
    if result.interrupted:
        raise RunError(f"stopped while pretraining {name}", hint="the same command starts it again")
    save(run, result.composite, labels=half.classes, metrics={"curve": list(result.curve)})
    return run


def few_images(images: ImageSet, split: Split) -> Split:
    """The same split with exactly `PER_CLASS` training images of each class."""
    import numpy as np

    train = np.random.default_rng(split.seed).permutation(split.train)
    kept = [train[images.labels[train] == label][:PER_CLASS] for label in range(10)]
    return replace(split, train=tuple(sorted(int(index) for index in np.concatenate(kept))))


def pretraining_half(images: ImageSet, split: Split, classes: range) -> ImageSet:
    """The images of some classes that are in no part of `split`, labelled from 0."""
    import numpy as np

    from convgraft.data.imageset import frozen_labels

    wanted = np.isin(images.labels, list(classes))
    wanted[[*split.train, *split.val, *split.test]] = False
    kept = np.flatnonzero(wanted)
    stamps = images.stamps
    return replace(
        images,
        classes=tuple(images.classes[label] for label in classes),
        ids=tuple(images.ids[index] for index in kept),
        labels=frozen_labels(images.labels[kept] - classes.start),
        source=lambda index: images.raw(int(kept[index])),
        stamps=stamps and (lambda indices: stamps([int(kept[index]) for index in indices])),
    )


def _arms(weights: dict[str, Path]) -> tuple[Any, list[Arm]]:
    """The joins first, then each network by itself."""
    from convgraft.sources import source
    from convgraft.strategies import STRATEGIES, Ingredients
    from convgraft.studies import Arm, baseline_arms
    from convgraft.training import PRESETS

    sources = {n: source(f"{NETWORKS[n]}@{run}", load=False) for n, run in weights.items()}
    given = Ingredients(sources, IMAGE_SIZE, 10)
    joins = [
        Arm(name, STRATEGIES[name].write(given), sources, PRESETS[STRATEGIES[name].freeze])
        for name in JOINS
    ]
    return given, [*joins, *baseline_arms(given)]
