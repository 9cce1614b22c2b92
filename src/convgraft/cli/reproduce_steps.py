"""The steps of `convgraft reproduce`: read what is asked, plan, do what is not done, tell."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from convgraft import __version__
from convgraft.cache import Cache
from convgraft.cli import fit_steps
from convgraft.cli.console import say
from convgraft.cli.fit_checks import check_arm
from convgraft.cli.recorded_command import record_command
from convgraft.compose import check
from convgraft.data import write_split
from convgraft.errors import UsageError, near_miss
from convgraft.export import SPLIT, save, write_card, write_json
from convgraft.studies import StudyStore, entries
from convgraft.studies.cell import Report
from convgraft.studies.paper import (
    PaperRow,
    Places,
    Pretraining,
    RowRun,
    Scale,
    count_images,
    plan_pretraining,
    plan_run,
    pretrained_in,
    read_material,
    rows_of,
)
from convgraft.studies.store import RESULTS
from convgraft.studies.workers import Workers

COUNTED = "natural_images"  # whose classes the paper's table 1 counts
NAMES = {"table1": 1, "table2": 2, "table3": 3}
COUNTS = "table1.json"


@dataclass(frozen=True)
class Asked:
    """What somebody wants to have reproduced.

    Attributes:
        tables: by the paper's numbers.
        rows: of tables 2 and 3.
        seeds: how many; None: the scale's.
    """

    tables: tuple[int, ...]
    rows: tuple[PaperRow, ...]
    scale: Scale
    seeds: int | None


@dataclass(frozen=True, eq=False)
class Work:
    """What there is to do, in order; what is done already is found out on the way."""

    counts: bool
    pretrainings: tuple[Pretraining, ...]
    runs: tuple[RowRun, ...]
    notes: tuple[str, ...] = ()


def read_asked(
    tables: Sequence[str], scale: Scale, rows: Sequence[str], seeds: int | None
) -> Asked:
    """Names as what they name; raises UsageError with near misses."""
    for name in tables:
        if name not in NAMES:
            raise UsageError(
                f'the paper\'s tables that can be run are no "{name}"',
                expected=", ".join(NAMES),
                hint=near_miss(name, NAMES),
            )
    numbers = tuple(sorted({NAMES[name] for name in tables}))
    found = rows_of([number for number in numbers if number > 1], rows)
    return Asked(numbers, tuple(found), scale, seeds)


def plan_work(asked: Asked, places: Places, cache: Cache | None) -> Work:
    """Everything that is to be done; raises UsageError for all that is missing, before any work."""
    counts = 1 in asked.tables
    places.check(asked.rows, asked.scale, [COUNTED] if counts else [])
    needed = dict.fromkeys(pair for row in asked.rows for pair in pretrained_in(row))
    pretrainings = [plan_pretraining(*pair, asked.scale, places, cache=cache) for pair in needed]
    runs: dict[str, RowRun] = {}
    for row in asked.rows:
        if row.run_as not in runs:
            runs[row.run_as] = plan_run(row, asked.scale, places, seeds=asked.seeds, cache=cache)
    stand_ins = {name: None for run in runs.values() for name in run.facts["stand_ins"]}
    notes = tuple(f"no weights for it: {name}" for name in stand_ins)
    return Work(counts, tuple(pretrainings), tuple(runs.values()), notes)


def do_work(work: Work, places: Places, report: Report, workers: Workers | None = None) -> None:
    """Do what is not done yet; raises RunError where somebody stopped it.

    Args:
        workers: train the arms of a row side by side; what networks learn before that is done here.
    """
    places.out.mkdir(parents=True, exist_ok=True)
    record_command(places.out)
    pace = _Pace(sum(one.work for one in (*work.pretrainings, *work.runs)), report)
    if work.counts:
        _count(places)
    for pretraining in work.pretrainings:
        with_news = not pretraining.is_done
        if with_news:
            _pretrain(pretraining, pace.within(pretraining.work))
        pace.after(pretraining.folder.name, pretraining.work, with_news=with_news)
    for run in work.runs:
        with_news = _run(run, places, pace.within(run.work), workers)
        pace.after(run.row.name, run.work, with_news=with_news)


def _count(places: Places) -> None:
    """Table 1, written to its file; sets that are not there are left out."""
    found = []
    for name, facts in read_material().images.items():
        if places.data is not None and (places.data.expanduser() / facts.place).exists():
            found.append(count_images(name, places.images(name)).as_dict())
    write_json(places.out / COUNTS, found)


def _pretrain(one: Pretraining, report: Report) -> None:
    """Train it and save it as a run."""
    found = one.train(report)
    composite, task = found.trained.composite, found.task
    notes = {
        **found.trained.notes,
        "convgraft": __version__,
        "pretraining": one.facts,
        "fit": {"strategy": "from scratch", **asdict(one.options), "lr": one.options.rate},
        "test": {composite.plan.answer: found.row.test.as_dict()},
        "rows": [found.row.as_dict()],
    }
    card = write_card(one.folder.name, composite, task.classes, notes)
    write_split(one.folder / SPLIT, task.images, task.split)
    record_command(one.folder)
    save(one.folder, composite, labels=task.classes, metrics=notes, card=card)
    one.forget_state()


def _run(run: RowRun, places: Places, report: Report, workers: Workers | None) -> bool:
    """Run a row's study; whether there was anything to do."""
    store = _claim(run, places)
    before = len(store.lines)
    return len(run.run(store, report, workers)) > before


def _claim(run: RowRun, places: Places) -> StudyStore:
    """The row's folder; before it has results all of its plans are checked. Raises UsageError."""
    cell = run.cells[0]
    task, given = run.open_cell(cell)
    arms = [entry.arm for entry in entries(run.study, given, cell.seed) if entry.arm]
    folder = places.study(run.row)
    for arm in arms if not (folder / RESULTS).is_file() else ():
        check(arm.plan, arm.sources, name=f"the plan of {arm.name}")
        check_arm(arm, run.images, given.image_size, run.options_of(cell))
    told = fit_steps.config(arms, run.options, run.images, task.split, store=run.cache)
    options = {k: v for k, v in told["options"].items() if k not in ("epochs", "seed")}
    models = [model.spec for model in run.models]
    mine = {"study": run.row.name, "models": models, "options": options, "paper": run.facts}
    store = StudyStore.claim(folder, {**told, **mine})
    record_command(folder)
    return store


@dataclass(eq=False)
class _Pace:
    """How far everything is, and about how long the rest takes."""

    total: float
    report: Report
    began: float = field(default_factory=time.monotonic)
    done: float = 0.0
    done_now: float = 0.0  # by this call, which is what its time was spent on

    def within(self, work: float) -> Report:
        """What the steps of one piece of work report to; it moves the bar of everything, too."""

        def report(what: str, done: int, total: int) -> None:
            if what.startswith(("study ", "pretrain ")):
                self.report(what, done, total)
                share = done / total if total else 0.0
                self.report("everything, %", self._percent(self.done + work * share), 100)

        return report

    def after(self, name: str, work: float, *, with_news: bool) -> None:
        """A piece of work is done; where it was not before, say how long the rest will take."""
        self.done += work
        if not with_news:
            return
        self.done_now += work
        minutes = (time.monotonic() - self.began) / 60
        left = minutes / self.done_now * (self.total - self.done)
        say(
            f"{name} is done: {self._percent(self.done)} % of everything, "
            f"{minutes:.0f} minutes so far, about {left:.0f} left"
        )

    def _percent(self, done: float) -> int:
        return round(100 * done / self.total) if self.total else 100
