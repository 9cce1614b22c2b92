"""A real server on a socket of its own, in a thread of this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from convgraft.serve import Limits
from convgraft.serve.access import Access
from convgraft.serve.app import create_app
from convgraft.serve.served import Served
from convgraft.serve.server import bind, make_server
from convgraft.serve.service import Service


@dataclass(frozen=True)
class Running:
    """Where it is, and the service behind it."""

    port: int
    service: Service

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running(
    served: Served, limits: Limits | None = None, access: Access | None = None
) -> Iterator[Running]:
    """The server, up for as long as the block runs."""
    service = Service(served, limits)
    listening = bind("127.0.0.1", 0)
    server = make_server(create_app(service, access), service.limits)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield Running(listening.getsockname()[1], service)
    finally:
        server.should_exit = True
        thread.join(60)
        listening.close()
    assert not thread.is_alive()
