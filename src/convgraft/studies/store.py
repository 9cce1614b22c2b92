"""A study's folder: one line a result, appended and never changed, so that work can go on.

study.json      the configuration; another one is refused
results.jsonl   a line for each arm of each cell; an arm that failed has one that says so
predictions/    CELL/ARM.safetensors: what each arm made of every test image
state/          checkpoints, and networks that an average vote waits for
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from convgraft.compose import Composite
from convgraft.errors import ArtifactError
from convgraft.studies.failures import FAILED, failures, finished
from convgraft.studies.lines import Line, append_line, differing, read_lines
from convgraft.studies.predictions import Predictions

CONFIG, RESULTS, STATE, PREDICTIONS = "study.json", "results.jsonl", "state", "predictions"


@dataclass(frozen=True, eq=False)
class StudyStore:
    """A claimed folder.

    Attributes:
        lines: every line that lies there, of results and of failures, in the order in which they
            came.
    """

    folder: Path
    lines: list[Line]

    @classmethod
    def claim(cls, folder: Path, config: Mapping[str, Any]) -> StudyStore:
        """Take a folder for a study, or go on with what lies there.

        Raises ArtifactError where another configuration made it, where it holds files that are no
        study, or where its results cannot be read.
        """
        text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        if folder.exists() and not folder.is_dir():
            raise ArtifactError(f'"{folder}" is a file', expected="a folder for the study")
        if folder.is_dir() and any(folder.iterdir()):
            _check_config(folder, text)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f".{CONFIG}.part"
            part.write_text(text, encoding="utf-8")
            part.replace(folder / CONFIG)
        return cls(folder, read_lines(folder / RESULTS))

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

        Raises ArtifactError where the file cannot be read.
        """
        path = self.predictions_path(cell, arm)
        return Predictions.load(path) if path.is_file() else None

    def checkpoint(self, cell: str, arm: str) -> Path:
        """Where an arm's training state lies while it trains."""
        return self.folder / STATE / cell / f"{arm}.ckpt"

    def keep(self, cell: str, arm: str, composite: Composite) -> None:
        """Keep a trained network until the cell is done."""
        from safetensors.torch import save_file

        path = self._kept(cell, arm)
        path.parent.mkdir(parents=True, exist_ok=True)
        # clones, because safetensors refuses tensors that share memory
        state = {name: t.clone().contiguous() for name, t in composite.state_dict().items()}
        part = path.with_suffix(".part")
        save_file(state, part)
        part.replace(path)

    def kept(self, cell: str, arm: str) -> dict[str, Tensor]:
        """The weights of a network that was kept; raises ArtifactError where it is gone."""
        from safetensors.torch import load_file

        path = self._kept(cell, arm)
        if not path.is_file():
            raise ArtifactError(
                f"the weights of {arm} are gone, and an average vote needs them",
                expected=str(path),
                hint="the same command with another --out",
            )
        return load_file(path)

    def forget(self, cell: str) -> None:
        """Remove what was kept for a cell, and the folder of all that when nothing is left."""
        shutil.rmtree(self.folder / STATE / cell, ignore_errors=True)
        if (self.folder / STATE).is_dir() and not any((self.folder / STATE).iterdir()):
            (self.folder / STATE).rmdir()

    def _kept(self, cell: str, arm: str) -> Path:
        return self.folder / STATE / cell / f"{arm}.safetensors"


def _check_config(folder: Path, text: str) -> None:
    path = folder / CONFIG
    if not path.is_file():
        raise ArtifactError(
            f'the folder "{folder}" is in use',
            expected="a new folder, or one with a study",
            found=f"files, and no {CONFIG}",
            hint="another --out",
        )
    there = path.read_text(encoding="utf-8")
    if there == text:
        return
    raise ArtifactError(
        f'the folder "{folder}" holds results of another study',
        expected=f"the configuration in {path}",
        found=f"other values of {', '.join(differing(there, text)) or 'something'}",
        hint="the command that made it (other --limits, --seeds and --only may be added), "
        "or another --out",
    )
