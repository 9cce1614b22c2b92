"""The steps of `convgraft compare` before its runs: what is asked for, in a file or on the line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from convgraft.cli import fit_steps, study_steps
from convgraft.cli.opening import opened
from convgraft.errors import UsageError
from convgraft.export.files import write_text
from convgraft.strategies import source_names
from convgraft.studies import (
    StudyFile,
    StudyStore,
    read_study,
    study_of_file,
    taking,
    with_sides,
)
from convgraft.studies.design_text import read_design
from convgraft.studies.growth import claim_growing
from convgraft.studies.opening import DataPlace
from convgraft.studies.store import CONFIG
from convgraft.studies.study_file import QUESTION
from convgraft.studies.study_text import merged, study_to_yaml

FILE = "study.yaml"
YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Told:
    """What stands on the command line; empty or None is not said.

    Attributes:
        what: the images, or a study file.
        training: fields of `FitOptions`.
    """

    what: str | None
    out: Path | None = None
    data: str | None = None
    models: Sequence[str] = ()
    strategies: Sequence[str] = ()
    baselines: Sequence[str] | None = None
    image_size: int | None = None
    target: Sequence[str] = ()
    label_map: Path | None = None
    limits: Sequence[str] = ()
    seeds: str | None = None
    epochs: Sequence[str] = ()
    freeze: str | None = None
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A study, and its folder."""

    file: StudyFile
    out: Path

    @property
    def whole(self) -> StudyFile:
        """The study with all that was asked for in this folder before."""
        kept = self.out / FILE
        return merged(read_study(kept), self.file) if kept.is_file() else self.file

    def claim(self, folder: Path, config: Mapping[str, Any]) -> StudyStore:
        """Take the folder, and keep there what was asked for, now and before."""
        store = claim_growing(folder, config)
        write_text(folder / FILE, study_to_yaml(self.whole))
        return store


def read_asked(told: Told) -> Asked:
    """The study that is asked for; raises UsageError where something is missing, or said twice."""
    path = Path(told.what) if told.what and told.what.endswith(YAML) else None
    if told.what and told.data and path is None:
        raise UsageError(
            "the images are named twice",
            expected="DATA, or --data beside a study file",
            found=f"{told.what} and {told.data}",
        )
    file = read_study(path) if path else _from_line(told)
    file = _overruled(file, told)
    for what, given, hint in (
        ("images", file.data, "--data PICTURES" if path else "DATA, or a study file"),
        ("models", file.models, "--models SOURCE SOURCE"),
        ("arms", file.arms, "--strategies cross-skip ladder"),
    ):
        if not given:
            where = f'the study "{path}"' if path else "the command"
            raise UsageError(f"{where} names no {what} to compare", hint=hint)
    return Asked(file, _folder(told.out, path))


def _from_line(told: Told) -> StudyFile:
    if not told.what and not told.data:
        raise UsageError(
            "there is nothing to compare",
            expected="DATA with --models and --strategies, or a study file",
            hint="convgraft compare pictures/ --models A B --strategies cross-skip --out studies/x",
        )
    if told.out and (told.out / FILE).is_file():  # more of the study that lies there
        kept = read_study(told.out / FILE)
        return StudyFile(kept.name, kept.question, told.what or "", {}, ())
    name = told.out.name if told.out else "comparison"
    return StudyFile(name, QUESTION, told.what or "", {}, ())


def _folder(out: Path | None, path: Path | None) -> Path:
    """Where the study lies: the folder that is said, or that of a file which a study left there."""
    if out is not None:
        return out
    if path is not None and (path.parent / CONFIG).is_file():
        return path.parent
    raise UsageError("there is no folder for the study", hint="--out studies/NAME")


def _overruled(file: StudyFile, told: Told) -> StudyFile:
    """The study with what the command line says otherwise."""
    said = {
        "data": told.data,
        "models": _named(file, told.models) if told.models else None,
        "arms": tuple(map(read_design, told.strategies)) or None,
        "baselines": None if told.baselines is None else tuple(told.baselines),
        "image_size": told.image_size,
        "target": tuple(told.target) or None,
        "label_map": str(told.label_map) if told.label_map else None,
        "seeds": study_steps.read_seeds(told.seeds) if told.seeds is not None else None,
        "freeze": told.freeze,
        "options": {**file.options, **told.training},
    }
    file = replace(file, **{name: value for name, value in said.items() if value is not None})
    limits = study_steps.read_limits(told.limits) if told.limits else list(file.limits)
    if not told.epochs:
        return file.limited(limits)
    return replace(file, limits=tuple(limits), epochs=study_steps.read_epochs(told.epochs, limits))


def _named(file: StudyFile, specs: Sequence[str]) -> dict[str, str]:
    """Networks under the names that the file has for as many, else under those they always get."""
    names = list(file.models) if len(file.models) == len(specs) else source_names(len(specs))
    return dict(zip(names, specs, strict=True))


def open_setting(
    asked: Asked, only: Sequence[str], *, cache: bool, strict: bool, stream: bool = False
) -> study_steps.Setting:
    """What the study runs on; raises UsageError or DataError."""
    file = asked.file
    study = study_of_file(file, only=only)
    label_map = Path(file.label_map) if file.label_map else None
    place = DataPlace(file.data, tuple(file.target), label_map, stream)
    setting = study_steps.Setting(
        study=study,
        images=opened(place.open),
        models=list(file.models.values()),
        image_size=file.image_size,
        options=study_steps.fit_options(file.options),
        epochs={limit: file.epochs[limit] for limit in file.limits},
        seeds=file.seeds,
        strict=strict,
        store=fit_steps.open_store(cache, "float32"),
        names=list(file.models),
        place=place,
    )
    return _with_earlier(setting, asked)


def _with_earlier(setting: study_steps.Setting, asked: Asked) -> study_steps.Setting:
    """The same where the dearest join may be one that the folder has from an earlier command."""
    if len(asked.whole.arms) == len(asked.file.arms):
        return setting
    every = study_of_file(asked.whole)
    cell = setting.cells[0]
    _, given = setting.open_cell(cell)
    sides = with_sides(every, taking(every, given), cell.seed).sides
    return replace(setting, study=replace(setting.study, sides=sides))
