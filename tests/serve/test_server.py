"""On a real socket: bodies that never end, a hundred megabytes, an end in good order."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from convgraft.cli.serve import serve
from convgraft.errors import ArtifactError, UsageError
from convgraft.serve import Limits
from convgraft.serve.served import Served
from convgraft.serve.server import address, bind

from .conftest import picture
from .serving import Running, running

MEGABYTE = 1_000_000
FORM = "multipart/form-data; boundary=x"
START = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
END = b"\r\n--x--\r\n"


@pytest.fixture(scope="module")
def server(served: Served) -> Iterator[Running]:
    with running(served, Limits(body=MEGABYTE)) as up:
        yield up


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for what the server does, on a busy machine too."""
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def head_of(*lines: str, path: str = "/v1/predict") -> bytes:
    told = (f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {FORM}", *lines)
    return "\r\n".join((*told, "", "")).encode()


def answer_of(line: socket.socket) -> tuple[int, dict[str, dict[str, str]]]:
    """Status and JSON of the answer that comes."""
    text = b""
    while b"\r\n\r\n" not in text:
        text += line.recv(65536) or pytest.fail("the connection was closed")
    top, _, body = text.partition(b"\r\n\r\n")
    lines = dict(one.lower().split(": ", 1) for one in top.decode().split("\r\n")[1:])
    while len(body) < int(lines["content-length"]):
        body += line.recv(65536) or pytest.fail("the answer was cut short")
    return int(top.split()[1]), json.loads(body)


def test_a_hundred_megabytes_are_refused_by_their_header_alone(server: Running) -> None:
    with connected(server.port) as line:
        line.sendall(head_of(f"Content-Length: {100 * MEGABYTE}", "Expect: 100-continue"))
        status, told = answer_of(line)
    assert status == 413 and told["error"]["found"] == "100,000,000 bytes"


def test_and_where_no_header_tells_as_soon_as_there_is_too_much(server: Running) -> None:
    piece = b"%x\r\n%b\r\n" % (100_000, bytes(100_000))
    with connected(server.port) as line:
        line.sendall(head_of("Transfer-Encoding: chunked"))
        line.sendall(b"%x\r\n%b\r\n" % (len(START), START))
        with suppress(ConnectionError):  # it is free to take no more, once it has answered
            for _ in range(15):  # of a thousand
                line.sendall(piece)
        status, told = answer_of(line)
    assert status == 413 and "too long" in told["error"]["what"]
    assert server.service.held.count == 0


def test_a_body_that_does_not_come_is_not_waited_for(served: Served) -> None:
    with running(served, Limits(upload=1.0)) as up, connected(up.port) as line:
        line.sendall(head_of("Content-Length: 1000") + START)
        status, told = answer_of(line)
    assert status == 408 and told["error"]["expected"] == "within 1 s"


def test_who_hangs_up_in_the_middle_leaves_nothing_behind(server: Running) -> None:
    with connected(server.port) as line:
        line.sendall(head_of("Content-Length: 500000") + START + bytes(1000))
        wait_until(lambda: server.service.held.count > 0)
    wait_until(lambda: server.service.held.count == server.service.batcher.admitted == 0)


def test_bodies_that_are_held_together_have_a_bound(served: Served) -> None:
    with running(served, Limits(body=MEGABYTE, held=100_000)) as up, connected(up.port) as line:
        body = START + bytes(200_000) + END
        line.sendall(head_of(f"Content-Length: {len(body)}") + body)
        status, _ = answer_of(line)
    assert status == 503


def test_an_answer_that_takes_too_long_is_given_up(served: Served) -> None:
    class Slow:
        labels, size, engine, digest = served.classifier.labels, 16, "slow", ""

        def probabilities(self, images: object) -> None:
            time.sleep(0.5)

    body = START + picture() + END
    slow = Served("slow", Slow())  # type: ignore[arg-type]
    with running(slow, Limits(answer=0.1)) as up, connected(up.port) as line:
        line.sendall(head_of(f"Content-Length: {len(body)}") + body)
        status, told = answer_of(line)
    assert status == 504 and told["error"]["expected"] == "within 0.1 s"


def test_a_port_in_use_is_told_before_anything_is_loaded(server: Running, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"port {server.port} is in use") as told:
        serve(tmp_path / "not-there", port=server.port)
    assert "--port 0" in str(told.value) and told.value.exit_code == 2


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.1"])
def test_an_address_that_is_not_ours_is_told(host: str) -> None:
    with pytest.raises(UsageError, match="not possible to listen"):
        bind(host, 0)


def test_the_second_half_of_an_answer_does_not_wait_for_the_first() -> None:
    async def told() -> int:
        answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            own = writer.get_extra_info("socket")
            answered.set_result(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listening = bind("127.0.0.1", 0)
        async with await asyncio.start_server(answer, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            found = await answered
            writer.close()
            return found

    assert asyncio.run(told())


def test_wrong_use_of_the_command(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="reached by others"):
        serve(tmp_path, host="0.0.0.0")
    with pytest.raises(ArtifactError, match="nothing at"):
        serve(tmp_path / "not-there", port=0)
    assert address("::1", 80) == "http://[::1]:80"


ECHO = """
import signal, sys
from convgraft.serve.limits import Limits
from convgraft.serve.server import bind, run_server

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    print("asked", flush=True)
    while (await receive())["more_body"]:
        pass
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})

with bind("127.0.0.1", 0) as listening:
    told = lambda: print(listening.getsockname()[1], flush=True)
    if len(sys.argv) > 1:
        told = lambda: signal.raise_signal(int(sys.argv[1]))
    run_server(app, listening, Limits(), told)
print("stopped")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_when_what_is_under_way_is_answered(number: signal.Signals) -> None:
    command = [sys.executable, "-c", ECHO]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        with connected(port) as line:
            line.sendall(head_of("Content-Length: 10") + b"half.")
            assert process.stdout.readline() == "asked\n"
            process.send_signal(number)
            line.sendall(b"other")
            status, _ = answer_of(line)
        assert status == 200
        assert process.wait(60) == 0
        assert process.stdout.read() == "stopped\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_so_does_one_that_comes_as_soon_as_it_is_told_where_it_is(number: signal.Signals) -> None:
    command = [sys.executable, "-c", ECHO, str(int(number))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "stopped\n", "")


def test_the_end_waits_for_pictures_that_are_on_their_way(served: Served) -> None:
    body = START + picture() + END
    with running(served) as up:
        line = connected(up.port)
        line.sendall(head_of(f"Content-Length: {len(body)}") + body[:100])
        wait_until(lambda: up.service.held.count > 0)
        ending = threading.Timer(0.2, lambda: line.sendall(body[100:]))
        ending.start()
    with line:
        status, told = answer_of(line)
    assert status == 200 and told["answers"]
