"""`convgraft study NAME DATA --models A B`: many arms, sizes and seeds on one protocol."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from convgraft.cli import options as said
from convgraft.cli.completion import STUDIES, one_of

NAME_HELP = "strategies, fixed-filters, directions, matching, ladder, co-learning or stitches."


def study(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help=NAME_HELP, autocompletion=one_of(STUDIES))
    ],
    data: Annotated[str, typer.Argument(metavar="DATA", help=said.DATA_HELP)],
    models: Annotated[list[str], said.MODELS],
    out: Annotated[Path, typer.Option(help="Folder for the study.")],
    image_size: said.ImageSize = None,
    target: said.Target = None,
    label_map: said.LabelMap = None,
    limits: said.Limits = None,
    seeds: said.Seeds = None,
    epochs: said.Epochs = None,
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
    freeze: said.Freeze = None,
    only: said.Only = None,
    workers: said.Workers = None,
    accelerator: said.Accelerator = None,
    precision: said.Precision = None,
    strict: said.Strict = False,
    stream: said.Stream = False,
    jobs: said.Jobs = None,
    ray: said.OnRay = None,
    cpus_per_arm: said.CpusPerArm = None,
    gpus_per_arm: said.GpusPerArm = None,
    json: said.AsJson = False,
) -> None:
    """Compare many arms on one protocol, over training-set sizes and seeds.

    strategies: every way of combining, once, with its defaults.
    fixed-filters: will it learn if the kernels stay constant? (the first network)
    directions: cross-skip wires both ways, forward or backward, gated or raw.
    matching: cross-skip wires between taps paired by shape, or by likeness and warm.
    ladder: a head over all taps of frozen networks, against heads on their features.
    co-learning: networks that teach each other, against each fine-tuned alone.
    stitches: one network's front on the other's back, beside a random front.

    Example: convgraft study co-learning pictures/ --models A B --limits 400 all --seeds 5
    --epochs 400=20 all=6 --freeze all --out studies/co

    The same command goes on where it stopped; more limits, seeds and arms may be added.
    """
    from convgraft.cli import fit_steps, study_steps, study_work
    from convgraft.cli.jobs import read_spreading
    from convgraft.cli.opening import opened
    from convgraft.studies import find_study
    from convgraft.studies.opening import DataPlace

    spreading = read_spreading(jobs, ray, cpus_per_arm, gpus_per_arm)
    chosen = replace(find_study(name), freeze=freeze or "", only=tuple(only or ()))
    sizes = study_steps.read_limits(limits or [])
    options = study_steps.read_training({
        "batch_size": batch_size, "lr": lr, "weight_decay": weight_decay, "optimiser": optimizer,
        "schedule": schedule, "label_smoothing": label_smoothing, "augment": augment,
        "views": views, "patience": patience, "workers": workers, "accelerator": accelerator,
        "precision": precision,
    })  # fmt: skip
    place = DataPlace(data, tuple(target or ()), label_map, stream)
    setting = study_steps.Setting(
        study=chosen,
        images=opened(place.open),
        models=models,
        image_size=image_size,
        options=study_steps.fit_options(options),
        epochs=study_steps.read_epochs(epochs or ["10"], sizes),
        seeds=study_steps.read_seeds(seeds or "1"),
        strict=strict,
        store=fit_steps.open_store(cache, cache_dtype),
        place=place,
    )
    study_work.carry_out(setting, out, json=json, spreading=spreading)
