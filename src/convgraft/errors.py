"""Errors that reach people: what was expected, what was found, what to try.

One small tree. `UsageError` and everything below it means that something the user named is wrong
(the command line exits with 2); `RunError` means that correct work failed on the way (exit 1).
Code inside the package raises these and nothing bare for input it can foresee.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class ConvgraftError(Exception):
    """A problem told in up to four lines.

    Args:
        what: one sentence that says what is wrong and names the culprit.
        expected: what would have been right.
        found: what was there instead (tap, shape, file).
        hint: what to try next.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.what, self.expected, self.found, self.hint = what, expected, found, hint
        super().__init__(what)

    def __str__(self) -> str:
        details = {"expected": self.expected, "found": self.found, "try": self.hint}
        lines = [f"  {label}: {text}" for label, text in details.items() if text]
        return "\n".join([self.what, *lines])


class RunError(ConvgraftError):
    """Work that was asked for correctly and failed while it ran."""


class UsageError(ConvgraftError):
    """Something the user named is wrong: a flag, a path, a value."""

    exit_code = 2


class SourceError(UsageError):
    """A source network cannot be built, captured or given its weights."""


class DataError(UsageError):
    """An image set cannot be read as asked."""


class ArtifactError(UsageError):
    """A run folder is missing, in use, incomplete or does not match its plan."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a plan, and where it stands.

    Attributes:
        where: the place in the plan, e.g. `wires[2]` or `plan.yaml:7:13`.
    """

    where: str
    what: str
    expected: str | None = None
    found: str | None = None
    hint: str | None = None

    @classmethod
    def at(cls, where: str, error: ConvgraftError) -> Problem:
        """What an error says, as a problem at that place."""
        return cls(where, error.what, error.expected, error.found, error.hint)

    def __str__(self) -> str:
        error = ConvgraftError(self.what, expected=self.expected, found=self.found, hint=self.hint)
        return f"{self.where}: {error}"


class PlanError(UsageError):
    """Everything that is wrong with a plan, reported together."""

    def __init__(self, problems: Iterable[Problem], *, name: str = "the plan") -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        noun = "problem" if count == 1 else "problems"
        super().__init__("\n".join([f"{name} has {count} {noun}", *map(str, self.problems)]))


def near_miss(word: str, known: Iterable[str], count: int = 3) -> str | None:
    """The closest known names as a hint, or None when nothing is close.

    >>> near_miss("resnet81", ["resnet18", "vgg16"])
    'did you mean resnet18?'
    """
    close = difflib.get_close_matches(word, list(known), n=count, cutoff=0.6)
    if not close:
        return None
    return f"did you mean {' or '.join(close)}?"
