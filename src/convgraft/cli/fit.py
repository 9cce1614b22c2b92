"""`convgraft fit DATA --models A B`: join networks, train the join, compare it, keep it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convgraft.cli import options as said
from convgraft.cli.completion import FUSIONS, LOSSES, PRESETS, STRATEGIES, one_of
from convgraft.cli.console import progress, say

JOINING = "One way of combining or another"  # a panel of --help
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
    data: Annotated[str, typer.Argument(metavar="DATA", help=said.DATA_HELP)],
    out: Annotated[Path, typer.Option(help="Folder for the run.")],
    models: Annotated[list[str] | None, said.MODELS] = None,
    strategy: Annotated[
        str, typer.Option(help=STRATEGY_HELP, autocompletion=one_of(STRATEGIES))
    ] = "",
    plan: Annotated[Path | None, typer.Option(help="A plan file instead of --models.")] = None,
    image_size: said.ImageSize = None,
    target: said.Target = None,
    label_map: said.LabelMap = None,
    limit: Annotated[int | None, typer.Option(help="Use K training images, stratified.")] = None,
    freeze: Annotated[
        str,
        typer.Option(
            help=FREEZE_HELP, autocompletion=one_of(PRESETS), rich_help_panel=said.TRAINING
        ),
    ] = "",
    loss: Annotated[
        str,
        typer.Option(help=LOSS_HELP, autocompletion=one_of(LOSSES), rich_help_panel=said.TRAINING),
    ] = "",
    start: Annotated[
        str | None,
        typer.Option(
            help="How wires begin: zero (default), or one (the paper).", rich_help_panel=JOINING
        ),
    ] = None,
    hidden: Annotated[
        str | None,
        typer.Option(help="Hidden widths of the head, e.g. 256,64.", rich_help_panel=JOINING),
    ] = None,
    dropout: Annotated[
        float | None, typer.Option(help="Before the classifier.", rich_help_panel=JOINING)
    ] = None,
    fusion: Annotated[
        str | None,
        typer.Option(
            help="concat, sum, mean, attention, se or bilinear.",
            autocompletion=one_of(FUSIONS),
            rich_help_panel=JOINING,
        ),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(help="Of a ladder: linear, ridge, mlp or side.", rich_help_panel=JOINING),
    ] = None,
    vote: Annotated[
        str | None,
        typer.Option(help="Of an ensemble: average, weighted, ...", rich_help_panel=JOINING),
    ] = None,
    taps: Annotated[
        str | None, typer.Option(help="Selection of the taps to use.", rich_help_panel=JOINING)
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="Where to stitch: TAP or TAP:TAP.", rich_help_panel=JOINING)
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            help="identity, conv1x1, block, cnn, residual, dense, ridge, ...",
            rich_help_panel=JOINING,
        ),
    ] = None,
    classifier: Annotated[
        str | None,
        typer.Option(
            help="new, or own: the last network knows the classes.", rich_help_panel=JOINING
        ),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option(
            help="Pair taps by shape, or by likeness on training images.", rich_help_panel=JOINING
        ),
    ] = None,
    direction: Annotated[
        str | None,
        typer.Option(help="Of cross-skip: both, forward or backward.", rich_help_panel=JOINING),
    ] = None,
    via: Annotated[
        str | None,
        typer.Option(help="Of a cascade: map, features or probabilities.", rich_help_panel=JOINING),
    ] = None,
    into: Annotated[
        str | None, typer.Option(help="The tap that a cascade arrives at.", rich_help_panel=JOINING)
    ] = None,
    join: Annotated[
        str | None,
        typer.Option(help="Of a cascade: replace, add, gate or concat.", rich_help_panel=JOINING),
    ] = None,
    filters: Annotated[
        str | None,
        typer.Option(
            help="Fixed kernels, e.g. gaussian, sobel, gabor, random.", rich_help_panel=JOINING
        ),
    ] = None,
    learn_filters: Annotated[
        bool, typer.Option(help="Train the kernels too.", rich_help_panel=JOINING)
    ] = False,
    random_front: Annotated[
        bool,
        typer.Option(
            "--random-front", help="Also stitch to an untrained front.", rich_help_panel=JOINING
        ),
    ] = False,
    balance: Annotated[
        str,
        typer.Option(
            help="Of several tasks: constant, uncertainty or gradnorm.", rich_help_panel=JOINING
        ),
    ] = "constant",
    task_weights: Annotated[
        str | None,
        typer.Option(help="By label column, e.g. fine=1,coarse=0.5.", rich_help_panel=JOINING),
    ] = None,
    epochs: Annotated[int, typer.Option()] = 10,
    batch_size: said.BatchSize = None,
    lr: said.LearningRate = None,
    weight_decay: said.WeightDecay = None,
    optimizer: said.Optimizer = None,
    schedule: said.Schedule = None,
    label_smoothing: said.LabelSmoothing = None,
    augment: said.Augment = None,
    views: said.Views = None,
    cache: said.KeepFrozen = True,
    cache_dtype: said.StoredAs = "float32",
    patience: said.Patience = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    workers: said.Workers = None,
    accelerator: said.Accelerator = None,
    precision: said.Precision = None,
    compile: said.Compile = False,
    devices: said.Devices = None,
    num_nodes: said.NumNodes = None,
    node_rank: said.NodeRank = None,
    master: said.Master = None,
    strategy_dist: said.StrategyDist = "auto",
    checkpoint_minutes: said.CheckpointMinutes = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Also train each network alone, and average them.")
    ] = False,
    logger: Annotated[
        list[str] | None,
        typer.Option(
            help="csv, tensorboard or MODULE:CLASS; several: each is told.",
            rich_help_panel=said.TRAINING,
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option(help="Stop at a broken image.", rich_help_panel=said.IMAGES)
    ] = False,
    stream: said.Stream = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a run that lies there.")] = False,
    json: said.AsJson = False,
) -> None:
    """Join networks, train the join on your images, compare it, and keep it as one artifact.

    Example: convgraft fit pictures/ --models torchvision/resnet18@a.safetensors
    timm/mobilenetv3_small_100@b.safetensors --image-size 100 --baselines --out runs/x
    """
    from convgraft.cli import launch
    from convgraft.cli.ranks import Launch

    launch.begin(Launch(devices or 1, num_nodes or 1, node_rank, master, strategy_dist))

    from convgraft.cli import fit_checks, fit_outcome, fit_steps, pipeline, study_steps
    from convgraft.cli.leak_check import tell_copies
    from convgraft.cli.run_over_ranks import claim_for_all
    from convgraft.studies import Design
    from convgraft.training import Task
    from convgraft.training.loggers import find_loggers

    loggers = find_loggers(logger or [])
    store = fit_steps.open_store(cache, cache_dtype)
    options = study_steps.fit_options(study_steps.read_training({
        "epochs": epochs, "batch_size": batch_size, "lr": lr, "weight_decay": weight_decay,
        "optimiser": optimizer, "schedule": schedule, "label_smoothing": label_smoothing,
        "augment": augment, "views": views, "patience": patience, "seed": seed,
        "workers": workers, "accelerator": accelerator, "precision": precision,
        "compile": compile or None, "checkpoint_minutes": checkpoint_minutes,
    }))  # fmt: skip
    chosen, asked_for = fit_steps.read_options({
        "start": start, "hidden": hidden, "dropout": dropout, "fusion": fusion, "head": head,
        "vote": vote, "taps": taps, "at": at, "adapter": adapter, "classifier": classifier,
        "direction": direction, "pairs": pairs, "via": via, "into": into, "join": join,
        "filters": filters,
    })  # fmt: skip
    named = strategy or ("" if plan else fit_steps.DEFAULT_STRATEGY)
    opened = (data, target, label_map, limit, seed, options.augment, stream)
    images, split = fit_steps.open_data(*opened)
    weights = fit_steps.read_weights(task_weights, images.target or "label")
    design = Design(named, chosen, asked_for, freeze, loss, balance, weights, learn_filters)
    asked = fit_steps.Asked(models, plan, image_size, design, random_front)
    given, arms = fit_steps.plan_arms(asked, images, seed, baselines)
    fit_checks.check_data(arms[0], given.sources, images, split, planned=plan is not None)
    fit_checks.check_arms(arms, given, images, options, out)
    fit_steps.check_likeness(chosen.pairs, split)
    tell_copies(images, split)
    run_config = fit_steps.config(arms, options, images, split, chosen.pairs, store)
    folder = claim_for_all(out, run_config, overwrite=overwrite)
    if arms[0].solved:
        say(f"{arms[0].name} is solved in closed form: no gradient step is taken")
    if folder.resumed:
        say(f"going on with the unfinished run in {out}")
    with progress() as report:
        task = Task(images, split, given.image_size, strict=strict, cache=store, on_progress=report)
        arms = fit_steps.with_likeness(arms, asked, given, task, seed)
        rows = pipeline.run_arms(arms, given, task, options, folder, report, loggers)
    for image in task.broken:
        say(f"left out: {image}")
    if not folder.is_ours:
        return  # another rank tells
    fit_outcome.tell(data, out, arms[0], options, task, rows, folder, json=json)
