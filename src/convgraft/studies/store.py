"""A study's folder: one line a result, appended and never changed, so that work can go on.

study.json      the configuration; another one is refused
results.jsonl   a line for each arm of each cell; an arm that failed has one that says so
predictions/    CELL/ARM.safetensors: what each arm made of every test image
state/          checkpoints, networks that an average vote waits for, and a note while workers'
                lines come in any order
.lock           held by the process that works here; two of them would mix their lines
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from convgraft.compose import Composite
from convgraft.durable.claiming import claim_folder
from convgraft.durable.holding import Holding
from convgraft.durable.lines import (
    Line,
    append_line,
    read_config,
    read_lines,
    write_config,
)
from convgraft.durable.on_disk import make_folder, put_in_place
from convgraft.durable.sealed_tensors import DamagedTensors, load_sealed, save_sealed
from convgraft.errors import ArtifactError
from convgraft.studies.failures import FAILED, failures, finished
from convgraft.studies.predictions import Predictions

UNORDERED = "unordered.json"  # how many lines were in order when workers began
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

    def expect_disorder(self) -> None:
        """Note that from now on lines come in the order in which workers happen to end."""
        path = self.folder / STATE / UNORDERED
        if not path.is_file():
            make_folder(path.parent)
            write_config(path, {"lines": len(self.lines)})

    def put_in_order(self, places: Sequence[tuple[str, str]]) -> None:
        """Bring the lines since then into the order of these cells and arms; nothing without that.

        Tables tell arms in the order of the lines, which is so that of a study in one process.
        """
        path = self.folder / STATE / UNORDERED
        if not path.is_file():
            return
        first, count = read_config(path)["lines"], len(self.lines)
        rank = {place: number for number, place in enumerate(places)}
        told = [rank.get((line["cell"], line["arm"]), -1) for line in self.lines]
        order = [*range(first), *sorted(range(first, count), key=told.__getitem__)]
        if order != list(range(count)):
            texts = (self.folder / RESULTS).read_bytes().splitlines(keepends=True)
            _write(self.folder / RESULTS, b"".join(texts[number] for number in order))
            self.lines[:] = [self.lines[number] for number in order]
        path.unlink()
        self._leave_no_state()

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

    def drop_checkpoint(self, cell: str, arm: str) -> None:
        """Forget an arm's training state, once it is trained."""
        self.checkpoint(cell, arm).unlink(missing_ok=True)

    def keep(self, cell: str, arm: str, composite: Composite) -> None:
        """Keep a trained network until the cell is done."""
        path = self.kept_path(cell, arm)
        make_folder(path.parent)
        save_sealed(path, composite.state_dict(), {})

    def keep_file(self, cell: str, arm: str, data: bytes) -> None:
        """The same for a network that another process sent, as the bytes of such a file."""
        _write(self.kept_path(cell, arm), data)

    def keep_predictions(self, cell: str, arm: str, data: bytes) -> None:
        """Write predictions that another process sent, as the bytes of such a file."""
        _write(self.predictions_path(cell, arm), data)

    def kept(self, cell: str, arm: str) -> dict[str, Tensor] | None:
        """The weights of a network that was kept; None where they are gone, or damaged."""
        path = self.kept_path(cell, arm)
        try:
            return load_sealed(path)[0] if path.is_file() else None
        except DamagedTensors:
            return None

    def forget(self, cell: str) -> None:
        """Remove what was kept for a cell, and the folder of all that when nothing is left."""
        shutil.rmtree(self.folder / STATE / cell, ignore_errors=True)
        self._leave_no_state()

    def _leave_no_state(self) -> None:
        if (self.folder / STATE).is_dir() and not any((self.folder / STATE).iterdir()):
            (self.folder / STATE).rmdir()

    def kept_path(self, cell: str, arm: str) -> Path:
        """Where the weights of a network lie that was kept."""
        return self.folder / STATE / cell / f"{arm}.safetensors"


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    make_folder(path.parent)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    put_in_place(part, path)
