"""What `convgraft fit` tells when it is done: its verdict, its JSON, and what was stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convgraft.cli.console import RESULT_HEADER, print_json, print_table, result_rows, say
from convgraft.cli.run_folder import RunFolder
from convgraft.errors import ArtifactError
from convgraft.report import compared_verdict
from convgraft.studies import Arm, Comparison, Predictions, Row, compare_run
from convgraft.training import FitOptions, Task


def compared(rows: Sequence[Row], main: str, predictions: Path) -> list[Comparison]:
    """The run's own arm against what it has to beat, from the predictions that were kept.

    Args:
        predictions: the folder that holds them, a file for each arm.
    """
    return compare_run(
        [row.as_dict() for row in rows],
        [main],
        lambda arm: read_predictions(predictions / f"{arm}.safetensors"),
    )


def read_predictions(path: Path) -> Predictions | None:
    """Predictions where they were kept and can be read; what cannot be read is told."""
    try:
        return Predictions.load(path) if path.is_file() else None
    except ArtifactError as error:
        say(f"not compared: {error}")
        return None


def frozen_work(task: Task) -> str:
    """What frozen networks had to compute for the store, or why not, in words; may be empty."""
    counts = [f"{count:,} images through {name}" for name, count in sorted(task.computed.items())]
    told = [f"computed once and stored: {', '.join(counts)}"] if counts else []
    reasons = dict.fromkeys(task.unstored)
    return "\n".join(told + [f"not stored: {reason}" for reason in reasons])


def summary(
    out: Path,
    main: Arm,
    options: FitOptions,
    task: Task,
    rows: Sequence[Row],
    comparisons: Sequence[Comparison],
) -> dict[str, Any]:
    """What `--json` prints."""
    table = [row.as_dict() for row in rows]
    split = task.split
    return {
        "run": str(out),
        "strategy": main.name,
        "freeze": main.policy.name,
        "seed": options.seed,
        "images": {"train": len(split.train), "val": len(split.val), "test": len(split.test)},
        "left_out": [image.id for image in task.broken],
        "result": table[0],
        "rows": table,
        "verdict": compared_verdict(comparisons) or None,
        "comparisons": [one.as_dict() for one in comparisons],
        "frozen_images": task.computed,
    }


def tell(
    data: str,
    out: Path,
    main: Arm,
    options: FitOptions,
    task: Task,
    rows: Sequence[Row],
    folder: RunFolder,
    *,
    json: bool,
) -> None:
    """Print what came of a fit, as JSON or as a table with its verdict."""
    found = compared(rows, main.name, folder.predictions_folder)
    if json:
        print_json(summary(out, main, options, task, rows, found))
        return
    title = f"{data}: {len(task.split.train)} training images"
    print_table(title, RESULT_HEADER, result_rows(rows))
    if told := compared_verdict(found):
        say(told)
    if work := frozen_work(task):
        say(work)
    say(f"saved in {out}; next: convgraft predict {out} IMAGE, or convgraft explain {out}")
