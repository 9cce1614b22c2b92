"""The rows of the paper's tables 2 and 3, each a study file of this package.

Their `data` and `models` are names of `material.yaml`: `custom16@mnist` has learned MNIST before,
and `@imagenet` has ImageNet's weights. Sizes, images, epochs and seeds are the scale's. Below the
study, as a second YAML document, stands what the paper prints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from convgraft.errors import UsageError, near_miss
from convgraft.studies.study_file import StudyFile, study_from_yaml

TABLES = (2, 3)


@dataclass(frozen=True)
class Printed:
    """A row as the paper prints it.

    Attributes:
        table: its number.
        models: names of both networks.
        pretrained: what each was pretrained on; `-` is ImageNet.
        retrained: what the join is trained and tested on.
        accuracy: of the join, in percent.
        transfer: of each network alone by transfer learning, in percent; table 3 alone has it.
        same_as: the row that is the very same study; empty where there is none.
    """

    table: int
    models: tuple[str, ...]
    pretrained: tuple[str, ...]
    retrained: str
    accuracy: float
    transfer: tuple[float, ...] = ()
    same_as: str = ""


@dataclass(frozen=True)
class PaperRow:
    """A row: the study that is run, by names of the material, and what the paper has."""

    study: StudyFile
    printed: Printed

    @property
    def name(self) -> str:
        """As `table2-1`."""
        return self.study.name

    @property
    def data(self) -> str:
        """The image set, a name of the material."""
        return self.study.data

    @property
    def models(self) -> tuple[str, ...]:
        """`ARCH@PRETRAINING` of each network, names of the material."""
        return tuple(self.study.models.values())

    @property
    def run_as(self) -> str:
        """The name of the study that fills it."""
        return self.printed.same_as or self.name


@cache
def read_rows() -> Mapping[str, PaperRow]:
    """Every row by name, tables and rows in the paper's order."""
    folder = files("convgraft.studies.paper").joinpath("rows")
    found = sorted((file for file in folder.iterdir()), key=lambda file: file.name)
    rows = [
        _row(file.read_text(encoding="utf-8"), file.name) for file in found if _is_row(file.name)
    ]
    return {row.name: row for row in rows}


def rows_of(tables: Sequence[int], only: Sequence[str] = ()) -> list[PaperRow]:
    """The rows of some tables, or those named among them; raises UsageError for other names."""
    rows = {name: row for name, row in read_rows().items() if row.printed.table in tables}
    for name in only:
        if name not in rows:
            raise UsageError(
                f'there is no row "{name}" in what is asked for',
                expected=", ".join(rows) or "table2 or table3, which have rows",
                hint=near_miss(name, rows),
            )
    return [row for name, row in rows.items() if not only or name in only]


def _is_row(name: str) -> bool:
    return name.startswith(tuple(f"table{number}-" for number in TABLES))


def _row(text: str, name: str) -> PaperRow:
    study, _, printed = text.partition("\n---\n")
    told: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in yaml.safe_load(printed).items()
    }
    return PaperRow(study_from_yaml(study + "\n", name=name), Printed(**told))
