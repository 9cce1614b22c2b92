"""A study's folder: one line a result, appended and never changed, so that work can go on.

study.json      the configuration; another one is refused
results.jsonl   a line for each arm of each cell; an arm that failed has one that says so
predictions/    CELL/ARM.safetensors: what each arm made of every test image
state/          checkpoints, and networks that an average vote waits for
.lock           held by the process that works here; two of them would mix their lines
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from convgraft.compose import Composite
from convgraft.durable.claiming import claim_folder
from convgraft.durable.holding import Holding
from convgraft.durable.lines import Line, append_line, read_lines
from convgraft.durable.on_disk import make_folder
from convgraft.durable.sealed_tensors import DamagedTensors, load_sealed, save_sealed
from convgraft.errors import ArtifactError
from convgraft.studies.failures import FAILED, failures, finished
from convgraft.studies.predictions import Predictions

CONFIG, RESULTS, STATE, PREDICTIONS = "study.json", "results.jsonl", "state", "predictions"
FREE = "other --limits, --seeds and --only may be added"


@dataclass(frozen=True, eq=False)
class StudyStore:
    """A claimed folder.

    Attributes:
        lines: every line that lies there, of results and of failures, in the order in which they
            came.
        holding: the right to write there; without it the folder is only read.
        unread: cell and arm of predictions that were asked for and cannot be read.
    """

    folder: Path
    lines: list[Line]
    holding: Holding | None = None
    unread: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    def claim(cls, folder: Path, config: Mapping[str, Any]) -> StudyStore:
        """Take a folder for a study, or go on with what lies there.

        Nobody else can write there until this store is gone. Raises ArtifactError where another
        configuration made it, where it holds files that are no study, where another process works
        in it, or where its results cannot be read.
        """
        holding = claim_folder(folder, config, CONFIG, kind="study", free=FREE)
        return cls(folder, read_lines(folder / RESULTS, mend=True), holding)

    def find(self, cell: str, arm: str) -> Line | None:
        """An arm's result in a cell; None where there is none yet."""
        found = (
            line for line in finished(self.lines) if (line["cell"], line["arm"]) == (cell, arm)
        )
        return next(found, None)

    def check_epochs(self, epochs: Mapping[str, int]) -> None:
        """Whether results took as many epochs as are asked for by cell; raises ArtifactError."""
        for line in finished(self.lines):
            asked = epochs.get(line["cell"], line["epochs"])
            if line["epochs"] != asked:
                raise ArtifactError(
                    f'"{self.folder}" has results of {line["cell"]} with other epochs',
                    expected=f"{line['epochs']} epochs",
                    found=str(asked),
                    hint="the epochs that made them, or another --out",
                )

    def append(self, line: Line) -> None:
        """Write a result; it is on the disk when this returns."""
        append_line(self.folder / RESULTS, line)
        self.lines.append(line)

    def append_failure(self, line: Line) -> None:
        """Write that an arm failed, unless its last line says just that."""
        told = {(one["cell"], one["arm"], one[FAILED]) for one in failures(self.lines)}
        if (line["cell"], line["arm"], line[FAILED]) not in told:
            self.append(line)

    def predictions_path(self, cell: str, arm: str) -> Path:
        """Where an arm's predictions lie."""
        return self.folder / PREDICTIONS / cell / f"{arm}.safetensors"

    def predictions(self, cell: str, arm: str) -> Predictions | None:
        """What an arm made of a cell's test images; None where that was not kept.

        None too where the file cannot be read, which `unread` tells.
        """
        path = self.predictions_path(cell, arm)
        try:
            return Predictions.load(path) if path.is_file() else None
        except ArtifactError:
            self.unread.add((cell, arm))
            return None

    def checkpoint(self, cell: str, arm: str) -> Path:
        """Where an arm's training state lies while it trains."""
        return self.folder / STATE / cell / f"{arm}.ckpt"

    def keep(self, cell: str, arm: str, composite: Composite) -> None:
        """Keep a trained network until the cell is done."""
        path = self._kept(cell, arm)
        make_folder(path.parent)
        save_sealed(path, composite.state_dict(), {})

    def kept(self, cell: str, arm: str) -> dict[str, Tensor] | None:
        """The weights of a network that was kept; None where they are gone, or damaged."""
        path = self._kept(cell, arm)
        try:
            return load_sealed(path)[0] if path.is_file() else None
        except DamagedTensors:
            return None

    def forget(self, cell: str) -> None:
        """Remove what was kept for a cell, and the folder of all that when nothing is left."""
        shutil.rmtree(self.folder / STATE / cell, ignore_errors=True)
        if (self.folder / STATE).is_dir() and not any((self.folder / STATE).iterdir()):
            (self.folder / STATE).rmdir()

    def _kept(self, cell: str, arm: str) -> Path:
        return self.folder / STATE / cell / f"{arm}.safetensors"
