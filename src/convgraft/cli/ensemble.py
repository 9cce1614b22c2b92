"""`convgraft ensemble MEMBER MEMBER ... --out RUN`: several networks answer together, untrained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from convgraft.cli.console import millions, percent, print_json, print_table, progress, say

HEADER = ("answer", "held-out top-1", "held-out NLL", "test top-1", "test NLL", "MACs", "weights")


def ensemble(
    members: Annotated[
        list[str],
        typer.Argument(metavar="MEMBER MEMBER ...", help="RUN folder or ARCH\\[@WEIGHTS] each."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the run.")],
    vote: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VOTE VOTE ...",
            help="average (default), logits, hard, plurality; weighted, stack, greedy, cascade "
            "are fitted on --data. The first is the run's answer.",
        ),
    ] = None,
    data: Annotated[str | None, typer.Option(help="Labelled images to fit votes on.")] = None,
    target: Annotated[str | None, typer.Option(help="Label column of a Parquet set.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Part of --data to fit on: val (default), train, test, all.")
    ] = None,
    held_out: Annotated[int | None, typer.Option(min=1, help="Fit on K images of it.")] = None,
    test: Annotated[str | None, typer.Option(help="Labelled images to test on, once.")] = None,
    max_cost: Annotated[
        float | None, typer.Option(help="For a cascade: mean million MACs an image, at most.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Side in pixels; the networks' own by default.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 128,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    trust_python: Annotated[
        bool, typer.Option(help="Let a run import its python: sources, that is, run code.")
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a run that lies there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let several networks answer together by a vote, without training, and keep it as one run.

    Example: convgraft ensemble runs/a runs/b --vote weighted average --data pictures/ --out runs/c
    """
    from convgraft.cli import ensemble_steps as steps
    from convgraft.cli import ensemble_work

    asked = steps.Asked(
        members, vote or ["average"], data, target, split, held_out, test, max_cost, image_size,
        seed, batch_size, trust_python,
    )  # fmt: skip
    prepared = steps.prepare(asked)
    folder = steps.claim_folder(out, prepared, overwrite)
    with progress() as report:
        result = ensemble_work.work(prepared, report)
    ensemble_work.write_run(out, prepared, result)
    folder.finish()
    told = ensemble_work.summary(out, prepared, result)
    if json:
        print_json(told)
        return
    title = f"{len(members)} members; {told['answer']} ({told['vote']}) is the run's answer"
    print_table(title, *_known([_cells(row) for row in told["rows"]]))
    for name, notes in told["votes"].items():
        say(f"{name}: {_numbers(notes)}")
    for name, stages in told["stages"].items():
        shares = ", ".join(f"{member} {percent(s)} %" for member, s in stages["shares"].items())
        say(f"{name} on the test images: {shares} of them seen, {stages['seconds']:.1f} seconds "
            f"instead of {stages['seconds_of_all']:.1f} for all members")  # fmt: skip
    if told["bias"]:
        say(told["bias"])
    say(f"saved in {out}; next: convgraft evaluate {out} DATA, or convgraft predict {out} IMAGE")


def _cells(row: Mapping[str, Any]) -> list[str]:
    cells = [row["arm"].partition("@")[0]]  # weights files make long names
    for metrics in (row["held_out"], row["test"]):
        known = metrics is not None
        cells += [percent(metrics["top1"]), f"{metrics['nll']:.4f}"] if known else ["", ""]
    return [*cells, millions(row["macs"]), millions(row["parameters"])]


def _known(rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """The header and the rows, without the columns of what was not measured."""
    kept = [number for number in range(len(HEADER)) if any(row[number] for row in rows)]
    return [HEADER[number] for number in kept], [[row[number] for number in kept] for row in rows]


def _numbers(notes: Mapping[str, Any]) -> str:
    """The fitted numbers of a vote, in words."""
    if notes["kind"] == "stack":
        return f"C = {notes['C']}, chosen by cross-validation"
    what = next(key for key in ("weights", "counts", "thresholds") if key in notes)
    return f"{what} " + ", ".join(f"{name} {value:.3g}" for name, value in notes[what].items())
