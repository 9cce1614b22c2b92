"""Try convgraft's promises under attack, at full size, and print one table.

It goes on where it was stopped: Ctrl-C or a kill loses the trial that was under way, no more.
A failure is told with its seed and number: `--only NAME --seed K` tries it again.

    python tests/faults/torture.py
    python tests/faults/torture.py --only serve-long --share 0.1
    python tests/faults/torture.py --markdown docs/reliability.md

The exit code is 0 where all held, 1 where something failed or it was stopped, 2 for wrong use.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from campaign import Campaign
from campaigns import MODULES, all_campaigns
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torture_run import Torture, run_campaign
from torture_table import rows_of, table_of, told_failures, write_page
from trial_log import TrialLog

OUT = Path("runs") / "torture"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run campaigns, tell what came of them; the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not 0 < options.share <= 1:
        parser.error("--share is above 0 and at most 1")
    campaigns = all_campaigns(options.modules)
    names = [campaign.name for campaign in campaigns]
    if unknown := set(options.only) - set(names):
        parser.error(f"no campaign {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    chosen = [one for one in campaigns if not options.only or one.name in options.only]
    asked = Torture(options.out, options.seed, options.share, tuple(options.modules))
    log = TrialLog(options.out)
    if options.again:
        log.forget({campaign.name for campaign in chosen})
    console = Console()
    stopped = _run(chosen, asked, log, console)
    rows = rows_of(campaigns, log, options.seed)
    console.print(table_of(rows))
    failures = told_failures(rows)
    for failure in failures:
        console.print(failure, markup=False, highlight=False)
    if stopped:
        console.print("stopped; the same command goes on")
    elif options.markdown:
        write_page(options.markdown, rows, _command(arguments))
    return 1 if failures or stopped else 0


def _run(chosen: Sequence[Campaign], asked: Torture, log: TrialLog, console: Console) -> bool:
    """Whether it was stopped by Ctrl-C."""
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()),
    )
    try:
        with log.writing() as writer, Progress(*columns, console=console) as progress:
            for campaign in chosen:
                task = progress.add_task(campaign.name, total=asked.count(campaign))
                told = lambda done, task=task: progress.update(task, completed=done)  # noqa: E731
                run_campaign(campaign, asked, writer, told)
    except KeyboardInterrupt:
        return True
    return False


def _command(arguments: Sequence[str] | None) -> str:
    given = sys.argv[1:] if arguments is None else arguments
    return shlex.join(("python", "tests/faults/torture.py", *given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these campaigns")
    parser.add_argument("--share", type=float, default=1.0, help="of the full number of trials")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT, help=f"where it goes on from: {OUT}")
    parser.add_argument("--again", action="store_true", help="forget what is tried already")
    parser.add_argument("--markdown", type=Path, help="a page to write the table into")
    parser.add_argument("--modules", nargs="+", default=MODULES, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
