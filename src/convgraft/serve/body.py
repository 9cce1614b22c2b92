"""A request's body, read no further than the limits allow."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.requests import Request

from convgraft.serve.limits import MEBIBYTE, Limits
from convgraft.serve.refusal import busy, too_large


class HeldBytes:
    """How many bytes of bodies are held at one time, by all requests together."""

    def __init__(self, most: int) -> None:
        self.most, self.count = most, 0

    @contextmanager
    def of_request(self) -> Iterator[Share]:
        """One request's share; it is given back when the request is done."""
        share = Share(self)
        try:
            yield share
        finally:
            self.count -= share.count


@dataclass(eq=False)
class Share:
    """The bytes that one request holds."""

    held: HeldBytes
    count: int = 0

    def take(self, count: int) -> None:
        """Hold more; raises Refusal (503) where all requests hold too many by now."""
        if self.held.count + count > self.held.most:
            raise busy("the server holds as many bytes of pictures as it may")
        self.held.count += count
        self.count += count


async def read_body(request: Request, limits: Limits, share: Share) -> AsyncGenerator[bytes, None]:
    """The body in chunks.

    Raises Refusal, 413, as soon as it is known to be too long, by its header or by its bytes.
    """
    most = f"{limits.body // MEBIBYTE} MiB or less" if limits.body >= MEBIBYTE else f"{limits.body}"
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > limits.body:
        raise too_large("the request is too long", expected=most, found=f"{int(told):,} bytes")
    async for chunk in request.stream():
        share.take(len(chunk))
        if share.count > limits.body:
            raise too_large("the request is too long", expected=most)
        yield chunk
