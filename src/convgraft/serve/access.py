"""Who may ask the server.

Without a token it listens on its own machine alone. A page of another site could still have the
visitor's browser ask it, so the name that the browser asked for (`Host`, against DNS rebinding) and
the page that asks (`Origin`) must be the server's own then.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from convgraft.errors import UsageError
from convgraft.serve.refusal import Refusal

LOCAL = ("localhost", "127.0.0.1", "::1")
OPEN = ("/", "/healthz")  # the page itself holds nothing of the model, and asks for the token
OPEN_BELOW = "/assets/"
TOKEN_VARIABLE = "CONVGRAFT_TOKEN"
LONGEST_WORD = 200


@dataclass(frozen=True)
class Access:
    """The rule for one server.

    Attributes:
        token: that a request has to bring; None where none is needed.
        hosts: names by which the server may be asked; none: by any.
    """

    token: str | None = None
    hosts: tuple[str, ...] = LOCAL

    def refusal(self, path: str, headers: Mapping[str, str]) -> Refusal | None:
        """Why a request may not pass (421, 403 or 401); None where it may."""
        if self.hosts and (foreign := self._foreign(headers)):
            return foreign
        if self.token is None or path in OPEN or path.startswith(OPEN_BELOW):
            return None
        if self._brings_token(headers.get("authorization", "")):
            return None
        return Refusal(
            401,
            "this server wants a token",
            expected="the header Authorization: Bearer TOKEN",
            found="another token" if "authorization" in headers else "none",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _foreign(self, headers: Mapping[str, str]) -> Refusal | None:
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        if _name(host) not in self.hosts:
            return Refusal(
                421,
                "this server does not go by that name",
                expected=", ".join(self.hosts),
                found=host[:LONGEST_WORD] or "no Host header",
            )
        if origin is not None and origin.lower().partition("://")[2] != host:
            return Refusal(
                403,
                "the page of another site may not ask this server",
                expected=f"a page of http://{host}",
                found=origin[:LONGEST_WORD],
            )
        return None

    def _brings_token(self, header: str) -> bool:
        kind, _, given = header.partition(" ")
        # in constant time, so that nobody can measure how much of a guess was right
        same = hmac.compare_digest(given.strip().encode(), (self.token or "").encode())
        return same and kind.lower() == "bearer"


def _name(host: str) -> str:
    """The name in a Host header, without the port: `[::1]:8000` to `::1`."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def access_for(host: str, token: str | None) -> Access:
    """The rule for a server that listens at `host`.

    Raises UsageError where others could reach it and there is no token, or one that cannot be sent.
    """
    local = is_local(host)
    if not local and not token:
        raise UsageError(
            f"{host} can be reached by others",
            expected="a token that they have to bring",
            hint=f"{TOKEN_VARIABLE}=SECRET in the environment, or --token SECRET; "
            "for this machine alone leave --host out",
        )
    if token and not (token.isascii() and token.isprintable() and token == token.strip()):
        raise UsageError("the token cannot be sent in a header", expected="plain ASCII, no spaces")
    hosts = tuple(dict.fromkeys((*LOCAL, host.lower()))) if local else ()
    return Access(token or None, hosts)


def is_local(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
