"""What a report's page holds, as plain values: made of a run or of a study, written as a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from markupsafe import Markup

from convgraft.studies import Interval

Pairs = tuple[tuple[str, str], ...]  # a name and what is told under it


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: what it shows, in a sentence.
        marked: numbers of the rows that stand out.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Point:
    """An arm's accuracy and cost.

    Attributes:
        kind: `join`, `control`, `baseline` or `average`.
        top1: on the test part, with its interval where several seeds tell it.
        macs: of one image.
    """

    name: str
    kind: str
    top1: Interval
    macs: float


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
        points: (x, y) in order of x.
        marked: the x that was chosen; None where none was.
    """

    name: str
    kind: str
    points: tuple[tuple[float, float], ...]
    marked: float | None = None


@dataclass(frozen=True)
class Chart:
    """Lines over a common axis; `log` for an axis of x on which each step multiplies."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log: bool = False


@dataclass(frozen=True)
class Mistake:
    """A wrong answer.

    Attributes:
        probability: what the network gave the wrong class, 0 to 1.
        picture: the image as a `data:` address; empty where it is not known.
    """

    id: str
    label: str
    answer: str
    probability: float
    picture: str = ""


@dataclass(frozen=True)
class Bin:
    """Answers of about the same confidence: how many, how confident, and how many are right."""

    count: int
    confidence: float
    right: float


@dataclass(frozen=True)
class Examined:
    """What an arm's answers on the test part show.

    Attributes:
        told: whose answers they are, in words.
        classes: names, in the order of `confusion`.
        confusion: [true class][answer], numbers of images.
        bins: of calibration, confidence rising; empty bins are left out.
        ece: expected calibration error over the bins.
        mistakes: the most confident ones first.
    """

    told: str
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    bins: tuple[Bin, ...]
    ece: float
    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True)
class FusionMap:
    """The picture of a plan.

    Attributes:
        title: whose plan it is.
        svg: the picture, escaped.
        tables: the same as tables: wires, taps and heads.
        plan: the plan as text.
    """

    title: str
    svg: Markup
    tables: tuple[Table, ...]
    plan: str


@dataclass(frozen=True)
class Page:
    """A report. What is empty or None is not known, and its section is left out.

    Attributes:
        title: the run's or the study's name.
        about: what it is, in a line.
        verdict: sentences, the first one the most important.
        highlights: the few figures to see first.
        arms: the table of arms.
        how: how its figures were made.
        compared: arms against what they have to beat; `how_compared` says how that was done.
        points: accuracy and cost of every arm.
        charts: learning curves, and accuracy over training images.
        failed, leaks: arms without a result, and pictures in several parts of a split.
        command: what makes the same again; `command_words` says where it comes from.
        facts: versions, hashes, data and options, by heading.
        lines: the raw figures, a mapping for each row of the CSV.
    """

    title: str
    about: str
    verdict: tuple[str, ...]
    highlights: Pairs
    arms: Table
    how: str
    compared: Table | None = None
    how_compared: str = ""
    points: tuple[Point, ...] = ()
    charts: tuple[Chart, ...] = ()
    examined: Examined | None = None
    fusion: FusionMap | None = None
    frozen: tuple[Table, ...] = ()
    failed: Table | None = None
    leaks: Table | None = None
    command: str = ""
    command_words: str = ""
    facts: Mapping[str, Pairs] = field(default_factory=dict)
    lines: tuple[Mapping[str, object], ...] = ()
