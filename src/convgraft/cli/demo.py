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
    from convgraft.data import ImageSet
    from convgraft.studies import Arm, Row

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
    """Pretrain two networks on halves of the digits, join them, compare. Needs no network."""
    from convgraft.cli import pipeline
    from convgraft.cli.run_folder import claim
    from convgraft.data import open_images, split_images
    from convgraft.report import draw_comparison
    from convgraft.training import FitOptions, Task

    images = open_images("digits")
    folder = claim(out, {"demo": seed}, overwrite=overwrite)
    options = FitOptions(epochs=20, batch_size=20, augment="digits", seed=seed)
    with progress() as report:
        weights = {name: _pretrain(name, images, seed, folder.path, report) for name in NETWORKS}
        split = split_images(images, seed=seed, limit=10 * PER_CLASS)
        task = Task(images, split, IMAGE_SIZE, on_progress=report)
        given, arms = _arms(weights)
        trained = [pipeline.train_arm(arm, task, options, folder, report) for arm in arms]
        votes = pipeline.averages(given, trained)
        rows = pipeline.measure_arms(task, trained, votes)
    facts = {
        **pipeline.data_facts(task),
        **pipeline.fit_facts(arms[0].name, arms[0].policy.name, options),
    }
    pipeline.write_run(folder, task, trained, votes, rows, facts)
    table = [row.as_dict() for row in rows]
    title = f"Ten digits from {PER_CLASS} images a class"
    figure = draw_comparison(table, out / "comparison.png", title=title, joins=JOINS)
    if json:
        print_json({"run": str(out), "figure": str(figure), "rows": table})
        return
    print_table(title, RESULT_HEADER, result_rows(rows))
    say(_verdict(rows))
    say(f"saved in {out} (figure: {figure}); next: convgraft explain {out}")


def _pretrain(name: str, images: ImageSet, seed: int, folder: Path, report: Report) -> Path:
    """Train one network on its half of the digits; the run that holds its weights."""
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
    half = _half(images, HALVES[name])
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


def _half(images: ImageSet, classes: range) -> ImageSet:
    """The images of some classes, labelled from 0."""
    import numpy as np

    from convgraft.data.imageset import frozen_labels

    kept = np.flatnonzero(np.isin(images.labels, list(classes)))
    return replace(
        images,
        classes=tuple(images.classes[label] for label in classes),
        ids=tuple(images.ids[index] for index in kept),
        labels=frozen_labels(images.labels[kept] - classes.start),
        source=lambda index: images.raw(int(kept[index])),
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


def _verdict(rows: list[Row]) -> str:
    """In plain words: whether a join beats everything else here."""
    best = max(rows, key=lambda row: row.test.top1)
    join = max((row for row in rows if row.arm in JOINS), key=lambda row: row.test.top1)
    rival = max((row for row in rows if row.arm not in JOINS), key=lambda row: row.test.top1)
    gap = 100 * (join.test.top1 - rival.test.top1)
    images = best.test.images
    if gap > 0:
        return (
            f"{join.arm} beats {rival.arm}, the best rival, by {gap:.1f} points on {images} images."
        )
    behind = f"{join.arm} is {-gap:.1f} points behind"
    return f"No join beats {rival.arm} here: {behind} on {images} images."
