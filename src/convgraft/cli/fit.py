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

STRATEGY_HELP = (
    "cross-skip (default), stitch, parallel, cascade, multitask, ensemble, ladder, fixed-filters, "
    "distil, probe or finetune."
)
LOSS_HELP = "task, co-learning, mse, final, two-stage or distil; the strategy's own by default."
FREEZE_HELP = (
    "heads-only, adapters-only, discriminative, frozen-statistics, layer-decay, lp-ft, gradual, "
    "all, or a policy file."
)


def fit(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Class folders, Parquet, or digits.")],
    out: Annotated[Path, typer.Option(help="Folder for the run.")],
    models: Annotated[
        list[str] | None, typer.Option(metavar="SOURCE SOURCE ...", help="ARCH\\[@WEIGHTS] each.")
    ] = None,
    strategy: Annotated[str, typer.Option(help=STRATEGY_HELP)] = "",
    plan: Annotated[Path | None, typer.Option(help="A plan file instead of --models.")] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Side in pixels; the networks' own by default.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Label column of a Parquet set; several: multi-task.")
    ] = None,
    label_map: Annotated[
        Path | None, typer.Option(help="File of further label columns made from the classes.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Use K training images, stratified.")] = None,
    freeze: Annotated[str, typer.Option(help=FREEZE_HELP)] = "",
    loss: Annotated[str, typer.Option(help=LOSS_HELP)] = "",
    start: Annotated[
        str | None, typer.Option(help="How wires begin: zero (default), or one (the paper).")
    ] = None,
    hidden: Annotated[
        str | None, typer.Option(help="Hidden widths of the head, e.g. 256,64.")
    ] = None,
    dropout: Annotated[float | None, typer.Option(help="Before the classifier.")] = None,
    fusion: Annotated[
        str | None, typer.Option(help="concat, sum, mean, attention, se or bilinear.")
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="Of a ladder: linear, ridge, mlp or side.")
    ] = None,
    vote: Annotated[str | None, typer.Option(help="Of an ensemble: average, weighted, ...")] = None,
    taps: Annotated[str | None, typer.Option(help="Selection of the taps to use.")] = None,
    at: Annotated[str | None, typer.Option(help="Where to stitch: TAP or TAP:TAP.")] = None,
    adapter: Annotated[
        str | None, typer.Option(help="identity, conv1x1, block, cnn, residual, dense, ridge, ...")
    ] = None,
    classifier: Annotated[
        str | None, typer.Option(help="new, or own: the last network knows the classes.")
    ] = None,
    pairs: Annotated[
        str | None, typer.Option(help="Pair taps by shape, or by likeness on training images.")
    ] = None,
    direction: Annotated[
        str | None, typer.Option(help="Of cross-skip: both, forward or backward.")
    ] = None,
    via: Annotated[
        str | None, typer.Option(help="Of a cascade: map, features or probabilities.")
    ] = None,
    into: Annotated[str | None, typer.Option(help="The tap that a cascade arrives at.")] = None,
    join: Annotated[
        str | None, typer.Option(help="Of a cascade: replace, add, gate or concat.")
    ] = None,
    filters: Annotated[
        str | None, typer.Option(help="Fixed kernels, e.g. gaussian, sobel, gabor, random.")
    ] = None,
    learn_filters: Annotated[bool, typer.Option(help="Train the kernels too.")] = False,
    random_front: Annotated[
        bool, typer.Option("--random-front", help="Also stitch to an untrained front.")
    ] = False,
    balance: Annotated[
        str, typer.Option(help="Of several tasks: constant, uncertainty or gradnorm.")
    ] = "constant",
    task_weights: Annotated[
        str | None, typer.Option(help="By label column, e.g. fine=1,coarse=0.5.")
    ] = None,
    epochs: Annotated[int, typer.Option()] = 10,
    batch_size: Annotated[int, typer.Option()] = 32,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    weight_decay: Annotated[float, typer.Option()] = 1e-2,
    optimizer: Annotated[str, typer.Option(help="adamw or sgd.")] = "adamw",
    schedule: Annotated[str, typer.Option(help="cosine, one-cycle or constant.")] = "cosine",
    label_smoothing: Annotated[float, typer.Option()] = 0.0,
    augment: Annotated[
        str,
        typer.Option(help="none, light, standard, digits; auto: light where networks learn."),
    ] = "auto",
    views: Annotated[
        int | None,
        typer.Option(min=0, help="Augmented versions that frozen parts run over once; 0: none."),
    ] = None,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep what frozen parts compute.")
    ] = True,
    cache_dtype: Annotated[
        str, typer.Option(help="float32, bfloat16, float16 or int8.")
    ] = "float32",
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
    from convgraft.cli import fit_checks, fit_steps, pipeline
    from convgraft.cli.run_folder import claim
    from convgraft.data import find_leaks, leak_words
    from convgraft.report import verdict
    from convgraft.studies import Design
    from convgraft.training import FitOptions, Task

    store = fit_steps.open_store(cache, cache_dtype)
    options = FitOptions(
        epochs=epochs, batch_size=batch_size, lr=lr, weight_decay=weight_decay,
        optimiser=optimizer, schedule=schedule, label_smoothing=label_smoothing, augment=augment,
        views=views, patience=patience, seed=seed, workers=workers, accelerator=accelerator,
        precision=precision,
    )  # fmt: skip
    chosen, said = fit_steps.read_options({
        "start": start, "hidden": hidden, "dropout": dropout, "fusion": fusion, "head": head,
        "vote": vote, "taps": taps, "at": at, "adapter": adapter, "classifier": classifier,
        "direction": direction, "pairs": pairs, "via": via, "into": into, "join": join,
        "filters": filters,
    })  # fmt: skip
    named = strategy or ("" if plan else fit_steps.DEFAULT_STRATEGY)
    images, split = fit_steps.open_data(data, target, label_map, limit, seed, augment)
    weights = fit_steps.read_weights(task_weights, images.target or "label")
    design = Design(named, chosen, said, freeze, loss, balance, weights, learn_filters)
    asked = fit_steps.Asked(models, plan, image_size, design, random_front)
    given, arms = fit_steps.plan_arms(asked, images, seed, baselines)
    fit_checks.check_data(arms[0], given.sources, images, split, planned=plan is not None)
    fit_checks.check_arms(arms, given, images, options, out)
    fit_steps.check_likeness(chosen.pairs, split)
    if leaks := leak_words(find_leaks(images, split)):
        say(leaks)
    run_config = fit_steps.config(arms, options, images, split, chosen.pairs, store)
    folder = claim(out, run_config, overwrite=overwrite)
    if arms[0].solved:
        say(f"{arms[0].name} is solved in closed form: no gradient step is taken")
    if folder.resumed:
        say(f"going on with the unfinished run in {out}")
    with progress() as report:
        task = Task(images, split, given.image_size, strict=strict, cache=store, on_progress=report)
        arms = fit_steps.with_likeness(arms, asked, given, task, seed)
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
    if work := fit_steps.frozen_work(task):
        say(work)
    say(f"saved in {out}; next: convgraft predict {out} IMAGE, or convgraft explain {out}")
