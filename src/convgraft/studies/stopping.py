"""Errors that stop a study, on their way from a worker to who began it."""

from __future__ import annotations

from dataclasses import dataclass

from convgraft.errors import ArtifactError, ConvgraftError, DataError, RunError, UsageError
from convgraft.studies.cell import FullDiskError, StoppedError

KINDS = (FullDiskError, StoppedError, ArtifactError, DataError, UsageError, RunError)


@dataclass(frozen=True)
class Stop:
    """An error that stops the study, in plain words: every error can be sent so.

    Attributes:
        kind: the number of its class in `KINDS`.
    """

    kind: int
    what: str
    expected: str | None = None
    found: str | None = None
    hint: str | None = None

    @classmethod
    def of(cls, error: ConvgraftError) -> Stop:
        """That error's words."""
        kind = next((n for n, one in enumerate(KINDS) if isinstance(error, one)), len(KINDS) - 1)
        return cls(kind, error.what, error.expected, error.found, error.hint)

    @property
    def error(self) -> ConvgraftError:
        """The same error, or one of the class above it."""
        told = {"expected": self.expected, "found": self.found, "hint": self.hint}
        return KINDS[self.kind](self.what, **told)

    @property
    def is_end_of_worker(self) -> bool:
        """Whether somebody ended the worker alone, so that another one may do the task."""
        return KINDS[self.kind] is StoppedError
