"""Starting the ranks of a command on this machine, by PyTorch's own launcher (as `torchrun`)."""

from __future__ import annotations

import logging
import os
import random
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import typer

from convgraft.cli.ranks import Launch

PATIENCE = 120  # seconds that ranks have to come to an end in good order
SIGNALS = (signal.SIGINT, signal.SIGTERM)
PORTS = (20_000, 32_000)  # none that an operating system gives to who asks for any


def start(asked: Launch, arguments: Sequence[str]) -> int:
    """Run the command once for every rank of this machine; the exit code for all of them.

    A rank that dies ends all: there is a word about which one, and how.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    host, port = asked.host if asked.num_nodes > 1 else ("127.0.0.1", free_port())
    config = LaunchConfig(
        min_nodes=asked.num_nodes,
        max_nodes=asked.num_nodes,
        nproc_per_node=asked.devices,
        run_id="convgraft",
        rdzv_backend="static",
        rdzv_endpoint=f"{host}:{port}",
        rdzv_configs={"rank": asked.node_rank or 0, "timeout": 300},
        local_addr=host if asked.num_nodes == 1 else None,
        max_restarts=0,
        shutdown_timeout=PATIENCE,
    )
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    _share_out_threads(asked.devices)
    try:
        with _signals_as_before():
            elastic_launch(config, sys.executable)("-m", "convgraft", *arguments)
    except ChildFailedError as error:
        return _told(error.failures)
    except SignalException:
        return 1  # rank zero has said what it left
    return 0


def _told(failures: Mapping[int, Any]) -> int:
    """Say which ranks were killed; the others have spoken for themselves. The exit code."""
    codes = {rank: one.exitcode for rank, one in failures.items() if one.exitcode > 0}
    killed = {rank: -one.exitcode for rank, one in failures.items() if one.exitcode < 0}
    if codes:  # the launcher itself ends those that are left, by SIGTERM
        killed = {rank: number for rank, number in killed.items() if number != signal.SIGTERM}
    for rank, number in killed.items():
        typer.echo(f"error: rank {rank} was killed ({_name(number)}), so all have ended", err=True)
        typer.echo("  try: the same command, which goes on from the last checkpoint", err=True)
    return 1 if killed or not codes else codes.get(0, max(codes.values()))


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def free_port() -> int:
    """A port that is free, and still is when ranks meet there, seconds later."""
    while True:
        port = random.SystemRandom().randint(*PORTS)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def _share_out_threads(ranks: int) -> None:
    """Ranks on one machine share its cores, unless somebody said how many threads each has."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (cores or 1) // ranks)))


@contextmanager
def _signals_as_before() -> Iterator[None]:
    """The launcher takes signals over; afterwards they are who had them."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
