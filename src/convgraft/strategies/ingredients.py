"""What every strategy is given: named, opened sources, a task's size and classes, and options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from string import ascii_lowercase

from torch import Tensor

from convgraft.compose import source_ref
from convgraft.errors import PlanError, Problem, SourceError, UsageError
from convgraft.match import stage_ends
from convgraft.plan import Head, SourceRef, TapRef
from convgraft.sources import Source, Survey, Tap, parse_selection
from convgraft.sources.select import tap_places


@dataclass(frozen=True)
class StrategyOptions:
    """Choices within strategies; each strategy reads those that its row in the table names.

    Attributes:
        start: how wires begin, `zero` (a no-op until training opens them) or `one`; empty: `zero`
            where the join allows it.
        hidden: widths of hidden dense layers in the head.
        dropout: before the classifier.
        fusion: how a head over several networks makes one vector, a row of `FUSIONS`.
        head: kind of the head over many taps, `linear`, `mlp` or `side`; empty: `mlp` with hidden
            layers, else `linear`.
        adapter: a row of `ADAPTERS`; empty: the strategy's own choice.
        join: a row of `JOINS`; empty: the strategy's own choice.
        taps: a selection of the taps to use; empty: the strategy's own choice.
        at: where to cut, `TAP` or `TAP:TAP` (of the first and of the second network).
        direction: `both`, `forward` (first to second network) or `backward`.
        via: what a network hands on, `map`, `features` or `probabilities`.
        into: the tap that it arrives at.
        classifier: `new`, or `own` for the last network's, which then knows the data's classes.
        vote: kind of an ensemble's vote.
        filters: a bank of fixed kernels, what follows `filters/` in its name.
        pairs: how taps of two networks are paired, by `shape` or, on training images, by
            `likeness`.
    """

    start: str = ""
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0
    fusion: str = "concat"
    head: str = ""
    adapter: str = ""
    join: str = ""
    taps: str = ""
    at: str = ""
    direction: str = "both"
    via: str = "map"
    into: str = "input"
    classifier: str = "new"
    vote: str = "average"
    filters: str = "gaussian"
    pairs: str = "shape"


@dataclass(frozen=True, eq=False)
class Ingredients:
    """Sources by name, and what they are to be combined for.

    Attributes:
        classes: of the main label column.
        columns: number of classes of every further label column, by name.
        images: gives training images, uint8 [N, 3, S, S]; None where there are none at hand, and
            shapes alone decide what a strategy would decide by likeness.
    """

    sources: Mapping[str, Source]
    image_size: int
    classes: int
    options: StrategyOptions = field(default_factory=StrategyOptions)
    columns: Mapping[str, int] = field(default_factory=dict)
    images: Callable[[], Tensor] | None = None

    @cached_property
    def surveys(self) -> Mapping[str, Survey]:
        """Each source's taps at the image size; raises PlanError where an image is too small."""
        surveys: dict[str, Survey] = {}
        problems: list[Problem] = []
        for name, source in self.sources.items():
            try:
                surveys[name] = source.survey(self.image_size)
            except SourceError as error:
                problems.append(Problem.at(f"source {name} ({source.spec})", error))
        if problems:
            raise PlanError(problems)
        return surveys

    @property
    def refs(self) -> tuple[SourceRef, ...]:
        """The sources as a plan names them, with everything needed to make them again."""
        return tuple(source_ref(name, source) for name, source in self.sources.items())

    def features(self, name: str) -> TapRef:
        """The features of a source: what its own classifier reads."""
        taps = self.surveys[name].taps
        found = [tap for tap in taps if tap.kind == "features"] or list(taps[-2:-1])
        return TapRef(name, found[0].name)

    def logits(self, name: str) -> TapRef:
        """A source's own answer."""
        taps = self.surveys[name].taps
        return TapRef(name, next((tap.name for tap in taps if tap.kind == "logits"), taps[-1].name))

    def last_map(self, name: str) -> TapRef:
        """The last map of a source that has more than one position, else its features."""
        ends = stage_ends(self.surveys[name].taps)
        return TapRef(name, ends[-1].name) if ends else self.features(name)

    def side_taps(self, name: str) -> tuple[TapRef, ...]:
        """The taps that a side head reads: those selected, or every block and the features."""
        return tuple(TapRef(name, tap.name) for tap in self.blocks(name))

    def blocks(self, name: str) -> tuple[Tap, ...]:
        """The taps that the options select in a source; every block and the features by default.

        Where a network has few blocks, its activations stand for them.
        """
        return self.selected(name) if self.options.taps else self.surveys[name].side_taps

    def selected(self, name: str) -> tuple[Tap, ...]:
        """The taps that the options select in a source."""
        taps = self.surveys[name].taps
        selection = parse_selection(self.options.taps)
        places = tap_places(taps, name)
        return tuple(tap for tap in taps if selection.matches(places[tap.name]))

    def dense_head(
        self, name: str, inputs: Sequence[TapRef], column: str = "", fusion: str = "concat"
    ) -> Head:
        """A linear head, or one with the hidden layers that the options ask for."""
        hidden, dropout = self.options.hidden, self.options.dropout
        kind = "mlp" if hidden else "linear"
        classes = self.columns[column] if column else self.classes
        return Head(name, kind, tuple(inputs), classes, hidden, dropout, fusion, column)

    def needs(self, condition: bool, what: str, expected: str, found: str) -> None:
        """Raise UsageError unless a condition holds."""
        if not condition:
            raise UsageError(what, expected=expected, found=found)


def source_names(count: int) -> list[str]:
    """`a`, `b`, ... and, past 26, `a2`, `b2`, ..."""
    rounds = ["", *(str(number) for number in range(2, count // 26 + 2))]
    return [letter + number for number in rounds for letter in ascii_lowercase][:count]
