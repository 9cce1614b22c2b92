"""A matching in the terminal: the heat map, the pairs and the stitches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from convgraft.cli.console import print_table
from convgraft.report.match_text import (
    STITCH_HEADER,
    match_words,
    pair_cells,
    pair_header,
    pair_reasons,
    stitch_cells,
)

if TYPE_CHECKING:
    from rich.text import Text

LONGEST_NAME = 24
CELL = 5  # characters: "[ 91]"
# even in brightness from dark blue to light yellow, as matplotlib's cividis is
SHADES = ((0, 34, 78), (66, 78, 108), (125, 124, 120), (187, 175, 113), (253, 231, 55))


def print_matching(data: Mapping[str, Any]) -> None:
    """Print everything on standard output."""
    from rich.console import Console

    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = max(100, console.width)
    console.print(match_words(data))
    console.print()
    for line in heat_map(data, console.width):
        console.print(line, no_wrap=True, crop=False, overflow="ignore")
    if data["pairs"]:
        print_table("pairs, from the input on", pair_header(data), pair_cells(data))
        for reason in pair_reasons(data):
            console.print(reason)
        console.print()
    else:
        console.print("no pair is worth what it costs")
    if data["stitches"]:
        images = data["stitches"][0]["images"]
        best = stitch_cells(data)[: data["stitches_asked"]]
        title = (
            f"what each stitch is predicted to cost: top-1 in % on {images} held-out images, "
            f"best {len(best)} of {len(data['stitches'])} tried"
        )
        print_table(title, STITCH_HEADER, best)


def heat_map(data: Mapping[str, Any], width: int) -> Iterator[Text]:
    """CKA in hundredths as lines at most `width` wide, chosen pairs in brackets.

    Columns are named where names fit into cells, else numbered with a legend; what is too wide is
    split into several maps, one below the other.
    """
    from rich.text import Text

    left, right = data["networks"]
    rows, columns = ([tap["name"] for tap in one["taps"]] for one in (left, right))
    pairs = {(rows.index(p["left"]), columns.index(p["right"])) for p in data["pairs"]}
    labels = [shortened(name) for name in rows]
    margin = max(map(len, labels)) + 1
    named = margin + len(columns) * (max(map(len, columns)) + 1) <= width
    cell = max(CELL, max(map(len, columns)) + 1) if named else CELL
    heads = columns if named else [str(number + 1) for number in range(len(columns))]
    yield Text(f"CKA in hundredths: {left['name']} down, {right['name']} across; [ ] a chosen pair")
    count = max(1, (width - margin) // cell)
    for start in range(0, len(columns), count):
        places = range(start, min(start + count, len(columns)))
        yield Text(" " * margin + "".join(f"{heads[place]:>{cell - 1}} " for place in places))
        for row, values in enumerate(data["cka"]):
            line = Text(f"{labels[row]:<{margin}}")
            for place in places:
                line.append(*_cell(values[place], cell, chosen=(row, place) in pairs))
            yield line
        yield Text("")
    if not named:
        yield from (Text(line) for line in _legend(columns, width))


def _legend(columns: Sequence[str], width: int) -> list[str]:
    """What the numbers of the columns stand for."""
    lines = [""]
    for number, name in enumerate(columns):
        item = f"{number + 1} {shortened(name)}  "
        if len(lines[-1]) + len(item.rstrip()) > width:
            lines.append("")
        lines[-1] += item
    return [line.rstrip() for line in (*lines, "")]


def shortened(name: str) -> str:
    """A tap's name with its middle left out where it is long."""
    if len(name) <= LONGEST_NAME:
        return name
    end = LONGEST_NAME // 2
    return f"{name[: LONGEST_NAME - end - 1]}…{name[-end:]}"


def _cell(value: float | None, width: int, *, chosen: bool) -> tuple[str, str]:
    """Text of a cell and its style."""
    told = "-" if value is None else f"{100 * value:.0f}"
    text = f"[{told:>{width - 2}}]" if chosen else f"{told:>{width - 1}} "
    return text, "" if value is None else _style(value)


def _style(value: float) -> str:
    """Colours of a cell: the darker, the less alike."""
    place = min(max(value, 0.0), 1.0) * (len(SHADES) - 1)
    low = min(int(place), len(SHADES) - 2)
    shares = place - low
    mixed = (round(a + shares * (b - a)) for a, b in zip(SHADES[low], SHADES[low + 1], strict=True))
    red, green, blue = mixed
    front = "black" if value > 0.5 else "white"
    return f"{front} on rgb({red},{green},{blue})"
