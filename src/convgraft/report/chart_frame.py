"""The frame of a chart: its scales, its grid and its words, as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from convgraft.report.svg import element, together

STEPS = (1, 2, 2.5, 5, 10)
LETTER, LINE = 6.7, 15.0  # about how wide a letter is, and how high a line of names, in pixels
LONGEST = 30  # letters of a name that are written


@dataclass(frozen=True)
class Scale:
    """From values to pixels; `log` where each step multiplies."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value stands."""
        low, high, value = (
            math.log(max(one, 1e-12)) if self.log else one for one in (self.low, self.high, value)
        )
        return self.start + (value - low) / (high - low) * (self.stop - self.start)


@dataclass(frozen=True)
class Frame:
    """Room for a chart, in pixels: `right` and the others are margins around its inside."""

    width: float = 720.0
    height: float = 340.0
    left: float = 58.0
    right: float = 24.0
    top: float = 14.0
    bottom: float = 46.0

    def across(self, values: Sequence[float], *, log: bool = False) -> Scale:
        """A scale from left to right with a little room around the values."""
        stop = self.width - self.right
        if log:
            low, high = min(values), max(values)
            room = (high / low) ** 0.06 if high > low else 1.2
            return Scale(low / room, high * room, self.left, stop, log=True)
        return Scale(*_roomy(values), self.left, stop)

    def upwards(
        self, values: Sequence[float], bounds: tuple[float, float] = (-math.inf, math.inf)
    ) -> Scale:
        """A scale from bottom to top with a little room, within `bounds`."""
        low, high = _roomy(values)
        low, high = max(low, bounds[0]), min(high, bounds[1])
        return Scale(low, high, self.height - self.bottom, self.top)


def _roomy(values: Sequence[float], share: float = 0.08) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = (high - low) * share or abs(high) * share or 1.0
    return low - room, high + room


def ticks(scale: Scale, count: int = 5) -> list[float]:
    """Round values within a scale, about `count` of them.

    >>> ticks(Scale(0, 10, 0, 1))
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    if scale.log:
        powers = range(math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high)) + 1)
        fine = [step * 10.0**power for power in powers for step in (1, 2, 5)]
        inside = [value for value in fine if scale.low <= value <= scale.high]
        if len(inside) >= 2:
            return inside[:: max(1, len(inside) // 7)]
    rough = (scale.high - scale.low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in STEPS if s * power >= rough * 0.999)
    first = math.ceil(scale.low / step - 1e-9)
    last = math.floor(scale.high / step + 1e-9)
    return [round(number * step, 10) + 0.0 for number in range(first, last + 1)]


def plain(value: float) -> str:
    """A number as a tick says it."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def draw_frame(
    frame: Frame,
    across: Scale,
    upwards: Scale,
    labels: tuple[str, str],
    *,
    say: Callable[[float], str] = plain,
    x_ticks: Sequence[float] | None = None,
) -> Markup:
    """Grid, ticks and what the axes are called; `labels` are those of x and of y."""
    floor, right = frame.height - frame.bottom, frame.width - frame.right
    parts: list[str] = []
    for value in ticks(upwards):
        y = upwards.place(value)
        parts.append(element("line", x1=frame.left, x2=right, y1=y, y2=y, class_="grid"))
        parts.append(element("text", plain(value), x=frame.left - 8, y=y + 4, class_="tick end"))
    for value in ticks(across) if x_ticks is None else x_ticks:
        x = across.place(value)
        parts.append(element("line", x1=x, x2=x, y1=floor, y2=floor + 5, class_="axis"))
        parts.append(element("text", say(value), x=x, y=floor + 18, class_="tick middle"))
    parts.append(element("line", x1=frame.left, x2=right, y1=floor, y2=floor, class_="axis"))
    middle = (frame.left + right) / 2
    parts.append(element("text", labels[0], x=middle, y=frame.height - 8, class_="label middle"))
    turn = f"translate(15 {(frame.top + floor) / 2:.0f}) rotate(-90)"
    parts.append(element("text", labels[1], transform=turn, class_="label middle"))
    return together(parts)


def apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places as near as can be to those wanted, `gap` apart where there is room for that.

    >>> apart([10, 12], 8, 0, 100)
    [7.0, 15.0]
    """
    order = sorted(range(len(wanted)), key=lambda number: wanted[number])
    groups: list[list[int]] = []
    for number in order:
        groups.append([number])
        while len(groups) > 1 and _first(groups[-1], wanted, gap) < (
            _first(groups[-2], wanted, gap) + gap * len(groups[-2])
        ):
            last = groups.pop()
            groups[-1] += last
    found = dict.fromkeys(order, 0.0)
    lowest, highest = low, high - gap * (len(order) - 1)
    for group in groups:
        first = max(lowest, min(_first(group, wanted, gap), highest))
        for place, number in enumerate(group):
            found[number] = first + place * gap
        lowest, highest = first + gap * len(group), highest + gap * len(group)
    return [found[number] for number in range(len(wanted))]


def _first(group: Sequence[int], wanted: Sequence[float], gap: float) -> float:
    """Where a group's first one stands when the group is centred on what it wants."""
    return sum(wanted[number] for number in group) / len(group) - gap * (len(group) - 1) / 2


def short(name: str) -> str:
    """A name as it is written in a chart."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def widest(names: Sequence[str]) -> float:
    """About how wide the widest name is, in pixels."""
    return LETTER * max(len(short(name)) for name in names)


def svg(frame: Frame, title: str, *inside: str, style: str = "chart") -> Markup:
    """The chart as one picture, called `title` to those who do not see it."""
    return element(
        "svg",
        element("title", title),
        *inside,
        viewBox=f"0 0 {frame.width:.0f} {frame.height:.0f}",
        role="img",
        class_=style,
        aria_label=title,
    )
