"""A row as a study: its networks, images and options on a scale, run by the common protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from convgraft.cache import Cache, default_cache
from convgraft.data import ImageSet
from convgraft.durable.lines import Line
from convgraft.opening import open_network, source_seed
from convgraft.sources import Source
from convgraft.strategies import Ingredients, source_names
from convgraft.studies.arm_task import OpenCell
from convgraft.studies.cell import Cell, Report
from convgraft.studies.compare import study_of_file
from convgraft.studies.opening import DataPlace, same_images
from convgraft.studies.paper.material import read_material
from convgraft.studies.paper.places import Model, Places
from convgraft.studies.paper.scales import Amount, Scale
from convgraft.studies.paper.table_rows import PaperRow, read_rows
from convgraft.studies.runner import run_study
from convgraft.studies.store import StudyStore
from convgraft.studies.study import Study
from convgraft.studies.workers import Workers
from convgraft.training import FitOptions, Task

FIXED = 2e7  # microseconds that a cell takes however few its images are
LEARNING = 4  # arms in which a network learns


@dataclass(frozen=True, eq=False)
class RowRun:
    """Everything that a row's study runs on.

    Attributes:
        row: the one that is run; see `PaperRow.run_as`.
        options: of every fit, but for epochs and seed.
        cache: the store that all rows share.
    """

    row: PaperRow
    models: tuple[Model, ...]
    images: ImageSet
    amount: Amount
    seeds: int
    options: FitOptions
    scale: str
    cache: Cache | None = None

    @property
    def cells(self) -> tuple[Cell, ...]:
        """One for each seed."""
        return tuple(Cell(self.amount.train, seed) for seed in range(self.seeds))

    @property
    def image_size(self) -> int:
        """The largest of the networks' sizes; the others resize their images to their own."""
        return max(model.size for model in self.models)

    @property
    def work(self) -> float:
        """About how much there is to do, in microseconds of a core: of use beside other rows'."""
        known = read_material().networks
        each = sum(known[model.architecture].pace * model.size**2 for model in self.models)
        images = self.amount.train or len(self.images)
        return self.seeds * (FIXED + LEARNING * images * self.amount.epochs * each)

    @property
    def study(self) -> Study:
        """The row's joins and baselines."""
        return study_of_file(self.row.study)

    @property
    def facts(self) -> dict[str, Any]:
        """What a reader of the results has to know, as plain data."""
        return {
            "study": self.row.name,
            "scale": self.scale,
            "networks": [model.name for model in self.models],
            "stand_ins": [m.name for m in self.models if m.asked != m.architecture],
            "sizes": [model.size for model in self.models],
            "amount": vars(self.amount),
        }

    def open_cell(self, cell: Cell, report: Report | None = None) -> tuple[Task, Ingredients]:
        """A cell's split images and the opened networks."""
        names = source_names(len(self.models))
        sources = {
            name: self._opened(model, source_seed(cell.seed, number))
            for number, (name, model) in enumerate(zip(names, self.models, strict=True))
        }
        given = Ingredients(sources, self.image_size, len(self.images.classes))
        split = self.amount.split(self.images, cell.seed)
        task = Task(self.images, split, self.image_size, cache=self.cache, on_progress=report)
        return task, given

    def options_of(self, cell: Cell) -> FitOptions:
        """The fits' options in a cell."""
        return replace(self.options, epochs=self.amount.epochs, seed=cell.seed)

    @property
    def opener(self) -> OpenCell:
        """`open_cell` as plain values: another process opens images, networks and store itself."""
        target = self.images.target
        place = DataPlace(str(self.images.location), (target,) if target else ())
        opened = ("images", "cache")
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        plain = {name: value for name, value in plain.items() if name not in opened}
        is_cached = self.cache is not None
        return partial(_open_cell, place, self.images.fingerprint, is_cached, plain)

    def run(self, store: StudyStore, report: Report, workers: Workers | None = None) -> list[Line]:
        """Run what is not done yet, as `run_study` does; every line of the store."""
        return run_study(
            self.study,
            self.cells,
            self.opener if workers else lambda cell: self.open_cell(cell, report),
            self.options_of,
            store,
            report,
            workers,
        )

    def _opened(self, model: Model, seed: int) -> Source:
        size = model.size if model.size < self.image_size else None
        return open_network(model.spec, size=size, seed=seed, load=False)


def _open_cell(
    place: DataPlace, fingerprint: str, is_cached: bool, plain: Mapping[str, Any], cell: Cell
) -> tuple[Task, Ingredients]:
    """A cell, in another process; raises DataError where that has other images."""
    images, cache = same_images(place, fingerprint), default_cache() if is_cached else None
    return RowRun(**plain, images=images, cache=cache).open_cell(cell)


def plan_run(
    row: PaperRow, scale: Scale, places: Places, *, seeds: int | None = None, cache: Cache | None
) -> RowRun:
    """A row's run on a scale; raises UsageError or DataError for what is missing.

    Args:
        seeds: how many; the scale's by default.
        cache: the store that all rows share.
    """
    row = read_rows()[row.run_as]
    table = scale.tables[row.printed.table]
    augment = read_material().images[row.data].augment
    return RowRun(
        row,
        places.models(row, scale),
        places.images(row.data),
        table.amounts[row.data],
        seeds or table.seeds,
        FitOptions(**{"augment": augment, **scale.training, **row.study.options}),
        scale.name,
        cache,
    )
