"""No test reaches a network: Python itself tells a hook of every address, and the hook refuses.

An audit hook hears what is asked of a socket whatever library asks, and cannot be patched away. It
hears of a connection after its name was looked up, so names are heard before that. What is not
Python does not pass it: a browser, or a library that opens sockets in C or Rust.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

attempts: list[str] = []  # what was refused in this process, also where somebody caught the error
_blocking: list[bool] = []


class OtherMachineError(RuntimeError):
    """Something asked for an address that is not this machine's own."""


def block() -> None:
    """Refuse, from now on and until this process ends, all that is not on this machine.

    Loopback addresses, unix sockets and binding stay possible. The error is no OSError, so that
    nothing takes it for a network that is down. A name below `.invalid`, which nobody can own, gets
    the answer that a name server would give.
    """
    if not _blocking:
        _blocking.append(True)
        sys.addaudithook(_hear)
        _hear_names()


def _hear_names() -> None:
    """Sockets look up the names that they are given before the hook is told of them."""
    import socket

    def heard(name: str) -> Callable[..., Any]:
        ask = getattr(socket.socket, name)

        def first_heard(self: socket.socket, *arguments: Any) -> Any:
            _hear("socket.connect", (self, arguments[-1]))
            return ask(self, *arguments)

        return first_heard

    for name in ("connect", "connect_ex", "sendto"):
        setattr(socket.socket, name, heard(name))


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if (asked_of := HEARD.get(event)) and (host := asked_of(arguments)) is not None:
        _refuse(event, host)


def _refuse(event: str, host: str) -> None:
    if host.endswith(".invalid"):
        import socket

        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    attempts.append(f"{event} {host}")
    raise OtherMachineError(f"{event} to {host}: tests reach no network")


def _connected(arguments: tuple[Any, ...]) -> str | None:
    """The foreign host of a socket's address; None for this machine, a path or another family."""
    address = arguments[1]
    if not isinstance(address, tuple) or not isinstance(address[0], (str, bytes)):
        return None
    host = _text(address[0])
    return None if _is_own(host) else host


def _looked_up(arguments: tuple[Any, ...]) -> str | None:
    """The name that a name server would be asked for; None where none would be."""
    host = arguments[0]
    if host is None:
        return None
    host = _text(host)
    return None if _is_own(host) or _number(host) is not None else host


def _named(arguments: tuple[Any, ...]) -> str | None:
    """The foreign number whose name would be asked for."""
    address = arguments[0]
    host = _text(address[0] if isinstance(address, tuple) else address)
    return None if _is_own(host) else host


HEARD: dict[str, Callable[[tuple[Any, ...]], str | None]] = {
    "socket.connect": _connected,
    "socket.sendto": _connected,
    "socket.sendmsg": _connected,
    "socket.getaddrinfo": _looked_up,
    "socket.gethostbyname": _looked_up,
    "socket.gethostbyaddr": _named,
    "socket.getnameinfo": _named,
}


def _text(host: str | bytes) -> str:
    return host.decode(errors="replace") if isinstance(host, bytes) else host


def _is_own(host: str) -> bool:
    if host.lower() in ("", "localhost"):
        return True
    number = _number(host)
    return number is not None and (number.is_loopback or number.is_unspecified)


def _number(host: str) -> Any:
    """The host as an `ipaddress` address; None where it is a name."""
    import ipaddress  # here, so that every process that is started does not wait for it

    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
