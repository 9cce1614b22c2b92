"""`convgraft fit DATA --models A B`: join networks, train the join, compare it, keep it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convgraft.cli.console import (
    RESULT_HEADER,
    print_json,
    print_table,
    progress,
    result_rows,
    say,
)

STRATEGY_HELP = "cross-skip (default), parallel, probe or finetune."


def fit(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Class folders, Parquet, or digits.")],
    out: Annotated[Path, typer.Option(help="Folder for the run.")],
    models: Annotated[
        list[str] | None, typer.Option(metavar="SOURCE SOURCE ...", help="ARCH\\[@WEIGHTS] each.")
    ] = None,
    strategy: Annotated[str | None, typer.Option(help=STRATEGY_HELP)] = None,
    plan: Annotated[Path | None, typer.Option(help="A plan file instead of --models.")] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Side in pixels; the networks' own by default.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Label column of a Parquet set.")] = None,
    limit: Annotated[int | None, typer.Option(help="Use K training images, stratified.")] = None,
    freeze: Annotated[str | None, typer.Option(help="Preset or policy file.")] = None,
    start: Annotated[
        str | None, typer.Option(help="How wires begin: zero (default), or one (the paper).")
    ] = None,
    hidden: Annotated[
        str | None, typer.Option(help="Hidden widths of the head, e.g. 256,64.")
    ] = None,
    dropout: Annotated[float | None, typer.Option(help="Before the classifier.")] = None,
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
    from convgraft.cli import fit_steps, pipeline
    from convgraft.cli.run_folder import claim
    from convgraft.report import verdict
    from convgraft.training import FitOptions, Task

    options = FitOptions(
        epochs=epochs, batch_size=batch_size, lr=lr, weight_decay=weight_decay,
        optimiser=optimizer, schedule=schedule, label_smoothing=label_smoothing, augment=augment,
        patience=patience, seed=seed, workers=workers, accelerator=accelerator, precision=precision,
    )  # fmt: skip
    images, split = fit_steps.open_data(data, target, limit, seed, augment)
    asked = fit_steps.Asked(models, plan, strategy, image_size, freeze, start, hidden, dropout)
    given, arms = fit_steps.plan_arms(asked, len(images.classes), seed, baselines)
    fit_steps.check_arms(arms, given, len(images.classes), out)
    folder = claim(out, fit_steps.config(arms, options, images, split), overwrite=overwrite)
    if folder.resumed:
        say(f"going on with the unfinished run in {out}")
    with progress() as report:
        task = Task(images, split, given.image_size, strict=strict, on_progress=report)
        rows = pipeline.run_arms(arms, given, task, options, folder, report)
    for image in task.broken:
        say(f"left out: {image.id} {image.reason}")
    told = verdict([row.as_dict() for row in rows], joins=[arms[0].name]) if baselines else ""
    if json:
        print_json(fit_steps.summary(out, arms[0], options, task, rows, told))
        return
    print_table(f"{data}: {len(split.train)} training images", RESULT_HEADER, result_rows(rows))
    if told:
        say(told)
    say(f"saved in {out}; next: convgraft predict {out} IMAGE, or convgraft explain {out}")
