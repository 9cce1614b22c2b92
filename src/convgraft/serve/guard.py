"""What every request passes: access, headers, counting; and no traceback ever leaves."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convgraft.serve.access import OPEN_BELOW, Access
from convgraft.serve.metrics import Metrics
from convgraft.serve.refusal import Refusal

KNOWN = (
    *("/", "/healthz", "/metrics", "/openapi.json"),
    *("/v1/predict", "/v1/explain", "/v1/model", "/v1/map"),
)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
GONE = 499  # as it is counted: nobody was there any more to be answered
_log = logging.getLogger("convgraft.serve")


def error_answer(refusal: Refusal) -> Response:
    """A refusal as it is sent; in ASCII, so that no text of a client's can be in its way."""
    text = json.dumps(refusal.data, ensure_ascii=True)
    return Response(text, refusal.status, refusal.headers, "application/json")


class Guard:
    """An ASGI layer around the whole application."""

    def __init__(self, app: ASGIApp, access: Access, metrics: Metrics) -> None:
        self.app, self.access, self.metrics = app, access, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it here."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began, path = time.perf_counter(), str(scope["path"])
        sent = _Sent(send)
        refusal = self.access.refusal(path, Headers(scope=scope))
        try:
            app = error_answer(refusal) if refusal else self.app
            await app(scope, receive, sent)
        except ClientDisconnect:
            sent.status = sent.status or GONE
        except Exception:
            _log.exception("%s %s failed", scope["method"], path)
            if sent.status:
                raise  # half of an answer is out: the connection has to end
            unforeseen = Refusal(500, "the server failed", hint="its log says more")
            await error_answer(unforeseen)(scope, receive, sent)
        finally:
            seconds = time.perf_counter() - began
            self.metrics.done(_counted_as(path), sent.status or GONE, seconds)
        return None


class _Sent:
    """Sends on with the headers that every answer has, and keeps the status."""

    def __init__(self, send: Send) -> None:
        self.send, self.status = send, 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await self.send(message)


def _counted_as(path: str) -> str:
    """A path by a name out of few, so that strangers cannot make up more."""
    if path.startswith(OPEN_BELOW):
        return OPEN_BELOW
    return path if path in KNOWN else "other"
