"""A search's folder while it goes on: a line for each trial, and the networks worth keeping.

search.json     the configuration; another one is refused
trials.jsonl    a line for each trained trial
elapsed.json    seconds spent so far
kept/           the trial that is best so far, as a run
chosen.json     the number of the chosen trial; once it is there, nothing more is searched
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convgraft.durable.claiming import claim_folder
from convgraft.durable.holding import Holding
from convgraft.durable.lines import Line, append_line, read_config, read_lines, write_config
from convgraft.durable.on_disk import put_in_place
from convgraft.errors import ArtifactError

CONFIG, TRIALS, ELAPSED, KEPT = "search.json", "trials.jsonl", "elapsed.json", "kept"
CHOSEN = "chosen.json"
FREE = "other --minutes may be given"


@dataclass(frozen=True, eq=False)
class SearchStore:
    """A claimed folder.

    Attributes:
        lines: every trial that lies there, in the order in which they came.
        holding: the right to write there.
    """

    folder: Path
    lines: list[Line]
    holding: Holding | None = None

    @classmethod
    def claim(cls, folder: Path, config: Mapping[str, Any]) -> SearchStore:
        """Take a folder for a search, or go on with what lies there.

        Nobody else can write there until this store is gone. Raises ArtifactError where another
        configuration made it, where it holds files that are no search, where another process works
        in it, or where its trials cannot be read.
        """
        holding = claim_folder(folder, config, CONFIG, kind="search", free=FREE)
        return cls(folder, read_lines(folder / TRIALS, mend=True), holding)

    @property
    def elapsed(self) -> float:
        """Seconds that were spent when somebody last wrote them down."""
        path = self.folder / ELAPSED
        try:
            return float(read_config(path)["seconds"]) if path.is_file() else 0.0
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f'"{path}" cannot be read', found=str(error)) from error

    def spend(self, seconds: float) -> None:
        """Write down how many seconds were spent in all."""
        write_config(self.folder / ELAPSED, {"seconds": seconds})

    @property
    def chosen(self) -> Line | None:
        """The trial that the test part is read for; None while the search goes on."""
        path = self.folder / CHOSEN
        if not path.is_file():
            return None
        try:
            number = read_config(path)["number"]
            return next(line for line in self.lines if line["number"] == number)
        except (ValueError, KeyError, TypeError, StopIteration) as error:
            raise ArtifactError(
                f'"{path}" cannot be read',
                expected="the number of a trial",
                found=str(error) or "a number that no trial has",
            ) from error

    def choose(self, number: int) -> None:
        """Write down which trial is chosen, before the test part is read for it."""
        write_config(self.folder / CHOSEN, {"number": number})

    def note(self, name: str, data: Any) -> None:
        """Write plain data to a file of the folder, whole or not at all."""
        _write(self.folder / name, json.dumps(data, indent=2, ensure_ascii=False) + "\n")

    def find(self, key: str) -> Line | None:
        """The line of a candidate; None where it was not trained."""
        return next((line for line in self.lines if line["key"] == key), None)

    def append(self, line: Line) -> None:
        """Write a trial; it is on the disk when this returns."""
        append_line(self.folder / TRIALS, line)
        self.lines.append(line)

    def kept(self, number: int) -> Path:
        """Where the network of a trial lies, if it is kept."""
        return self.folder / KEPT / f"{number:04}"

    def keep_only(self, number: int) -> None:
        """Forget the networks of all other trials."""
        for path in (self.folder / KEPT).glob("*"):
            if path != self.kept(number):
                shutil.rmtree(path, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    put_in_place(part, path)
