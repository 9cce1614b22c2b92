"""`convgraft compare DATA --models A B --strategies S T`: ways of combining, beside baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convgraft.cli import options as said
from convgraft.cli.completion import STRATEGIES, one_of


def compare(
    what: Annotated[
        str | None,
        typer.Argument(metavar="DATA|STUDY.yaml", help=f"{said.DATA_HELP} Or a study file."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the study; that of STUDY.yaml if it lies in one."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Other images than the study file names.")
    ] = None,
    models: Annotated[list[str] | None, said.MODELS] = None,
    strategies: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ARM ARM ...",
            help="STRATEGY\\[:KEY=VALUE,KEY=VALUE] each.",
            autocompletion=one_of(STRATEGIES),
        ),
    ] = None,
    baselines: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME ...",
            help="probe, finetune, own, distilled, equal-cost, random-front; all but own.",
        ),
    ] = None,
    image_size: said.ImageSize = None,
    target: said.Target = None,
    label_map: said.LabelMap = None,
    limits: said.Limits = None,
    seeds: said.Seeds = None,
    epochs: said.Epochs = None,
    budget_seconds: Annotated[
        float | None,
        typer.Option(help="Of training for each arm: as many epochs as fit, at most --epochs."),
    ] = None,
    freeze: said.Freeze = None,
    only: said.Only = None,
    batch_size: said.BatchSize = None,
    lr: said.LearningRate = None,
    weight_decay: said.WeightDecay = None,
    optimizer: said.Optimizer = None,
    schedule: said.Schedule = None,
    label_smoothing: said.LabelSmoothing = None,
    augment: said.Augment = None,
    views: said.Views = None,
    patience: said.Patience = None,
    workers: said.Workers = None,
    accelerator: said.Accelerator = None,
    precision: said.Precision = None,
    cache: said.KeepFrozen = True,
    strict: said.Strict = False,
    stream: said.Stream = False,
    jobs: said.Jobs = None,
    ray: said.OnRay = None,
    cpus_per_arm: said.CpusPerArm = None,
    gpus_per_arm: said.GpusPerArm = None,
    json: said.AsJson = False,
) -> None:
    """Compare ways of combining networks with each other and with what they have to beat.

    The same splits, seeds and epochs for every arm. Beside the arms stand each network's probe and
    fine-tune, their average votes, each network taught by the vote (distilled), each on images so
    large that it costs as much as the dearest join (equal-cost), and a random front under every
    stitch.

    Example: convgraft compare pictures/ --models A B --strategies cross-skip cross-skip:start=one
    ladder parallel:fusion=attention --limits 100 400 all --seeds 5 --out studies/joins

    The same command goes on where it stopped; more limits, seeds and arms may be added. What was
    asked for is kept there as study.yaml: convgraft compare studies/joins/study.yaml goes on with
    it, or with another --out does it again. Options overrule what a study file says.
    """
    from convgraft.cli import compare_steps, study_steps, study_work
    from convgraft.cli.jobs import read_spreading

    spreading = read_spreading(jobs, ray, cpus_per_arm, gpus_per_arm)
    training = study_steps.read_training({
        "batch_size": batch_size, "lr": lr, "weight_decay": weight_decay, "optimiser": optimizer,
        "schedule": schedule, "label_smoothing": label_smoothing, "augment": augment,
        "views": views, "patience": patience, "workers": workers, "accelerator": accelerator,
        "precision": precision, "budget_seconds": budget_seconds,
    })  # fmt: skip
    told = compare_steps.Told(
        what, out, data, models or (), strategies or (), baselines, image_size, target or (),
        label_map, limits or (), seeds, epochs or (), freeze, training,
    )  # fmt: skip
    asked = compare_steps.read_asked(told)
    setting = compare_steps.open_setting(
        asked, only or (), cache=cache, strict=strict, stream=stream
    )
    study_work.carry_out(setting, asked.out, json=json, claim=asked.claim, spreading=spreading)
