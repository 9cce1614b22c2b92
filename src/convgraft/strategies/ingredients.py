"""What every strategy is given: named, opened sources, a task's size and classes, and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from string import ascii_lowercase

from convgraft.errors import PlanError, Problem, SourceError
from convgraft.plan import Head, SourceRef, TapRef
from convgraft.sources import Source, Survey


@dataclass(frozen=True)
class StrategyOptions:
    """Choices within a strategy.

    Attributes:
        start: how wires begin, `zero` (a no-op until training opens them) or `one`.
        hidden: widths of hidden dense layers in the head.
        dropout: before the classifier.
    """

    start: str = "zero"
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0


@dataclass(frozen=True, eq=False)
class Ingredients:
    """Sources by name, and what they are to be combined for."""

    sources: Mapping[str, Source]
    image_size: int
    classes: int
    options: StrategyOptions = field(default_factory=StrategyOptions)

    @cached_property
    def surveys(self) -> Mapping[str, Survey]:
        """Each source's taps at the image size; raises PlanError where an image is too small."""
        surveys: dict[str, Survey] = {}
        problems: list[Problem] = []
        for name, source in self.sources.items():
            try:
                surveys[name] = source.survey(self.image_size)
            except SourceError as error:
                where = f"source {name} ({source.spec})"
                problems.append(Problem(where, error.what, error.expected, error.found, error.hint))
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

    def dense_head(self, name: str, inputs: Sequence[TapRef]) -> Head:
        """A linear head, or one with the hidden layers that the options ask for."""
        hidden = self.options.hidden
        kind = "mlp" if hidden else "linear"
        return Head(name, kind, tuple(inputs), self.classes, hidden, self.options.dropout)


def source_ref(name: str, source: Source) -> SourceRef:
    """An opened source as a plan names it."""
    own = source.preprocessing
    return SourceRef(name, source.spec, source.classes, own.mean, own.std, own.size)


def source_names(count: int) -> list[str]:
    """`a`, `b`, ... and, past 26, `a2`, `b2`, ..."""
    rounds = ["", *(str(number) for number in range(2, count // 26 + 2))]
    return [letter + number for number in rounds for letter in ascii_lowercase][:count]
