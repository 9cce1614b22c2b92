"""How much the server takes at once: everything that a stranger could make large has a bound."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 2**20


@dataclass(frozen=True)
class Limits:
    """The bounds of one server.

    Attributes:
        body: bytes of one request's body.
        held: bytes of all bodies that are held at one time.
        pixels: of one picture, as its file says before it is decoded.
        images: pictures in one request.
        waiting: pictures that are decoded, wait or are computed at one time.
        batch: pictures that go through the network together.
        gather: seconds that a picture waits for others that are on their way.
        upload: seconds until a request's body must be there.
        answer: seconds from then on until its answer must be.
        stop: seconds that requests have to finish in when the server is stopped.
    """

    body: int = 32 * MEBIBYTE
    held: int = 256 * MEBIBYTE
    pixels: int = 40_000_000
    images: int = 64
    waiting: int = 1024
    batch: int = 32
    gather: float = 0.004
    upload: float = 30.0
    answer: float = 30.0
    stop: float = 15.0
