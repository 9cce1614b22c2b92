"""The steps of `convgraft search` around its trials: opening, the chosen point, and the files."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from convgraft.cli import fit_steps, pipeline
from convgraft.cli.fit_checks import check_data
from convgraft.cli.opening import opened
from convgraft.cli.run_folder import STATE
from convgraft.cli.run_folder import claim as claim_run
from convgraft.data import ImageSet, Split, split_images
from convgraft.durable.on_disk import copy_folder
from convgraft.errors import UsageError
from convgraft.export import METRICS, load, save, write_card, write_json, write_text
from convgraft.export.artifact import change_notes
from convgraft.export.checksums import CHECKSUMS
from convgraft.report.front import front_table
from convgraft.report.front_figure import draw_front
from convgraft.strategies import Ingredients
from convgraft.studies import Arm, Design, Trained, build_arm
from convgraft.studies.opening import DataPlace
from convgraft.studies.search import (
    Batches,
    Candidate,
    Rules,
    SearchStore,
    best_single,
    choose,
    front,
    run_search,
)
from convgraft.studies.search.store import KEPT
from convgraft.studies.search.trial_task import Keep
from convgraft.training import Task
from convgraft.training.task import Progress

BEST = "best"
UNITS = {"K": 1e3, "M": 1e6, "G": 1e9}
Line = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Setting:
    """What a search runs on."""

    images: ImageSet
    split: Split
    given: Ingredients
    rules: Rules
    strict: bool = False

    def task(self, report: Progress | None) -> Task:
        """The images at the size of the composites, decoded when asked for."""
        size = self.given.image_size
        return Task(self.images, self.split, size, strict=self.strict, on_progress=report)

    def arm(self, line: Line) -> Arm:
        """The arm that a trial trained."""
        candidate = Candidate.of(line)
        chosen = {name: self.given.sources[name] for name in candidate.networks}
        given = replace(self.given, sources=chosen)
        return build_arm(candidate.design, given, self.rules.options.seed)


@dataclass(frozen=True, eq=False)
class Found:
    """What a search came to.

    Attributes:
        networks: by name, the spec.
        trials: a line for each.
        chosen: the best of them on validation.
        test: of the chosen trial, as its run's metrics have it.
        folder: of the chosen trial's run.
    """

    networks: Mapping[str, str]
    trials: Sequence[Line]
    chosen: Line
    test: Mapping[str, Any]
    folder: Path

    @property
    def front(self) -> list[Line]:
        """The trials on the accuracy-cost front, the cheapest first."""
        return front(self.trials)

    def as_data(self, out: Path) -> dict[str, Any]:
        """What `--json` prints, and `front.json` holds."""
        return {
            "search": str(out),
            "networks": dict(self.networks),
            "front": self.front,
            "chosen": {**self.chosen, "test": self.test, "run": str(self.folder)},
            "best_single": best_single(self.trials),
            "trials": len(self.trials),
        }


def read_macs(text: str | None) -> float | None:
    """`200M`, `1.5G` or `2e8` as a number; raises UsageError."""
    if text is None:
        return None
    unit = UNITS.get(text[-1:].upper())
    try:
        value = float(text[:-1] if unit else text) * (unit or 1.0)
    except ValueError:
        value = math.nan
    return _positive("--max-macs", value, "e.g. 200M, 1.5G or 2e8", text)


def read_latency(value: float | None) -> float | None:
    """Milliseconds; raises UsageError."""
    return None if value is None else _positive("--max-latency", value, "milliseconds, above 0")


def read_minutes(value: float) -> float:
    """Minutes; raises UsageError."""
    return _positive("--minutes", value, "minutes, above 0")


def _positive(option: str, value: float, expected: str, found: str = "") -> float:
    if not 0 < value < math.inf:
        raise UsageError(f"{option} cannot be read", expected=expected, found=found or str(value))
    return value


def open_setting(
    data: str,
    models: Sequence[str],
    image_size: int | None,
    target: str | None,
    limit: int | None,
    rules: Rules,
    strict: bool,
    stream: bool = False,
) -> Setting:
    """Images, split and networks, opened and checked.

    Networks made for smaller images than the search's get them at their own size.
    """
    place = DataPlace(data, (target,) if target else (), stream=stream)
    images = opened(place.open)
    seed = rules.options.seed
    split = split_images(images, seed=seed, limit=limit)
    given = fit_steps.open_models(models, image_size, images, seed)
    size = given.image_size
    sized = {name: fit_steps.at_own_size(one, size) for name, one in given.sources.items()}
    setting = Setting(images, split, replace(given, sources=sized), rules, strict)
    check_data(_whole(setting), sized, images, split, planned=False)
    return setting


def _whole(setting: Setting) -> Arm:
    """An arm with all networks, which says what a search is about."""
    return build_arm(Design("ladder"), setting.given, setting.rules.options.seed)


def claim(out: Path, setting: Setting) -> SearchStore:
    """Take the folder, or go on with the same search there; raises ArtifactError."""
    rules = setting.rules
    config = fit_steps.config([_whole(setting)], rules.options, setting.images, setting.split)
    ceiling = asdict(rules.ceiling)
    return SearchStore.claim(out, {**config, "ceiling": ceiling, "strict": setting.strict})


def find_best(
    setting: Setting, store: SearchStore, report: Progress, batches: Batches | None = None
) -> Found:
    """Search, then test the chosen point, once; a search that is finished is only read again.

    Args:
        batches: trains candidates side by side; None: one after another, here.

    A search that was stopped after its choice is not continued: the test part may have been read.
    """
    folder = store.folder / BEST
    if not _is_finished(folder):
        task = setting.task(report)
        if store.chosen is None:
            run_search(setting.given, task, setting.rules, store, keeper(task), report, batches)
        _test(setting, task, store, report)
    if _chosen(store)["kind"] == "closed":
        _tell_closed(folder)
    metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    shutil.rmtree(store.folder / KEPT, ignore_errors=True)
    specs = {name: one.spec for name, one in setting.given.sources.items()}
    return Found(specs, store.lines, _chosen(store), metrics["rows"][0]["test"], folder)


def _is_finished(folder: Path) -> bool:
    return (folder / METRICS).is_file() and not (folder / STATE).exists()


def keeper(task: Task) -> Keep:
    """What writes a trained network to a folder, as a run."""

    def keep(path: Path, trained: Trained) -> None:
        save(
            path,
            trained.composite,
            labels=task.classes,
            columns=task.columns,
            metrics=trained.notes,
        )

    return keep


def _chosen(store: SearchStore) -> Line:
    """The trial that was chosen; where none was, the best one is now, and that is written down."""
    if store.chosen is not None:
        return store.chosen
    line = choose(store.lines)
    assert line is not None
    store.choose(line["number"])
    return dict(line)


def _test(setting: Setting, task: Task, store: SearchStore, report: Progress) -> None:
    """Write the chosen trial as the run of a fit that has just been trained."""
    chosen = _chosen(store)
    arm = setting.arm(chosen)
    options = Candidate.of(chosen).options(setting.rules.options)
    config = fit_steps.config([arm], options, setting.images, setting.split)
    folder = claim_run(store.folder / BEST, config)
    if not folder.is_trained(arm.name):
        copy_folder(store.kept(chosen["number"]), folder.arm(arm.name))
    pipeline.run_arms([arm], setting.given, task, options, folder, report)


def _tell_closed(folder: Path) -> None:
    """Take the options of a training that was none out of a run's notes and card, once."""
    run = load(folder, trust_python=True)
    told = {"strategy": run.metrics["arm"], "solved by": "ridge regression, in closed form"}
    if run.metrics["fit"] == told and (folder / CHECKSUMS).is_file():
        return
    metrics = {**run.metrics, "fit": told}
    change_notes(folder, metrics, write_card(folder.name, run.composite, run.labels, metrics))


def write_files(folder: Path, data: str, found: Found) -> None:
    """`front.md`, `front.json` and the figure, all made anew from the search's lines."""
    told = found.as_data(folder)
    write_text(folder / "front.md", front_table(f"Search on {data}", told))
    write_json(folder / "front.json", told)
    paths = [folder / "front.png", folder / "front.svg"]
    draw_front(found.trials, found.front, found.chosen, paths, title=f"Search on {data}")
