"""`convgraft evaluate RUN|SOURCE DATA`: how good a run, or one network, is on labelled images."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convgraft.cli import options as said
from convgraft.cli.console import percent, print_json, print_table, progress, say

if TYPE_CHECKING:
    from convgraft.compose import Composite
    from convgraft.data import ImageSet, Pixels
    from convgraft.data.columns import Labels


def evaluate(
    network: Annotated[
        str, typer.Argument(metavar="RUN|SOURCE", help="A run folder or ARCH@WEIGHTS.")
    ],
    data: Annotated[str, typer.Argument(metavar="DATA", help=said.DATA_HELP)],
    target: Annotated[
        list[str] | None, typer.Option(help="Label column of a Parquet set, the main one first.")
    ] = None,
    label_map: Annotated[
        Path | None, typer.Option(help="File of further label columns made from the classes.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="train, val or test; the run's own test part by default.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="For a SOURCE: side in pixels.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 128,
    strict: Annotated[bool, typer.Option(help="Stop at a broken image.")] = False,
    stream: said.Stream = False,
    trust_python: Annotated[
        bool, typer.Option(help="Let the run import its python: sources, that is, run code.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure top-1, balanced accuracy, NLL and calibration of a run or a single network.

    Example: convgraft evaluate runs/x pictures/ --split test
    """
    from convgraft.cli.opening import opened
    from convgraft.data import open_images
    from convgraft.training import evaluate as measure

    folder = Path(network)
    images = opened(
        lambda told: open_images(data, target=target, label_map=label_map, on_progress=told)
    )
    if folder.is_dir():
        composite, orders = _open_run(folder, images, trust_python)
    else:
        composite, orders = _open_source(network, images, image_size), {}
    indices, part = _choose_part(images, split, folder)
    with progress() as report:
        chosen = _relabelled(replace(images, streams=stream or images.streams), orders)
        pixels = _pixels(chosen, composite.plan.image_size, indices, strict, report)
        metrics = measure(
            composite,
            pixels,
            batch_size=batch_size,
            on_progress=lambda done, total: report("evaluate", done, total),
        )
    for image in pixels.broken:
        say(f"left out: {image}")
    main = metrics[composite.plan.answer]
    if json:
        others = {name: m.as_dict() for name, m in metrics.items() if name != composite.plan.answer}
        print_json(
            {
                "network": network,
                "data": data,
                "part": part,
                "broken": len(pixels.broken),
                **main.as_dict(),
                "others": others,
            }
        )
        return
    header = ("answer", "images", "top-1", "balanced", "NLL", "ECE")
    rows = [
        [name, m.images, percent(m.top1), percent(m.balanced), f"{m.nll:.4f}", f"{m.ece:.4f}"]
        for name, m in metrics.items()
    ]
    print_table(f"{network} on {data} ({part})", header, rows)
    say(f"next: {_next_step(network, data)}")


def _next_step(network: str, data: str) -> str:
    """The command that goes on from here: of a run its page, of a network alone a join."""
    run = shlex.quote(network)
    if Path(network).is_dir():
        return f"convgraft report {run} --open, or convgraft export {run}"
    return (
        f"convgraft fit {shlex.quote(data)} --models {run} B --baselines --out RUN, "
        "where B is another network"
    )


def _open_run(
    folder: Path, images: ImageSet, trust_python: bool
) -> tuple[Composite, dict[str, list[int]]]:
    """The run's network, and by label column each class's place among the run's classes."""
    from convgraft.export import load

    run = load(folder, trust_python=trust_python)
    others = {name: c.classes for name, c in images.others.items() if name in run.columns}
    orders = {name: _order(run.columns[name], classes) for name, classes in others.items()}
    return run.composite, {"": _order(run.labels, images.classes), **orders}


def _order(known: Sequence[str], classes: Sequence[str]) -> list[int]:
    from convgraft.errors import DataError

    unknown = [name for name in classes if name not in known]
    if unknown:
        raise DataError(
            f'the run does not know the class "{unknown[0]}"',
            expected=", ".join(known[:10]),
            found=", ".join(classes[:10]),
        )
    return [list(known).index(name) for name in classes]


def _open_source(network: str, images: ImageSet, image_size: int | None) -> Composite:
    from convgraft.compose import compose, source_ref
    from convgraft.errors import UsageError
    from convgraft.opening import open_network
    from convgraft.plan import Plan

    opened = open_network(network, load=False)
    if opened.classes != len(images.classes):
        raise UsageError(
            f"{network} and the data have different numbers of classes",
            expected=str(len(images.classes)),
            found=str(opened.classes),
            hint=f"give it a head: convgraft fit {images.location} --models {network} "
            "--strategy probe --out RUN",
        )
    plan = Plan(image_size or opened.image_size, (source_ref("a", opened),))
    return compose(plan, {"a": opened})


def _choose_part(images: ImageSet, split: str | None, folder: Path) -> tuple[list[int] | None, str]:
    """Which images: the part asked for, else the run's own test part, else all."""
    from convgraft.data import read_split
    from convgraft.errors import DataError
    from convgraft.export import SPLIT

    recorded = None
    if (folder / SPLIT).is_file():
        try:
            recorded = read_split(folder / SPLIT, images)
        except DataError:
            say(
                f"{images.location} is not the set the run was trained on: its split does not apply"
            )
    if recorded is not None:
        part = split or "test"
        return list(recorded.part(part)), f"{part} part of the run"
    if split is None and images.parts is None:
        return None, "all images"
    return _given_part(images, split or "test")


def _given_part(images: ImageSet, part: str) -> tuple[list[int], str]:
    from convgraft.errors import UsageError

    names = sorted(set(images.parts or ()))
    if part not in names:
        raise UsageError(
            f'{images.location} has no part called "{part}"',
            expected=f"one of {', '.join(names)}" if names else "no --split: the data has no parts",
        )
    assert images.parts is not None
    return [i for i, name in enumerate(images.parts) if name == part], f"{part} part of the data"


def _relabelled(images: ImageSet, orders: Mapping[str, list[int]]) -> ImageSet:
    """Labels as the run numbers them; missing ones stay missing."""
    import numpy as np

    from convgraft.data import MISSING

    def renumbered(column: str, labels: Labels) -> Labels:
        if column not in orders:
            return labels
        return np.where(labels == MISSING, labels, np.array(orders[column])[labels])

    others = {
        name: replace(column, labels=renumbered(name, column.labels))
        for name, column in images.others.items()
    }
    return replace(images, labels=renumbered("", images.labels), others=others)


def _pixels(
    images: ImageSet,
    size: int,
    indices: list[int] | None,
    strict: bool,
    report: Callable[[str, int, int], None],
) -> Pixels:
    """The images decoded; or such that decode when asked for, if they are streamed."""
    from convgraft.data import Streamed, load_pixels

    if images.streams:
        return Streamed(images, size, indices=indices, strict=strict)
    return load_pixels(
        images,
        size,
        indices=indices,
        strict=strict,
        on_progress=lambda done, total: report("read images", done, total),
    )
