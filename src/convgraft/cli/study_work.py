"""What `convgraft study` and `compare` do: check everything, run it, and tell what came of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from convgraft.cli import study_outcome, study_steps
from convgraft.cli.console import print_json, print_table, progress, say
from convgraft.cli.jobs import HERE, Spreading, working
from convgraft.cli.leak_check import leak_notes, leaks_of
from convgraft.cli.recorded_command import record_command
from convgraft.report import SHORT_HEADER, short_cells
from convgraft.studies import StudyStore, finished, run_study

Claim = Callable[[Path, Mapping[str, Any]], StudyStore]


def carry_out(
    setting: study_steps.Setting,
    out: Path,
    *,
    json: bool,
    claim: Claim = StudyStore.claim,
    spreading: Spreading = HERE,
) -> None:
    """Run a study in its folder, write its files, and print them.

    Args:
        claim: takes the folder, given what makes the study this study.
        spreading: where arms are trained.
    """
    cells = setting.cells
    checked = study_steps.check_study(setting)
    with progress() as report:
        leaks = leaks_of(setting.images, cells, strict=setting.strict, report=report)
    for note in leak_notes(leaks, len(cells)):
        say(note)
    store = claim(out, checked.config)
    record_command(out)
    if done := len(finished(store.lines)):
        say(f"going on with the {done} results in {out}")
    with working(spreading, setting.options.accelerator) as workers, progress() as report:
        run_study(
            checked.study,
            cells,
            setting.opener if workers else lambda cell: setting.open_cell(cell, report),
            setting.options_of,
            store,
            report,
            workers,
        )
    outcome = study_outcome.outcome_of(store, leaks, cells)
    study, name = setting.study, setting.study.name
    study_outcome.write_files(out, f"{name}: {study.words}", outcome)
    if json:
        print_json(study_outcome.as_data(out, study, outcome))
        return
    header = f"{name} on {setting.images.location}"
    print_table(header, SHORT_HEADER, short_cells(outcome.arms))
    for line in (*outcome.verdict, *outcome.remarks):
        say(line)
    files = "results.jsonl, table.md, summary.md, figure.png, figure.svg"
    say(f"saved in {out}: {files}; next: convgraft report {shlex.quote(str(out))} --open")
