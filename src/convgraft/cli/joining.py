"""Becoming one of several ranks: the meeting, the group, and silence for all but rank zero."""

from __future__ import annotations

import os
import socket
import struct
import warnings
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from convgraft.cli.console import be_silent
from convgraft.errors import RunError, UsageError

TIMEOUT = "CONVGRAFT_RANK_TIMEOUT"  # seconds, where others than SECONDS are wanted
INTERFACE = "GLOO_SOCKET_IFNAME"
MEETING_SECONDS = 300.0
SECONDS = 1800.0  # that a rank waits for another one before it gives up


def join(place: Mapping[str, str], *, sharded: bool = False) -> None:
    """Meet the other ranks; from then on `current_group` knows of them.

    Args:
        place: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT.
        sharded: whether what they train is spread over them.

    Raises RunError where they do not come together.
    """
    import torch
    import torch.distributed as dist
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    from convgraft.training.process_group import Group, enter_group

    rank, world, seconds = int(place["RANK"]), int(place["WORLD_SIZE"]), _seconds()
    if rank:
        be_silent()
        warnings.filterwarnings("ignore")
    os.environ.update({name: place[name] for name in place if place[name]})
    if INTERFACE not in os.environ and (name := _interface(place["MASTER_ADDR"])):
        os.environ[INTERFACE] = name
    try:
        meeting = timedelta(seconds=min(MEETING_SECONDS, seconds))
        store, _, _ = next(rendezvous("env://", timeout=meeting))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            store=PrefixStore("convgraft", store),
            rank=rank,
            world_size=world,
            timeout=timedelta(seconds=seconds),
        )
    except (RuntimeError, ValueError, StopIteration) as error:
        raise RunError(
            f"rank {rank} has not met the other ranks",
            expected=f"{world} of them, at {place['MASTER_ADDR']}:{place['MASTER_PORT']}",
            found=" ".join(str(error).split())[:200],
            hint=f"whether all were started and reach that place; {INTERFACE} names a network",
        ) from error
    local = int(place.get("LOCAL_RANK") or 0), int(place.get("LOCAL_WORLD_SIZE") or 1)
    told = PrefixStore("told", store)
    enter_group(Group(rank, world, *local, store=told, sharded=sharded))


def _seconds() -> float:
    text = os.environ.get(TIMEOUT, "")
    try:
        seconds = float(text or SECONDS)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise UsageError(f"{TIMEOUT} is a number of seconds", found=text)
    return seconds


def _interface(host: str) -> str | None:
    """The network interface that leads to a host; None where the system does not say.

    Without a name gloo takes the interface that this machine's own name leads to, which is often
    none that another machine can reach.
    """
    try:
        import fcntl
    except ImportError:
        return None
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))  # sends nothing
        own = probe.getsockname()[0]
        for _, name in socket.if_nameindex():
            if _address(fcntl, probe, name) == own:
                return name
    return None


def _address(fcntl: Any, probe: socket.socket, name: str) -> str | None:
    """The IPv4 address of an interface (SIOCGIFADDR)."""
    with suppress(OSError):
        told = fcntl.ioctl(probe.fileno(), 0x8915, struct.pack("256s", name.encode()[:15]))
        return socket.inet_ntoa(told[20:24])
    return None
