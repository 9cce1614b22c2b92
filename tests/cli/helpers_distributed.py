"""`convgraft` as several processes: on this machine, and on two hosts that are namespaces of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PATIENCE = 900.0  # seconds that a command may take on a busy machine


def started(*arguments: object, store: Path, within: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """The command line in a process of its own.

    PyTorch's launcher asks for this machine's own name, and hosts talk to each other, so that what
    keeps tests from the network is left out here; the namespaces of hosts have no way outside.
    """
    known = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    parts = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [part for part in parts if part and not part.endswith("offline")]
    known |= {"OMP_NUM_THREADS": "1", "CONVGRAFT_CACHE": str(store)}
    known |= {"PYTHONPATH": os.pathsep.join(paths)} if paths else {}
    command = [*within, sys.executable, "-m", "convgraft", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=known
    )


def rank_of(process: subprocess.Popen[str], rank: int) -> int:
    """The process number of a rank that a command has started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for number in map(int, children):
        with contextlib.suppress(OSError):
            known = Path(f"/proc/{number}/environ").read_bytes().split(b"\0")
            if f"RANK={rank}".encode() in known:
                return number
    raise LookupError(f"no rank {rank} among {children}")


def wait_for(process: subprocess.Popen[str], path: Path, seconds: float = PATIENCE) -> None:
    """Until a file is there; fails where the process ends before."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@dataclass(frozen=True)
class Host:
    """A network namespace with one interface.

    Attributes:
        name: of the namespace.
        interface, address: of it.
    """

    name: str
    interface: str
    address: str

    @property
    def within(self) -> tuple[str, ...]:
        """What comes before a command that is to run there."""
        return ("ip", "netns", "exec", self.name)

    def sent(self) -> int:
        """Bytes that the interface has sent so far, with all headers."""
        path = f"/sys/class/net/{self.interface}/statistics/tx_bytes"
        return int(subprocess.check_output([*self.within, "cat", path], text=True))


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts with one cable between them, and nothing else; skips where they cannot be made."""
    if shutil.which("ip") is None:
        pytest.skip("iproute2 is not installed")
    mark = f"{os.getpid() % 100_000}"
    hosts = [
        Host(f"cg{mark}{end}", f"cg{mark}{end}", f"10.231.77.{number}")
        for number, end in enumerate("ab", start=1)
    ]
    one, other = hosts
    steps = [
        *(["ip", "netns", "add", host.name] for host in hosts),
        ["ip", "link", "add", one.interface, "type", "veth", "peer", "name", other.interface],
    ]
    for host in hosts:
        steps.append(["ip", "link", "set", host.interface, "netns", host.name])
        there = ["ip", "-n", host.name]
        steps.append([*there, "address", "add", f"{host.address}/24", "dev", host.interface])
        steps.append([*there, "link", "set", host.interface, "up"])
        steps.append([*there, "link", "set", "lo", "up"])
    try:
        for step in steps:
            made = subprocess.run(step, capture_output=True, text=True, check=False)
            if made.returncode:
                pytest.skip(f"no network namespaces here: {made.stderr.strip()}")
        yield one, other
    finally:
        for host in hosts:
            subprocess.run(["ip", "netns", "delete", host.name], capture_output=True, check=False)
