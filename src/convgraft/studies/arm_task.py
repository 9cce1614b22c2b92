"""One arm of one cell as it is sent to a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from convgraft.durable.lines import Line
from convgraft.strategies import Ingredients
from convgraft.studies.cell import Cell
from convgraft.studies.study import Study
from convgraft.training import FitOptions, Task

OpenCell = Callable[[Cell], tuple[Task, Ingredients]]


@dataclass(frozen=True, eq=False)
class ArmTask:
    """One arm of one cell, by value.

    Attributes:
        token: of the study's call: tasks that have the same one share what is opened.
        study: with all that was decided before it began.
        open_cell: as of `run_study`; a function of a module, or a method of plain values.
        arm: the entry's name.
        again: whether its line is there, and its weights alone are wanted, trained once more.
        keep: whether its weights are wanted.
        lines: that its work has to know: of its members, and of the same arm in other cells.
        weights: of its members, as files' bytes by name.
        folder: of the study; a worker that has it too writes checkpoints there.
        config: of the study, by which that folder is known.
    """

    token: str
    study: Study
    cell: Cell
    open_cell: OpenCell
    options: FitOptions
    arm: str
    again: bool = False
    keep: bool = False
    lines: Sequence[Line] = ()
    weights: Mapping[str, bytes] = field(default_factory=dict)
    folder: Path = Path()
    config: bytes = b""
