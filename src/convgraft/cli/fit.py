"""`convgraft fit DATA --models A B`: join networks, train the join, compare it, keep it."""

from __future__ import annotations

from dataclasses import asdict, replace
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
    from convgraft.cli.run_folder import RunFolder
    from convgraft.data import ImageSet, Split
    from convgraft.plan import Plan
    from convgraft.sources import Source
    from convgraft.strategies import Ingredients, StrategyOptions
    from convgraft.studies import Arm, Row
    from convgraft.training import FitOptions, Task

STRATEGY_HELP = "cross-skip, parallel, probe or finetune."


def fit(
    data: Annotated[str, typer.Argument(help="Class folders, Parquet, or digits.")],
    out: Annotated[Path, typer.Option(help="Folder for the run.")],
    models: Annotated[
        list[str] | None, typer.Option(metavar="SOURCE SOURCE ...", help="ARCH[@WEIGHTS] each.")
    ] = None,
    strategy: Annotated[str, typer.Option(help=STRATEGY_HELP)] = "cross-skip",
    plan: Annotated[Path | None, typer.Option(help="A plan file instead of --models.")] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Side in pixels; the networks' own by default.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Label column of a Parquet set.")] = None,
    limit: Annotated[int | None, typer.Option(help="Use K training images, stratified.")] = None,
    freeze: Annotated[str | None, typer.Option(help="Preset or policy file.")] = None,
    start: Annotated[str, typer.Option(help="How wires begin: zero, or one (the paper).")] = "zero",
    hidden: Annotated[str, typer.Option(help="Hidden widths of the head, e.g. 256,64.")] = "",
    dropout: Annotated[float, typer.Option(help="Before the classifier.")] = 0.0,
    epochs: Annotated[int, typer.Option()] = 10,
    batch_size: Annotated[int, typer.Option()] = 32,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    weight_decay: Annotated[float, typer.Option()] = 1e-2,
    optimizer: Annotated[str, typer.Option(help="adamw or sgd.")] = "adamw",
    schedule: Annotated[str, typer.Option(help="cosine, one-cycle or constant.")] = "cosine",
    label_smoothing: Annotated[float, typer.Option()] = 0.0,
    augment: Annotated[str, typer.Option(help="none, light, standard or digits.")] = "light",
    patience: Annotated[
        int | None, typer.Option(help="Epochs without progress to stop at.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that augment images.")] = 0,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, gpu or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="Lightning's word, e.g. bf16-mixed.")] = "32-true",
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Also train each network alone, and average them.")
    ] = False,
    strict: Annotated[bool, typer.Option(help="Stop at a broken image.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a run that lies there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Join networks, train the join on your images, compare it, and keep it as one artifact.

    Example: convgraft fit pictures/ --models torchvision/resnet18@a.safetensors
    timm/mobilenetv3_small_100@b.safetensors --image-size 100 --baselines --out runs/x
    """
    from convgraft.cli.run_folder import claim
    from convgraft.strategies import StrategyOptions, find_strategy
    from convgraft.studies import Arm, baseline_arms
    from convgraft.training import FitOptions, Task, read_policy

    options = FitOptions(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        optimiser=optimizer,
        schedule=schedule,
        label_smoothing=label_smoothing,
        augment=augment,
        patience=patience,
        seed=seed,
        workers=workers,
        accelerator=accelerator,
        precision=precision,
    )
    images, split = _open_data(data, target, limit, seed, augment)
    asked = StrategyOptions(start, _widths(hidden), dropout)
    if plan is not None:
        given, written = _from_plan(plan, models, image_size, len(images.classes), asked)
        name, preset = "plan", "discriminative"
    else:
        given, written = _from_models(
            models or [], strategy, image_size, len(images.classes), asked
        )
        name, preset = strategy, find_strategy(strategy, len(given.sources)).freeze
    main = Arm(name, written, given.sources, read_policy(freeze or preset))
    arms = [main, *(baseline_arms(given) if baselines else [])]
    for arm in arms:
        _check(arm, len(images.classes))
    folder = claim(out, _config(arms, options, images, split), overwrite=overwrite)
    if folder.resumed:
        say(f"going on with the unfinished run in {out}")
    with progress() as report:
        task = Task(images, split, given.image_size, strict=strict, on_progress=report)
        rows = _run(arms, given, task, options, folder, report, freeze or preset)
    for image in task.broken:
        say(f"left out: {image.id} {image.reason}")
    if json:
        table = [row.as_dict() for row in rows]
        print_json({"run": str(out), "strategy": name, "answer": table[0], "rows": table})
        return
    print_table(f"{data}: {len(split.train)} training images", RESULT_HEADER, result_rows(rows))
    say(f"saved in {out}; next: convgraft predict {out} IMAGE, or convgraft explain {out}")


def _open_data(
    data: str, target: str | None, limit: int | None, seed: int, augment: str
) -> tuple[ImageSet, Split]:
    from convgraft.data import augmentation, open_images, split_images

    augmentation(augment, 32)  # an unknown name is told before any work
    images = open_images(data, target=target)
    return images, split_images(images, seed=seed, limit=limit)


def _widths(text: str) -> tuple[int, ...]:
    from convgraft.errors import UsageError

    try:
        widths = tuple(int(width) for width in text.split(",") if width.strip())
    except ValueError:
        widths = (0,)
    if any(width < 1 for width in widths):
        raise UsageError("hidden widths are whole numbers", expected="e.g. 256,64", found=text)
    return widths


def _from_models(
    models: list[str], strategy: str, image_size: int | None, classes: int, asked: StrategyOptions
) -> tuple[Ingredients, Plan]:
    """Open the networks and let the strategy write the plan."""
    from convgraft.errors import UsageError
    from convgraft.sources import source
    from convgraft.strategies import Ingredients, find_strategy, source_names

    if not models:
        raise UsageError(
            "there is nothing to combine", expected="--models SOURCE SOURCE, or --plan"
        )
    chosen = find_strategy(strategy, len(models))
    opened = [source(spec, load=False) for spec in models]
    size = image_size or max(one.image_size for one in opened)
    sized = [one if image_size else _at_own_size(one, size) for one in opened]
    sources = dict(zip(source_names(len(models)), sized, strict=True))
    given = Ingredients(sources, size, classes, asked)
    return given, chosen.write(given)


def _at_own_size(one: Source, size: int) -> Source:
    """Networks made for smaller images than the largest get them at their own size."""
    if one.image_size >= size or one.preprocessing.size:
        return one
    return replace(one, preprocessing=replace(one.preprocessing, size=one.image_size))


def _from_plan(
    path: Path,
    models: list[str] | None,
    image_size: int | None,
    classes: int,
    asked: StrategyOptions,
) -> tuple[Ingredients, Plan]:
    """Read the plan and open the sources that it names."""
    from convgraft.compose import open_sources
    from convgraft.errors import UsageError
    from convgraft.plan import read_plan
    from convgraft.strategies import Ingredients

    if models:
        raise UsageError("a plan names its own networks", hint="--plan or --models, not both")
    plan = read_plan(path).with_classes(classes)
    if image_size:
        plan = replace(plan, image_size=image_size)
    sources = open_sources(plan)
    return Ingredients(sources, plan.image_size, classes, asked), plan


def _check(arm: Arm, classes: int) -> None:
    """Every problem of every plan, and of its freeze policy's names, before any image is read."""
    from convgraft.compose import check
    from convgraft.errors import UsageError

    check(arm.plan, arm.sources)
    for head in arm.plan.heads:
        if head.classes not in (None, classes):
            raise UsageError(
                f'head "{head.name}" tells {head.classes} classes apart',
                expected=f"{classes}, as the data has",
            )


def _config(arms: list[Arm], options: FitOptions, images: ImageSet, split: Split) -> dict[str, Any]:
    """What makes this run this run: two commands with the same are the same."""
    return {
        "arms": {arm.name: [str(arm.plan), list(map(list, arm.policy.rules))] for arm in arms},
        "options": asdict(options),
        "data": images.fingerprint,
        "training_images": len(split.train),
    }


def _run(
    arms: list[Arm],
    given: Ingredients,
    task: Task,
    options: FitOptions,
    folder: RunFolder,
    report: Any,
    freeze: str,
) -> list[Row]:
    """Train every arm, then test every arm, then write."""
    from convgraft.cli import pipeline

    trained = [pipeline.train_arm(arm, task, options, folder, report) for arm in arms]
    votes = pipeline.averages(given, trained)
    rows = pipeline.measure_arms(task, trained, votes)
    facts = {**pipeline.data_facts(task), **pipeline.fit_facts(arms[0].name, freeze, options)}
    pipeline.write_run(folder, task, trained, votes, rows, facts)
    return rows
