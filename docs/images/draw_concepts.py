"""Draws `concepts/NAME.svg` beside it: one small picture for each word of docs/concepts.md.

python docs/images/draw_concepts.py            write all pictures
python docs/images/draw_concepts.py --check    write nothing; exit 1 where one would change

All words stand in filled boxes, so that the pictures read on white and on black.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

OUT = Path(__file__).with_name("concepts")
WIDTH, CELL, GAP, HEIGHT = 360, 84, 24, 32
FILLS = {"learns": "#0b6e5f", "frozen": "#2f5d9b", "plain": "#4d5a58", "wire": "#8a5a00"}
LINE = "#8c9694"


@dataclass(frozen=True)
class Box:
    """A word at a column and a row of the grid, so many columns wide."""

    column: float
    row: float
    text: str
    kind: str = "plain"
    columns: int = 1

    @property
    def left(self) -> float:
        """Of the box, in pixels."""
        return 6 + self.column * (CELL + GAP) * 0.83

    @property
    def top(self) -> float:
        """Of the box, in pixels."""
        return 6 + self.row * (HEIGHT + GAP)

    @property
    def width(self) -> float:
        """In pixels."""
        return CELL * 0.83 + (self.columns - 1) * (CELL + GAP) * 0.83


Picture = tuple[tuple[Box, ...], tuple[tuple[int, int], ...]]  # boxes, and arrows between them

SOURCE: Picture = (
    (
        Box(0, 0, "image"),
        Box(1, 0, "resize, scale", "frozen", 1),
        Box(2, 0, "layers", "frozen"),
        Box(3, 0, "logits", "frozen"),
        Box(1, 1, "cifar_resnet20@w.safetensors", "plain", 3),
    ),
    ((0, 1), (1, 2), (2, 3)),
)
TAP: Picture = (
    (
        Box(0, 0, "layer1", "frozen"),
        Box(1, 0, "layer2", "frozen"),
        Box(2, 0, "layer3", "frozen"),
        Box(3, 0, "fc", "frozen"),
        Box(0, 1, "16 x 16 x 16"),
        Box(1, 1, "32 x 8 x 8"),
        Box(2, 1, "64 x 4 x 4"),
        Box(3, 1, "10"),
    ),
    ((0, 1), (1, 2), (2, 3), (0, 4), (1, 5), (2, 6), (3, 7)),
)
WIRE: Picture = (
    (
        Box(0, 0, "a:layer2", "frozen"),
        Box(1, 0, "adapter", "wire"),
        Box(2, 0, "join: add", "wire"),
        Box(3, 0, "b:layer3", "frozen"),
        Box(2, 1, "b:layer2", "frozen"),
    ),
    ((0, 1), (1, 2), (2, 3), (4, 2)),
)
PLAN: Picture = (
    (
        Box(0, 0, "source a = cifar_resnet20", "frozen", 4),
        Box(0, 1, "wire a:layer2 -> b:layer2 join=add", "wire", 4),
        Box(0, 2, "head label = linear(b:features)", "learns", 4),
    ),
    (),
)
COMPOSITE: Picture = (
    (
        Box(0, 0.5, "image"),
        Box(1, 0, "a", "frozen"),
        Box(1, 1, "b", "frozen"),
        Box(2, 0.5, "wire", "wire"),
        Box(3, 0.5, "head", "learns"),
    ),
    ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4)),
)
FRONTIER: Picture = (
    (
        Box(0, 0, "image"),
        Box(1, 0, "frozen", "frozen"),
        Box(2, 0, "frontier"),
        Box(3, 0, "learns", "learns"),
        Box(0, 1, "runs once", "frozen", 2),
        Box(2, 1, "runs in every epoch", "learns", 2),
    ),
    ((0, 1), (1, 2), (2, 3)),
)
STORE: Picture = (
    (
        Box(0, 0, "frozen part", "frozen"),
        Box(1, 0, "values"),
        Box(2, 0, "on disk", "plain"),
        Box(3, 0, "first fit", "learns"),
        Box(3, 1, "next fit", "learns"),
        Box(0, 1, "key: weights, pixels, graph", "frozen", 3),
    ),
    ((0, 1), (1, 2), (2, 3), (2, 4)),
)
STUDY: Picture = (
    (
        Box(0, 0, "one split", "frozen"),
        Box(1, 0, "join", "learns"),
        Box(1, 1, "fine-tune", "learns"),
        Box(1, 2, "average", "learns"),
        Box(2, 1, "test, once"),
        Box(3, 1, "verdict", "wire"),
    ),
    ((0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4), (4, 5)),
)
PICTURES: Mapping[str, Picture] = {
    "source": SOURCE,
    "tap": TAP,
    "wire": WIRE,
    "plan": PLAN,
    "composite": COMPOSITE,
    "frontier": FRONTIER,
    "store": STORE,
    "study": STUDY,
}


def svg(name: str) -> str:
    """The picture as a file's text; the same each time."""
    boxes, arrows = PICTURES[name]
    height = max(box.top for box in boxes) + HEIGHT + 6
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + 10} {height:.0f}" '
        f'role="img" font-family="sans-serif" font-size="10.5">',
        f"<title>{escape(name)}</title>",
        f'<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker>',
        *(_arrow(boxes[start], boxes[end]) for start, end in arrows),
        *_boxes(boxes),
        "</svg>",
    ]
    return "\n".join([*lines, ""])


def _boxes(boxes: Iterable[Box]) -> Iterable[str]:
    for box in boxes:
        yield (
            f'<rect x="{box.left:.1f}" y="{box.top:.1f}" width="{box.width:.1f}" '
            f'height="{HEIGHT}" rx="5" fill="{FILLS[box.kind]}"/>'
        )
        yield (
            f'<text x="{box.left + box.width / 2:.1f}" y="{box.top + HEIGHT / 2 + 4:.1f}" '
            f'text-anchor="middle" fill="#ffffff">{escape(box.text)}</text>'
        )


def _arrow(start: Box, end: Box) -> str:
    """From side to side, or from above to below where both stand in one column."""
    if start.column == end.column:
        down = end.top > start.top
        x = start.left + start.width / 2
        ends = (x, start.top + HEIGHT * down, x, end.top + HEIGHT * (not down))
    else:
        ends = (start.left + start.width, start.top + 16, end.left, end.top + 16)
    x1, y1, x2, y2 = (f"{number:.1f}" for number in ends)
    drawn = f'x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"'
    return f'<line {drawn} stroke="{LINE}" stroke-width="1.5" marker-end="url(#tip)"/>'


def main() -> int:
    """Write or check every picture; 1 where one is out of date."""
    if sys.argv[1:] == ["--check"]:
        return int(any((OUT / f"{one}.svg").read_text() != svg(one) for one in PICTURES))
    OUT.mkdir(exist_ok=True)
    for name in PICTURES:
        (OUT / f"{name}.svg").write_text(svg(name))
        print(OUT / f"{name}.svg")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
