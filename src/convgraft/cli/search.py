"""`convgraft search DATA --models A B`: the best way of combining networks within a budget."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from convgraft.cli import options as said
from convgraft.cli.console import print_json, print_table, progress, say
from convgraft.cli.recorded_command import record_command


def search(
    data: Annotated[str, typer.Argument(metavar="DATA", help=said.DATA_HELP)],
    models: Annotated[list[str], said.MODELS],
    out: Annotated[Path, typer.Option(help="Folder for the search.")],
    image_size: Annotated[
        int | None,
        typer.Option(min=1, help="Side in pixels; networks made for smaller images keep theirs."),
    ] = None,
    target: Annotated[str | None, typer.Option(help="Label column of a Parquet set.")] = None,
    limit: Annotated[int | None, typer.Option(help="Use K training images, stratified.")] = None,
    max_macs: Annotated[
        str | None, typer.Option(help="Of one image, e.g. 200M, 1.5G or 2e8.")
    ] = None,
    max_latency: Annotated[
        float | None, typer.Option(help="Of one image on this machine's CPU, in milliseconds.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="Of work, over all calls together.")] = 10.0,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many, even if there is time.")
    ] = None,
    batch_size: Annotated[int, typer.Option()] = 32,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that augment images.")] = 0,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, gpu or mps.")] = "auto",
    strict: Annotated[bool, typer.Option(help="Stop at a broken image.")] = False,
    stream: said.Stream = False,
    jobs: said.Jobs = None,
    ray: said.OnRay = None,
    cpus_per_arm: said.CpusPerArm = None,
    gpus_per_arm: said.GpusPerArm = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search strategies, subsets of the networks, taps, adapters and heads for the best join.

    Every network runs once over the images; closed forms then predict what heads on them are
    worth, and what is promising is trained until the minutes are up. All choices are made on the
    validation part; the test part is read once, for the point that is chosen.

    Example: convgraft search pictures/ --models torchvision/resnet18@a.safetensors
    timm/mobilenetv3_small_100@b.safetensors --image-size 100 --minutes 10 --out searches/x

    The same command goes on where it stopped.
    """
    from convgraft.cli import search_steps
    from convgraft.cli.jobs import read_spreading, working
    from convgraft.cli.leak_check import tell_copies
    from convgraft.cli.search_bench import open_bench
    from convgraft.report.front import FRONT_HEADER, front_cells, front_words
    from convgraft.studies.search import Batches, Ceiling, Rules, import_optuna
    from convgraft.training import FitOptions

    import_optuna()
    spreading = read_spreading(jobs, ray, cpus_per_arm, gpus_per_arm)
    options = FitOptions(batch_size=batch_size, seed=seed, workers=workers, accelerator=accelerator)
    ceiling = Ceiling(search_steps.read_macs(max_macs), search_steps.read_latency(max_latency))
    rules = Rules(search_steps.read_minutes(minutes), ceiling, trials, options)
    asked = (data, models, image_size, target, limit, rules, strict, stream)
    setting = search_steps.open_setting(*asked)
    tell_copies(setting.images, setting.split)
    store = search_steps.claim(out, setting)
    record_command(out)
    if store.lines:
        say(f"going on with the {len(store.lines)} trials in {out}")
    if store.chosen:
        say("its point is chosen, and the test part may have been read: nothing more is trained")
    told = (*asked, setting.images.fingerprint)
    with working(spreading, accelerator) as others, progress() as report:
        batches = Batches(others, partial(open_bench, *told)) if others else None
        found = search_steps.find_best(setting, store, report, batches)
    search_steps.write_files(out, data, found)
    if json:
        print_json(found.as_data(out))
        return
    print_table(f"{data}: accuracy against cost", FRONT_HEADER, front_cells(found.front))
    for line in front_words(found.as_data(out)):
        say(line)
    say(f"saved in {found.folder}; next: convgraft evaluate {found.folder} {data}")
