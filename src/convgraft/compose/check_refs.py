"""What checks of wires and of heads have in common: both name taps."""

from __future__ import annotations

from collections.abc import Mapping

from convgraft.errors import Problem, near_miss
from convgraft.plan import Plan, TapRef
from convgraft.sources import Survey, Tap


class Refs:
    """Looks names up in a plan, and collects what is wrong at one place of it."""

    def __init__(self, plan: Plan, surveys: Mapping[str, Survey], where: str) -> None:
        self.plan, self.surveys, self.where = plan, surveys, where
        self.problems: list[Problem] = []

    def complain(self, what: str, **details: str | None) -> None:
        """Note a problem here."""
        self.problems.append(Problem(self.where, what, **details))

    def find(self, ref: TapRef) -> Tap | None:
        """The tap, or None and a problem; None alone where its source could not be opened."""
        names = [source.name for source in self.plan.sources]
        if ref.source not in names:
            self.complain(
                f'"{ref}" names no source of the plan',
                expected=f"one of {', '.join(names)}",
                hint=near_miss(ref.source, names),
            )
            return None
        survey = self.surveys.get(ref.source)
        tap = survey.find(ref.tap) if survey else None
        if survey and tap is None:
            known = [name for tap in survey.taps for name in tap.names]
            network = next(s.network for s in self.plan.sources if s.name == ref.source)
            self.complain(
                f'source "{ref.source}" has no tap "{ref.tap}"',
                hint=near_miss(ref.tap, known) or f"list them with: convgraft taps {network}",
            )
        return tap

    def one_of(self, what: str, word: str, known: list[str]) -> bool:
        """Whether a word is one of those known; a problem where it is not."""
        if word not in known:
            self.complain(
                f'there is no {what} called "{word}"',
                expected=", ".join(known),
                hint=near_miss(word, known),
            )
        return word in known
