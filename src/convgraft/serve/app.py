"""The application: addresses behind the guard, and errors that are always JSON."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from convgraft import __version__
from convgraft.serve.access import Access
from convgraft.serve.documents import document
from convgraft.serve.guard import Guard, error_answer
from convgraft.serve.refusal import Refusal
from convgraft.serve.routes import router
from convgraft.serve.service import Service

LONGEST = 200


def create_app(service: Service, access: Access | None = None) -> FastAPI:
    """The web page and the REST endpoint over a service, as an ASGI application.

    >>> app = create_app(Service(open_served(Path("runs/x"))))       # doctest: +SKIP
    """
    access = access or Access()

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncGenerator[None, None]:
        service.start()
        yield
        await service.stop()

    app = FastAPI(
        version=__version__,
        lifespan=running,
        docs_url=None,  # FastAPI's own pages load their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    app.include_router(router)
    app.add_middleware(Guard, access=access, metrics=service.metrics)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _wrong_parameter)
    app.add_exception_handler(HTTPException, _not_found)

    @cache
    def openapi() -> dict[str, Any]:
        return document(app, token=access.token is not None)

    app.openapi = openapi
    return app


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return error_answer(error)


async def _wrong_parameter(request: Request, error: Exception) -> Response:
    """A query parameter that is not what the document says."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = str(first["loc"][-1])[:LONGEST]
    return error_answer(
        Refusal(
            422,
            f'the parameter "{name}" is wrong',
            expected=first["msg"],
            found=str(first.get("input"))[:LONGEST],
        )
    )


async def _not_found(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses: addresses that are not there, other methods."""
    assert isinstance(error, HTTPException)
    path = request.url.path[:LONGEST]
    words = {404: f"there is nothing at {path}", 405: f"{request.method} is not for {path}"}
    what = words.get(error.status_code, str(error.detail))
    hint = "/openapi.json tells what there is" if error.status_code in words else None
    return error_answer(Refusal(error.status_code, what, hint=hint, headers=error.headers))
