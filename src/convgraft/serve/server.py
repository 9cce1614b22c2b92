"""Running the application: a socket of its own, and an end that lets requests finish."""

from __future__ import annotations

import errno
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from convgraft.errors import UsageError
from convgraft.serve.limits import Limits

BACKLOG = 2048
STOPS = (signal.SIGINT, signal.SIGTERM)


class _Server(uvicorn.Server):
    """As uvicorn's, but a signal that has stopped it in good order is not raised once more.

    `on_start` is called when it answers, and ends in good order at a signal.
    """

    on_start: Callable[[], object] = staticmethod(lambda: None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and tell of it."""
        await super().startup(sockets)
        self.on_start()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in STOPS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes one that is free.

    Raises UsageError where that cannot be.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return _listening(host, port, family)
    except OSError as error:
        raise _unbound(host, port, error) from error


def _listening(host: str, port: int, family: int) -> socket.socket:
    """As `socket.create_server`, but known to be TCP.

    Only then does asyncio send small answers at once; else the second half of an answer waits some
    40 ms for the client to acknowledge the first.
    """
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _unbound(host: str, port: int, error: OSError) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        return UsageError(
            f"port {port} is in use",
            found=f"something else listens at {address(host, port)}",
            hint="another --port, or --port 0 for one that is free",
        )
    if error.errno == errno.EACCES:
        return UsageError(f"port {port} is not yours to take", expected="1024 or above")
    return UsageError(
        f"it is not possible to listen at {address(host, port)}",
        found=error.strerror or str(error),
        hint="--host with an address of this machine",
    )


def address(host: str, port: int) -> str:
    """Where a browser finds it: `http://127.0.0.1:8000`."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_server(app: ASGIApp, limits: Limits) -> _Server:
    """The server, to be `run` with sockets; where `should_exit` is set it ends in good order."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=round(limits.stop),
        ws="none",
    )
    return _Server(config)


def run_server(
    app: ASGIApp, listening: socket.socket, limits: Limits, on_start: Callable[[], object]
) -> None:
    """Serve until SIGINT or SIGTERM; requests that are under way get their answers first.

    `on_start` is called when it answers; a signal from then on ends it in good order.
    """
    from PIL import Image

    # decoding refuses what has too many pixels, with a better word than a warning
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    server = make_server(app, limits)
    server.on_start = on_start
    server.run(sockets=[listening])
