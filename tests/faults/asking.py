"""Ways to ask for another machine; each is refused, by name, before anything is sent."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import no_network
from campaign import Trial
from no_network import OtherMachineError

NUMBER, NUMBER6, NAME = "203.0.113.1", "2001:db8::1", "example.org"  # for documents: nobody's
IN_CHILD = f"import socket; socket.create_connection(({NAME!r}, 80), timeout=5)"


def asking_trials(seed: int, count: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """Each way to ask is refused, each way to speak to this machine is open."""
    no_network.block()
    trials = [(name, lambda way=way: _refused(way, folder)) for name, way in REFUSED.items()]
    trials += [(name, lambda way=way: _open(way, folder)) for name, way in OPEN.items()]
    for name, trial in trials[first:count]:
        yield Trial(name, trial())


def _refused(way: Callable[[Path], object], folder: Path) -> str:
    no_network.attempts.clear()
    try:
        way(folder)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    else:
        return "it went through"
    attempts = no_network.attempts.copy()
    no_network.attempts.clear()
    if attempts or "OtherMachineError" in said:
        return "" if any(host in f"{attempts}{said}" for host in HOSTS) else f"no host: {said}"
    return f"it failed by another cause: {said}"


def _open(way: Callable[[Path], object], folder: Path) -> str:
    try:
        way(folder)
    except Exception as error:
        no_network.attempts.clear()
        return f"{type(error).__name__}: {error}"
    return ""


def _connect(host: str, family: int = socket.AF_INET) -> None:
    with socket.socket(family) as line:
        line.settimeout(5)
        line.connect((host, 80))


def _connect_ex(folder: Path) -> None:
    with socket.socket() as line:
        line.settimeout(5)
        line.connect_ex((NUMBER, 80))


def _send(folder: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.sendto(b"x", (NUMBER, 53))


def _with_httpx(folder: Path) -> None:
    import httpx

    httpx.get(f"http://{NAME}", timeout=5)


def _from_hub(folder: Path) -> None:
    from huggingface_hub import HfApi

    HfApi().model_info("owner/name", timeout=5)


def _weights(folder: Path) -> None:
    from convgraft.sources import source

    before = os.environ.get("TORCH_HOME")
    os.environ["TORCH_HOME"] = str(folder / "torch")
    try:
        source("torchvision/squeezenet1_1@DEFAULT")
    finally:
        os.environ.pop("TORCH_HOME")
        if before is not None:
            os.environ["TORCH_HOME"] = before


def _child(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])


def _own(folder: Path) -> None:
    """Loopback, by number and by name."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            socket.create_connection((host, port), timeout=5).close()


def _by_path(folder: Path) -> None:
    """A unix socket; its path has to be short."""
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as line:
        name = f"\0convgraft-{os.getpid()}" if sys.platform == "linux" else str(folder / "s")
        listening.bind(name)
        listening.listen()
        line.connect(name)


def _nobody(folder: Path) -> None:
    """A name that cannot be is answered as a name server would."""
    try:
        socket.getaddrinfo("no.such.host.invalid", 80)
    except socket.gaierror:
        return
    raise OtherMachineError("no.such.host.invalid was found")


HOSTS = (NUMBER, NUMBER6, NAME, "huggingface.co", "download.pytorch.org")
REFUSED: Mapping[str, Callable[[Path], object]] = {
    "connect": lambda folder: _connect(NUMBER),
    "connect, IPv6": lambda folder: _connect(NUMBER6, socket.AF_INET6),
    "connect by name": lambda folder: _connect(NAME),
    "connect_ex": _connect_ex,
    "a datagram": _send,
    "getaddrinfo": lambda folder: socket.getaddrinfo(NAME, 80),
    "gethostbyname": lambda folder: socket.gethostbyname(NAME),
    "gethostbyaddr": lambda folder: socket.gethostbyaddr(NUMBER),
    "urllib": lambda folder: urllib.request.urlopen(f"http://{NAME}", timeout=5),
    "asyncio": lambda folder: asyncio.run(asyncio.open_connection(NUMBER, 80)),
    "httpx": _with_httpx,
    "the Hub": _from_hub,
    "weights by @DEFAULT": _weights,
    "a process that is started": lambda folder: _child(IN_CHILD),
}
OPEN: Mapping[str, Callable[[Path], object]] = {
    "loopback": _own,
    "a unix socket": _by_path,
    "a name that cannot be": _nobody,
}
