"""One way to select places in networks, for wires and for freezing alike.

    layer*                  by name; `*` and `?` stay within one path part, `**` crosses dots
    a:features.1?           in the source `a` only (the source's name may be a glob too)
    depth:0.3..0.6          by share of the MACs spent
    kind:block              by kind of tap
    a:layer* & depth:0.5..1 both
    layer1*, !layer1.0      either, and not the one after `!`
    heads, adapters, joins  the parts that a plan adds; `heads:label` for one of them

A selection that names a module covers what lies below it when it is asked about weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from convgraft.errors import UsageError, near_miss
from convgraft.sources.kinds import KINDS
from convgraft.sources.paths import prefixes

EXAMPLE = "for example layer*, a:features.1?, depth:0.3..0.6, kind:block"
ADDED_PARTS = ("heads", "adapters", "joins")
_RANGE = re.compile(r"(\d*\.?\d+)\.\.(\d*\.?\d+)")


@dataclass(frozen=True)
class Place:
    """A tap, a module or a weight, as selections see it.

    Attributes:
        owner: the source's name, or `heads`, `adapters`, `joins`.
        names: every path that means this place.
        depth: share of the MACs spent up to here; None where a plan adds the part.
        kinds: kinds of tap that this place is or lies within.
    """

    owner: str
    names: tuple[str, ...]
    depth: float | None = None
    kinds: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Selection:
    """A parsed selection; `matches` and `covers` answer for one place."""

    text: str
    terms: tuple[_Term, ...]

    def matches(self, place: Place) -> bool:
        """Whether the place itself is selected."""
        return self._decide(place, below=False)

    def covers(self, place: Place) -> bool:
        """Whether the place, or a module around it, is selected."""
        return self._decide(place, below=True)

    def _decide(self, place: Place, *, below: bool) -> bool:
        selected = False
        for term in self.terms:
            if term.holds(place, below=below):
                selected = not term.excludes
        return selected

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class _Term:
    """Conditions that must all hold, and whether they exclude."""

    conditions: tuple[tuple[str, str, str], ...]
    excludes: bool

    def holds(self, place: Place, *, below: bool) -> bool:
        return all(_holds(condition, place, below=below) for condition in self.conditions)


def _holds(condition: tuple[str, str, str], place: Place, *, below: bool) -> bool:
    test, owner, value = condition
    if test == "kind":
        return value in place.kinds
    if test == "depth":
        low, high = map(float, value.split(".."))
        return place.depth is not None and low <= place.depth <= high
    if not _glob(owner).fullmatch(place.owner):
        return False
    if place.owner in ADDED_PARTS and owner in ("*", ""):
        return False
    pattern = _glob(value)
    paths = [p for name in place.names for p in (prefixes(name) if below else [name])]
    return any(pattern.fullmatch(path) for path in paths)


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> re.Pattern[str]:
    """A glob over dotted paths: `*` and `?` stop at dots, `**` does not."""
    pieces = {"**": ".*", "*": r"[^.]*", "?": r"[^.]"}
    tokens = re.findall(r"\*\*|\*|\?|\[[^\]]+\]|[^*?\[]+|\[", pattern)
    return re.compile("".join(pieces.get(t) or _literal(t) for t in tokens))


def _literal(token: str) -> str:
    return token if re.fullmatch(r"\[[^\]]+\]", token) else re.escape(token)


def parse_selection(text: str) -> Selection:
    """Read a selection; raises UsageError that names the part it cannot read."""
    terms = [_parse_term(part.strip(), text) for part in text.split(",")]
    if all(term.excludes for term in terms):
        terms = [_Term((("name", "*", "**"),), excludes=False), *terms]
    return Selection(text, tuple(terms))


def _parse_term(part: str, text: str) -> _Term:
    excludes = part.startswith("!")
    conditions = [_parse_condition(c.strip(), text) for c in part.removeprefix("!").split("&")]
    return _Term(tuple(conditions), excludes)


def _parse_condition(condition: str, text: str) -> tuple[str, str, str]:
    if condition.startswith("!"):
        raise UsageError(f'"{text}": ! stands before a whole part', hint="a:layer*, !a:layer1")
    if not condition:
        raise UsageError(f'"{text}" selects nothing: a part of it is empty', expected=EXAMPLE)
    if condition in ADDED_PARTS:
        return "name", condition, "**"
    first, colon, rest = condition.partition(":")
    if colon and first == "kind":
        return _parse_kind(rest, text)
    if colon and first == "depth":
        if not _RANGE.fullmatch(rest):
            raise UsageError(
                f'"{text}": a depth is a range of shares', expected="depth:0.3..0.6", found=rest
            )
        return "depth", "*", rest
    owner, pattern = (first, rest) if colon else ("*", condition)
    if not pattern:
        raise UsageError(f'"{text}" names a source and nothing in it', expected=EXAMPLE)
    try:
        _ = _glob(owner), _glob(pattern)
    except re.error as error:
        raise UsageError(f'"{text}" cannot be read: {error}', expected=EXAMPLE) from error
    return "name", owner, pattern


def _parse_kind(kind: str, text: str) -> tuple[str, str, str]:
    if kind not in KINDS:
        raise UsageError(
            f'"{text}": there is no kind of tap called "{kind}"',
            expected=", ".join(KINDS),
            hint=near_miss(kind, KINDS),
        )
    return "kind", "*", kind


def tap_places(taps: Iterable, owner: str = "") -> Mapping[str, Place]:
    """The place of each tap of a survey, by tap name."""
    return {tap.name: Place(owner, tap.names, tap.depth, frozenset({tap.kind})) for tap in taps}
