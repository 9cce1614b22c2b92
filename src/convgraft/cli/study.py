"""`convgraft study NAME DATA --models A B`: many arms, sizes and seeds on one protocol."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from convgraft.cli.console import print_json, print_table, progress, say

NAME_HELP = "strategies, fixed-filters, directions, matching, ladder, co-learning or stitches."


def study(
    name: Annotated[str, typer.Argument(metavar="NAME", help=NAME_HELP)],
    data: Annotated[str, typer.Argument(metavar="DATA", help="Class folders, Parquet, or digits.")],
    models: Annotated[
        list[str], typer.Option(metavar="SOURCE SOURCE ...", help="ARCH\\[@WEIGHTS] each.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the study.")],
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Side in pixels; the networks' own by default.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Label column of a Parquet set; several: multi-task.")
    ] = None,
    label_map: Annotated[
        Path | None, typer.Option(help="File of further label columns made from the classes.")
    ] = None,
    limits: Annotated[
        list[str] | None,
        typer.Option(metavar="K ... all", help="Numbers of training images; all by default."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from 0.")] = 1,
    epochs: Annotated[
        list[str] | None,
        typer.Option(metavar="N or K=N ...", help="For all, or by limit: 400=20 all=6."),
    ] = None,
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
    freeze: Annotated[
        str, typer.Option(help="A preset or policy file for every arm whose networks learn.")
    ] = "",
    only: Annotated[list[str] | None, typer.Option(metavar="ARM ...", help="Some arms.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that augment images.")] = 0,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, gpu or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="Lightning's word, e.g. bf16-mixed.")] = "32-true",
    strict: Annotated[
        bool, typer.Option(help="Stop at a broken image, and at a picture in two parts.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
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
    from convgraft.cli import fit_steps, study_outcome, study_steps
    from convgraft.cli.leak_check import leak_notes, leaks_of
    from convgraft.data import open_images
    from convgraft.report import SHORT_HEADER, failure_words, short_cells
    from convgraft.studies import Cell, StudyStore, find_study, run_study
    from convgraft.training import FitOptions

    chosen = replace(find_study(name), freeze=freeze, only=tuple(only or ()))
    sizes = study_steps.read_limits(limits or [])
    options = FitOptions(
        batch_size=batch_size, lr=lr, weight_decay=weight_decay, optimiser=optimizer,
        schedule=schedule, label_smoothing=label_smoothing, augment=augment, views=views,
        patience=patience, workers=workers, accelerator=accelerator, precision=precision,
    )  # fmt: skip
    images = open_images(data, target=target or None, label_map=label_map)
    setting = study_steps.Setting(
        chosen, images, models, image_size, options,
        study_steps.read_epochs(epochs or ["10"], sizes), strict,
        fit_steps.open_store(cache, cache_dtype),
    )  # fmt: skip
    cells = [Cell(limit, seed) for limit in sizes for seed in range(seeds)]
    config = study_steps.check_study(setting, cells)
    leaks = leaks_of(images, cells, strict=strict)
    for note in leak_notes(leaks, len(cells)):
        say(note)
    store = StudyStore.claim(out, config)
    if store.lines:
        say(f"going on with the {len(store.lines)} results in {out}")
    with progress() as report:
        run_study(
            chosen,
            cells,
            lambda cell: setting.open_cell(cell, report),
            setting.options_of,
            store,
            report,
        )
    outcome = study_outcome.outcome_of(store, leaks, len(cells))
    study_outcome.write_files(out, f"{name}: {chosen.words}", outcome)
    if json:
        print_json(study_outcome.as_data(out, chosen, outcome))
        return
    print_table(f"{name} on {data}", SHORT_HEADER, short_cells(outcome.arms))
    for line in (*outcome.verdict, *failure_words(outcome.failed)):
        say(line)
    say(f"saved in {out}: results.jsonl, table.md, summary.md, figure.png, figure.svg")
