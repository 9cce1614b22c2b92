"""What `convgraft reproduce` has found so far, read from its folder."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convgraft.cli.recorded_command import recorded_calls, software
from convgraft.cli.reproduce_steps import COUNTS
from convgraft.errors import ArtifactError
from convgraft.export import METRICS, write_json, write_text
from convgraft.studies.paper import PaperRow, Places, RowOutcome, Scale, read_outcome, read_rows

MARKDOWN, DATA = "REPRODUCED.md", "reproduced.json"
# places that are one machine's own
PRIVATE = {"--data": "DATA", "--weights": "WEIGHTS", "--markdown": "FILE"}


@dataclass(frozen=True, eq=False)
class Results:
    """Everything that lies in the folder of a reproduction.

    Attributes:
        commands: those that made it, folders of data and weights as `DATA` and `WEIGHTS`.
        date: of this reading, UTC.
        versions: of what ran it.
        threads: that a run on a CPU may use.
        counts: table 1, as `SetCounts.as_dict` gives it; empty where it was not asked for.
        rows: of tables 2 and 3, with what came of them; None: not run yet.
        pretrained: what networks learned before, as their notes tell it.
    """

    scale: Scale
    commands: Sequence[str]
    date: str
    versions: Mapping[str, str]
    threads: int
    counts: Sequence[Mapping[str, Any]]
    rows: Sequence[tuple[PaperRow, RowOutcome | None]]
    pretrained: Sequence[Mapping[str, Any]]

    def table(self, number: int) -> list[tuple[PaperRow, RowOutcome | None]]:
        """A table's rows; none where not one of them has a result."""
        rows = [(row, found) for row, found in self.rows if row.printed.table == number]
        return rows if any(found for _, found in rows) else []

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        tables = {
            f"table{number}": [
                {
                    "row": row.name,
                    "printed": asdict(row.printed),
                    "ours": None if found is None else found.as_dict(),
                }
                for row, found in self.table(number)
            ]
            for number in (2, 3)
        }
        return {
            "commands": list(self.commands),
            "date": self.date,
            "versions": dict(self.versions),
            "threads": self.threads,
            "scale": asdict(self.scale),
            "table1": list(self.counts),
            **tables,
            "pretrained": list(self.pretrained),
        }


def read_results(scale: Scale, places: Places) -> Results:
    """Everything that lies there, also of earlier commands; raises ArtifactError."""
    import torch

    calls = [_public(call["command"]) for call in recorded_calls(places.out)]
    counts = places.out / COUNTS
    folders = sorted((places.out / "pretrained").glob(f"*/{METRICS}"))
    return Results(
        scale,
        tuple(dict.fromkeys(calls)),
        datetime.now(UTC).date().isoformat(),
        software(),
        torch.get_num_threads(),
        _json(counts) if counts.is_file() else [],
        [(row, read_outcome(row, places.study(row))) for row in read_rows().values()],
        [{"name": path.parent.name, **_learned(_json(path))} for path in folders],
    )


def write_results(found: Results, text: str, out: Path, markdown: Path | None) -> list[Path]:
    """REPRODUCED.md and reproduced.json, and the Markdown where it was asked for; their paths."""
    write_json(out / DATA, found.as_dict())
    texts = [out / MARKDOWN, *([markdown] if markdown else [])]
    for path in texts:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    return [*texts, out / DATA]


def _learned(notes: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reader wants to know of a pretraining."""
    (row,) = notes["rows"]
    told = {key: notes["pretraining"][key] for key in ("size", "seed", "amount", "scale")}
    top1 = {"val": row["val"], "test": row["test"]["top1"], "images": row["test"]["images"]}
    return {**told, **top1, "seconds": row["seconds"]}


def _public(command: str) -> str:
    """The command with places of one machine, folders and the file asked for, as words."""
    words = shlex.split(command)
    for place, word in enumerate(words):
        option, equals, _ = word.partition("=")
        if option in PRIVATE and equals:
            words[place] = f"{option}={PRIVATE[option]}"
        elif option in PRIVATE and place + 1 < len(words):
            words[place + 1] = PRIVATE[option]
    return shlex.join(words)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f'"{path}" cannot be read', found=str(error)) from error
