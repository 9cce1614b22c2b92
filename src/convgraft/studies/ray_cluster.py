"""The way to a Ray cluster, and what it has room for."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from convgraft.errors import UsageError

LOCAL, AUTO = "local", "auto"
ANSWER = 10.0  # seconds that a cluster's address has to answer in


def import_ray() -> Any:
    """The library; raises UsageError where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told that it is used
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise UsageError(
            "--ray needs Ray, which is not installed", hint="pip install convgraft[ray]"
        ) from error
    return ray


def connect(ray: Any, address: str) -> None:
    """Begin an instance, or join a cluster; SIGTERM stays as it was."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address == LOCAL:
        quiet |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    elif address != AUTO:
        _check_answers(address)
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"there is no Ray cluster at {address}",
            found=short(error),
            hint="ray start --head, or --ray without an address for this machine alone",
        ) from error
    finally:
        if is_main and before is not None:
            signal.signal(signal.SIGTERM, before)


def _check_answers(address: str) -> None:
    """Raise UsageError where nothing answers: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    expected = "HOST:PORT or ray://HOST:PORT of a cluster, or auto"
    if not host or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise UsageError(
            "the address of a Ray cluster cannot be read", expected=expected, found=address
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER).close()
    except OSError as error:
        raise UsageError(
            f"nothing answers at {address}", expected=expected, found=error.strerror or str(error)
        ) from error


def places(needs: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> int:
    """How many tasks machines have room for at a time; raises UsageError where none has any.

    Args:
        needs: of a task, by Ray's names of resources.
        nodes: the same of every machine.

    >>> places({"CPU": 2, "GPU": 0.5}, [{"CPU": 8, "GPU": 1}, {"CPU": 64}])
    2
    """
    wanted = {name: amount for name, amount in needs.items() if amount}
    room = [min(int(node.get(k, 0) / n + 1e-6) for k, n in wanted.items()) for node in nodes]
    if any(room):
        return sum(room)
    most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in wanted}
    raise UsageError(
        "no machine of the cluster has what one arm needs",
        expected=", ".join(f"{amount:g} {name}" for name, amount in wanted.items()),
        found=", ".join(f"{amount:g} {name}" for name, amount in most.items()) + " at most",
        hint="less by --cpus-per-arm and --gpus-per-arm",
    )


def short(error: Exception) -> str:
    """The first sentence of what Ray says, which may be a page."""
    words = " ".join(str(error).split())
    return words.partition(". ")[0][:200] or type(error).__name__
