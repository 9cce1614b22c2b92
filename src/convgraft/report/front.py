"""The accuracy-cost front of a search in a table and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convgraft.report.tables import markdown_table

FRONT_HEADER = ("trial", "val top-1", "M MACs", "weights", "ms", "sec")
HOW = (
    "Beside each trial of the front, none has a higher validation top-1 at no more MACs. Choices "
    "are made on the validation part alone, and the best of many trials is flattered by it; the "
    "test part was read once, for the chosen trial. Milliseconds are of one image on the CPU."
)

Line = Mapping[str, Any]


def front_cells(lines: Sequence[Line]) -> list[list[str]]:
    """The cells of the front's table, below `FRONT_HEADER`."""
    return [
        [
            line["name"],
            f"{100 * line['val']:.2f}",
            f"{line['macs'] / 1e6:.1f}",
            f"{line['parameters']:,}",
            f"{line['latency']:.1f}",
            f"{line['seconds']:.0f}",
        ]
        for line in lines
    ]


def front_words(told: Mapping[str, Any]) -> list[str]:
    """What was chosen, what it scores, and the best single network beside it."""
    chosen, single = told["chosen"], told["best_single"]
    words = [
        f"chosen of {told['trials']} trials: {_scored(chosen)}",
        f"test top-1 of {chosen['name']}: {100 * chosen['test']['top1']:.2f} %",
    ]
    if single is not None:
        words.append(f"best single network: {_scored(single)}")
    networks = (f"{name} = {spec}" for name, spec in told["networks"].items())
    return [*words, f"networks: {', '.join(networks)}"]


def _scored(line: Line) -> str:
    macs = f"{line['macs'] / 1e6:.1f} million MACs"
    return f"{line['name']}, validation top-1 {100 * line['val']:.2f} %, {macs}"


def front_table(title: str, told: Mapping[str, Any]) -> str:
    """The front as a Markdown page."""
    table = markdown_table(FRONT_HEADER, front_cells(told["front"]))
    words = "\n".join(f"* {line}" for line in front_words(told))
    return f"# {title}\n\n{table}\n\n{words}\n\n{HOW}\n"
