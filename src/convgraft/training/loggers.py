"""Lightning loggers by name: what `--logger csv` and `--logger MODULE:CLASS` stand for."""

from __future__ import annotations

import csv
import importlib
import inspect
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger

from convgraft.errors import UsageError, near_miss

CSV, TENSORBOARD = "csv", "tensorboard"
NAMED = {
    CSV: f"{__name__}:CsvLog",
    TENSORBOARD: "lightning.pytorch.loggers:TensorBoardLogger",
}
WRITERS = ("tensorboard", "tensorboardX")  # the packages of which TensorBoard's logger needs one
SAME_FOLDER = {"version": ""}  # in which a later call goes on, instead of a new one beside it
FILE = "metrics.csv"


class CsvLog(CSVLogger):
    """Lightning's CSV logger, which goes on with the file of an earlier call.

    Rows of that file at or after the step with which this call begins are left out: they are of
    an epoch that is trained again.
    """

    def __init__(self, save_dir: str, name: str, version: str = "") -> None:
        super().__init__(save_dir, name=name, version=version)
        self._earlier = _rows(Path(save_dir, name, version, FILE))

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Note metrics at a step; the first time after those of the earlier call."""
        earlier, self._earlier = self._earlier, []
        for row in earlier:
            number = int(row["step"])
            if step is None or number < step:
                super().log_metrics(_figures(row), number)
        super().log_metrics(metrics, step)


def _figures(row: dict[str, str]) -> dict[str, Any]:
    """What stands in a row, as the text that it is."""
    return {name: text for name, text in row.items() if text and name != "step"}


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def find_loggers(names: Sequence[str]) -> dict[str, type[Logger]]:
    """The loggers' classes, by name; raises UsageError before any work.

    Args:
        names: `csv`, `tensorboard`, or a class as `MODULE:CLASS`.
    """
    return {name: _find(name) for name in names}


def _find(name: str) -> type[Logger]:
    if name == TENSORBOARD and not any(map(find_spec, WRITERS)):
        raise UsageError(
            "TensorBoard is not installed",
            hint=f'pip install "convgraft[loggers]", or --logger {CSV}',
        )
    module, colon, own = NAMED.get(name, name).partition(":")
    if not (module and colon and own):
        raise UsageError(
            f'there is no logger called "{name}"',
            expected=f"{', '.join(NAMED)}, or MODULE:CLASS",
            hint=near_miss(name, NAMED) or "e.g. lightning.pytorch.loggers:MLFlowLogger",
        )
    try:
        found = getattr(importlib.import_module(module), own)
    except (ImportError, AttributeError) as error:
        raise UsageError(f'the logger "{name}" cannot be imported', found=str(error)) from error
    if not (isinstance(found, type) and issubclass(found, Logger)):
        raise UsageError(
            f'"{name}" is no Lightning logger',
            expected="a class below lightning.pytorch.loggers.Logger",
        )
    return found


def open_loggers(known: Mapping[str, type[Logger]], folder: Path, arm: str) -> list[Logger]:
    """A logger of each class for one arm, writing below `folder` where it writes files.

    Of `save_dir`, `name` and `run_name` each is given what it takes; services that want more
    read it from their environment. Raises UsageError where one cannot be made.
    """
    return [_opened(name, kind, folder, arm) for name, kind in known.items()]


def _opened(name: str, kind: type[Logger], folder: Path, arm: str) -> Logger:
    given = {"save_dir": str(folder), "name": arm, "run_name": arm}
    given |= SAME_FOLDER if name in NAMED else {}
    taken = inspect.signature(kind).parameters
    try:
        return kind(**{key: value for key, value in given.items() if key in taken})
    except (ImportError, TypeError, ValueError) as error:
        raise UsageError(f'the logger "{name}" cannot be made', found=str(error)) from error
