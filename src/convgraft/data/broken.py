"""The one error for an image whose bytes cannot become pixels."""

from __future__ import annotations

from convgraft.errors import DataError
from convgraft.plan.shown import shown_name


class BrokenImage(DataError):  # noqa: N818 (reads as what it is, also in a list of them)
    """One image cannot be read.

    Attributes:
        id: the image's id in its set, e.g. `cat/cat_0001.jpg`.
        reason: what is wrong, as the rest of a sentence: `is empty`, `is cut short`.
    """

    def __init__(self, id: str, reason: str) -> None:
        """Build the message from the id and the reason: `cat/cat_0001.jpg is cut short`."""
        self.id, self.reason = id, reason
        super().__init__(f"{shown_name(id)} {reason}")

    def __reduce__(self) -> tuple[type[BrokenImage], tuple[str, str]]:
        """Pickle by id and reason, so the error survives a trip from a worker process."""
        return BrokenImage, (self.id, self.reason)
