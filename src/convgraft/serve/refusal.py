"""A request that is not answered as asked: a status, and the house's four lines as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convgraft.errors import ConvgraftError

Headers = Mapping[str, str]
RETRY_SECONDS = "1"


class Refusal(ConvgraftError):  # noqa: N818 (reads as what it is)
    """What a client is told instead of an answer.

    Attributes:
        status: the HTTP status.
        headers: that go with it, e.g. `Retry-After`.
    """

    def __init__(
        self,
        status: int,
        what: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
        headers: Headers | None = None,
    ) -> None:
        super().__init__(what, expected=expected, found=found, hint=hint)
        self.status, self.headers = status, dict(headers or {})

    @property
    def data(self) -> dict[str, Any]:
        """`{"error": {"what", "expected", "found", "hint"}}`; what is not known is null."""
        told = (self.what, self.expected, self.found, self.hint)
        return {"error": dict(zip(("what", "expected", "found", "hint"), told, strict=True))}


def busy(what: str) -> Refusal:
    """Of a server that has too much to do right now: 503, to be tried again soon."""
    return Refusal(
        503, what, hint="the same request, a little later", headers={"Retry-After": RETRY_SECONDS}
    )


def too_large(what: str, *, expected: str, found: str | None = None) -> Refusal:
    """Of something that is larger than this server takes: 413."""
    return Refusal(413, what, expected=expected, found=found, hint="something smaller")
