"""A mixed load on a server: pictures of many sizes, explanations, uploads that mean harm, and
people who hang up."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPException, HTTPResponse
from typing import Any

import httpx
from tests.serve.conftest import CLIENT, picture
from tests.serve.test_hostile import HOSTILE, form

CLIENTS = 4
NO_ANSWER = 0
MOST_BODY = 2**20  # what is longer may be cut off while it is sent
SIZES = ((16, 16), (40, 30), (300, 200), (1000, 900))
AT_ONCE = struct.pack("ii", 1, 0)  # a socket that is closed so says "reset", not "end"
WAIT = 60.0


@dataclass(frozen=True)
class Ask:
    """A request as bytes.

    Attributes:
        status: of the right answer; NO_ANSWER where it hangs up.
        sent: how many of its bytes go out before it hangs up.
    """

    what: str
    message: bytes
    status: int
    sent: int = 0


@dataclass
class Heard:
    """What came of a load."""

    count: int = 0
    wrong: list[str] = field(default_factory=list)


def ask_for(seconds: float, port: int, seed: str, each: Callable[[], object]) -> Heard:
    """Let several clients ask for so long; `each` is called many times meanwhile."""
    heard, until = Heard(), time.monotonic() + seconds
    clients = [
        threading.Thread(target=_client, args=(port, f"{seed}/{number}", until, heard))
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    while any(client.is_alive() for client in clients):
        each()
        time.sleep(seconds / 20)
    return heard


def ask_all(port: int) -> Heard:
    """Ask everything once."""
    heard = Heard()
    for kind in kinds().values():
        for one in kind:
            _ask(port, one, heard)
    return heard


def _client(port: int, seed: str, until: float, heard: Heard) -> None:
    rng = random.Random(seed)
    while time.monotonic() < until:
        kind = rng.choices(tuple(kinds().values()), (4, 1, 4, 2, 1))[0]
        _ask(port, rng.choice(kind), heard)


def _ask(port: int, ask: Ask, heard: Heard) -> None:
    heard.count += 1
    try:
        status = status_of(port, ask)
    except OSError as error:
        heard.wrong.append(f"{ask.what}: {error}")
        return
    cut_off = status == NO_ANSWER and len(ask.message) > MOST_BODY
    if status != ask.status and not cut_off:
        heard.wrong.append(f"{ask.what}: {status} instead of {ask.status}")


def status_of(port: int, ask: Ask) -> int:
    """The status of the answer; NO_ANSWER where none comes, or it is not waited for."""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as line:
        if ask.status == NO_ANSWER:
            line.sendall(ask.message[: ask.sent])
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            return NO_ANSWER
        with suppress(OSError):  # it may be refused, with an answer, before all is sent
            line.sendall(ask.message)
        try:
            answer = HTTPResponse(line)
            answer.begin()
            answer.read()
        except (OSError, HTTPException):
            return NO_ANSWER
        return answer.status


@cache
def kinds() -> Mapping[str, tuple[Ask, ...]]:
    """All that is asked."""
    pictures = [
        picture(number, size, kind)
        for number, size in enumerate(SIZES)
        for kind in ("PNG", "JPEG", "GIF", "BMP")
        if size[0] * size[1] < 2**18 or kind == "JPEG"
    ]
    good = [form(one) for one in pictures] + [form(*pictures[:3]), form(*pictures[4:8])]
    asked = tuple(_ask_of("a good one", "/v1/predict?top=2", one, 200) for one in good)
    whole = len(asked[-1].message)
    return {
        "good": asked,
        "explained": tuple(_ask_of("why", "/v1/explain", form(one), 200) for one in pictures[:6]),
        "hostile": tuple(
            _ask_of(name, "/v1/predict", one, status) for name, (one, status, _) in HOSTILE.items()
        ),
        "hung up": tuple(
            Ask("hung up", asked[-1].message, NO_ANSWER, sent)
            for sent in (0, 10, 200, whole // 2, whole - 1, whole)
        ),
        "read": tuple(
            Ask(
                path,
                f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode(),
                200,
            )
            for path in ("/", "/healthz", "/metrics", "/openapi.json", "/v1/model", "/v1/map")
        ),
    }


def _ask_of(what: str, path: str, request: Mapping[str, Any], status: int) -> Ask:
    built = httpx.Request("POST", CLIENT + path, **request)
    lines = [f"POST {path} HTTP/1.1".encode()]
    lines += [b": ".join(pair) for pair in built.headers.raw]
    return Ask(what, b"\r\n".join((*lines, b"Connection: close", b"", built.read())), status)
