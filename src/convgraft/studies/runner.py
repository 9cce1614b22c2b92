"""Run a study: every arm in every cell, each trained, chosen on validation and tested once.

A cell is one number of training images with one seed. What is done is a line in the store and is
not done again. An arm that fails has a line that says why, and is tried again by the next call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from convgraft.durable.lines import Line
from convgraft.strategies import Ingredients
from convgraft.studies.cell import Cell, Place, Report
from convgraft.studies.cell_work import CellWork
from convgraft.studies.entries import entries, with_sides
from convgraft.studies.spread import spread_study
from convgraft.studies.store import StudyStore
from convgraft.studies.study import Study, taking
from convgraft.studies.workers import Workers
from convgraft.training import FitOptions, Task


def run_study(
    study: Study,
    cells: Sequence[Cell],
    open_cell: Callable[[Cell], tuple[Task, Ingredients]],
    options: Callable[[Cell], FitOptions],
    store: StudyStore,
    report: Report,
    workers: Workers | None = None,
) -> list[Line]:
    """Run what is not done yet; every line of the store, those that were there before too.

    Args:
        open_cell: a cell's images, split with its seed and limit, and the opened networks.
        options: of every fit in a cell.
        report: called with (what, done, total).
        workers: processes that train the arms side by side, to which `open_cell` is sent: see
            `convgraft.studies.spread`. None: this process trains one arm after another.

    An arm that fails does not stop the others. Raises RunError where somebody stopped it: the same
    call goes on from the last checkpoint; ArtifactError where results of these cells took another
    number of epochs; DataError for what is wrong with the data.
    """
    if workers is not None:
        return spread_study(study, cells, open_cell, options, store, report, workers)
    store.check_epochs({cell.name: options(cell).epochs for cell in cells})
    places: list[tuple[str, str]] = []
    for number, cell in enumerate(cells):
        task, given = open_cell(cell)
        given = taking(study, replace(given, images=lambda task=task: task.pixels("train").images))
        study = with_sides(study, given, cell.seed)
        planned = entries(study, given, cell.seed)
        place = Place(number, len(cells))
        CellWork(study, cell, task, given, options(cell), store, report, place).run(planned)
        places += [(cell.name, entry.name) for entry in planned]
    store.put_in_order(places)
    return store.lines
