"""The steps of `convgraft study` and `compare` before their runs: limits, epochs and checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from convgraft.cache import Cache
from convgraft.cli import fit_steps
from convgraft.cli.fit_checks import check_arm
from convgraft.cli.runs_as_models import check_unseen, runs_among
from convgraft.compose import check
from convgraft.data import ImageSet, split_images
from convgraft.errors import UsageError
from convgraft.strategies import Ingredients
from convgraft.studies import Cell, Entry, Study, entries, taking, with_sides
from convgraft.studies.arm_task import OpenCell
from convgraft.studies.opening import DataPlace, same_images
from convgraft.studies.seeds import SEEDS
from convgraft.studies.seeds import read_seeds as seeds_in
from convgraft.training import FitOptions, Task
from convgraft.training.at_rest import EXACT
from convgraft.training.options import AUTO
from convgraft.training.task import Progress

ALL = "all"
FIRST_SEED = 0  # of the configuration, whichever seeds are asked for


@dataclass(frozen=True, eq=False)
class Setting:
    """What a study runs on: the same for all of its cells.

    Attributes:
        epochs: by number of training images; None: all of them.
        seeds: of its splits, networks and trainings.
        store: of pixels and of what frozen parts make of them.
        names: of the networks; empty: `a`, `b`, ...
        place: where the images lie; without it there is no `opener`.
    """

    study: Study
    images: ImageSet
    models: Sequence[str]
    image_size: int | None
    options: FitOptions
    epochs: Mapping[int | None, int]
    seeds: Sequence[int] = (0,)
    strict: bool = False
    store: Cache | None = None
    names: Sequence[str] = ()
    place: DataPlace | None = None

    @property
    def opener(self) -> OpenCell:
        """`open_cell` as plain values: another process opens images, networks and store itself."""
        assert self.place is not None
        opened = ("images", "store")
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        plain = {name: value for name, value in plain.items() if name not in opened}
        dtype = self.store.dtype if self.store else None
        return partial(_open_cell, self.place, self.images.fingerprint, dtype, plain)

    @property
    def cells(self) -> list[Cell]:
        """Every limit with every seed."""
        return [Cell(limit, seed) for limit in self.epochs for seed in self.seeds]

    def open_cell(self, cell: Cell, report: Progress | None = None) -> tuple[Task, Ingredients]:
        """A cell's split images, and the networks, those without weights seeded."""
        split = split_images(self.images, seed=cell.seed, limit=cell.limit)
        given = fit_steps.open_models(self.models, self.image_size, self.images, cell.seed)
        if self.names:
            named = dict(zip(self.names, given.sources.values(), strict=True))
            given = replace(given, sources=named)
        size = given.image_size
        task = Task(
            self.images, split, size, strict=self.strict, cache=self.store, on_progress=report
        )
        return task, given

    def options_of(self, cell: Cell) -> FitOptions:
        """The fits' options in a cell."""
        return replace(self.options, epochs=self.epochs[cell.limit], seed=cell.seed)


def _open_cell(
    place: DataPlace, fingerprint: str, dtype: str | None, plain: Mapping[str, Any], cell: Cell
) -> tuple[Task, Ingredients]:
    """A cell, in another process; raises DataError where that has other images."""
    images = same_images(place, fingerprint)
    store = fit_steps.open_store(dtype is not None, dtype or EXACT)
    return Setting(**plain, images=images, store=store).open_cell(cell)


def read_limits(texts: Sequence[str]) -> list[int | None]:
    """`100`, `400`, `all` as numbers of training images, None for all; raises UsageError."""
    return list(dict.fromkeys(_limit(text) for text in texts or (ALL,)))


def _limit(text: str) -> int | None:
    if text == ALL:
        return None
    return _count(text, "limits are numbers of training images", "e.g. --limits 100 400 all")


def _count(text: str, what: str, expected: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise UsageError(what, expected=expected, found=text)
    return int(text)


def read_seeds(text: str) -> tuple[int, ...]:
    """`3`, `5:8` or `5,9` as seeds; raises UsageError."""
    try:
        return seeds_in(text)
    except ValueError as error:
        raise UsageError("seeds cannot be read", expected=SEEDS, found=text) from error


def read_epochs(texts: Sequence[str], limits: Sequence[int | None]) -> dict[int | None, int]:
    """`20`, or `400=20` and `all=6`, as epochs for each limit; raises UsageError."""
    expected = "e.g. --epochs 20, or --epochs 400=20 all=6"
    found: dict[int | None, int] = {}
    common: int | None = None
    for text in texts:
        name, equals, value = text.rpartition("=")
        count = _count(value, "epochs are whole numbers", expected)
        if equals:
            found[_limit(name)] = count
        else:
            common = count
    unknown = [limit for limit in found if limit not in limits]
    missing = [limit for limit in limits if limit not in found and common is None]
    if unknown or missing:
        limit = (unknown or missing)[0] or ALL
        raise UsageError(
            f"epochs are given for the limit {limit}, which is not asked for"
            if unknown
            else f"no epochs are given for the limit {limit}",
            expected=expected,
            found=" ".join(texts),
        )
    return {limit: found.get(limit, common or 0) for limit in limits}


def read_training(said: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `FitOptions` that somebody said; None is not said."""
    return {name: value for name, value in said.items() if value is not None}


def fit_options(said: Mapping[str, Any]) -> FitOptions:
    """The fits' options, those that were said among them; raises UsageError."""
    return FitOptions(**{"augment": AUTO, **said})


@dataclass(frozen=True, eq=False)
class Checked:
    """A study that can be run.

    Attributes:
        study: with all that is decided before it begins.
        config: what makes this study this study.
    """

    study: Study
    config: Mapping[str, Any]


def check_study(setting: Setting) -> Checked:
    """Every problem before any work; raises UsageError, PlanError or DataError.

    More limits, seeds and arms may be added to a study later, so they are no part of its
    configuration.
    """
    fit_steps.check_augmentation(setting.options.augment)
    images, cells = setting.images, setting.cells
    splits = [split_images(images, seed=cell.seed, limit=cell.limit) for cell in cells]
    fewest = Cell(min(setting.epochs, key=lambda limit: setting.epochs[limit]), FIRST_SEED)
    task, given = setting.open_cell(fewest)
    given = taking(setting.study, given)
    check_unseen(runs_among(given.sources, images), images, splits, _seed_hint)
    study = with_sides(setting.study, given, fewest.seed)
    for entry in entries(study, given, fewest.seed):
        size = entry.image_size or given.image_size
        _check_entry(entry, images, size, setting.options_of(fewest))
    every = entries(replace(study, only=()), given, fewest.seed)
    arms = [entry.arm for entry in every if entry.arm]
    config = fit_steps.config(arms, setting.options, images, task.split, store=setting.store)
    varying = ("epochs", "seed")
    told = {
        **{key: value for key, value in config.items() if key != "training_images"},
        "study": study.name,
        "models": list(setting.models),
        "options": {k: v for k, v in config["options"].items() if k not in varying},
    }
    return Checked(study, told)


def _seed_hint(seed: int | None) -> str:
    if seed == 0:
        return "--seeds 1: the seed that the runs were made with"
    return "runs made with seed 0 and --seeds 1, or data that names its own test part"


def _check_entry(entry: Entry, images: ImageSet, size: int, options: FitOptions) -> None:
    arm = entry.arm
    if arm is None:
        return
    check(arm.plan, arm.sources, name=f"the plan of {arm.name}")
    check_arm(arm, images, size, options)
