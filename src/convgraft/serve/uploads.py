"""The pictures in a request: the files of a form, or base64 in JSON. Nothing touches the disk."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from convgraft.serve.body import Share, read_body
from convgraft.serve.limits import Limits
from convgraft.serve.refusal import Refusal, too_large
from convgraft.serve.schemas import Base64Images

FIELD = "images"
FORM, JSON = "multipart/form-data", "application/json"
LONGEST_NAME = 200


@dataclass(frozen=True)
class Upload:
    """One picture's file.

    Attributes:
        place: how messages call it: `images[0]`.
        name: as the client sent it; it is only ever sent back.
    """

    place: str
    name: str | None
    data: bytes


async def read_uploads(
    request: Request, limits: Limits, share: Share, *, most: int | None = None
) -> list[Upload]:
    """The pictures of a request, one at least.

    Args:
        most: how many there may be; as the limits say when not given.

    Raises Refusal: 400 for a body that is not of its form, 408 for one that does not come in time,
    413 for one that is too long or has too many pictures, 415 for another type, 422 for the wrong
    fields.
    """
    try:
        async with asyncio.timeout(limits.upload):
            return await _read(request, read_body(request, limits, share), most or limits.images)
    except TimeoutError as error:
        raise Refusal(
            408, "the request did not come in time", expected=f"within {limits.upload:g} s"
        ) from error


async def _read(request: Request, body: AsyncGenerator[bytes, None], most: int) -> list[Upload]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == FORM:
        return await _form(request, body, most)
    if kind == JSON:
        text = b"".join([chunk async for chunk in body])
        return await run_in_threadpool(_json, text, most)
    raise Refusal(
        415, "that type of body is not taken", expected=f"{FORM} or {JSON}", found=kind or "none"
    )


class _InMemory(MultiPartParser):
    """Starlette's parser, without temporary files: the body has a bound."""

    spool_max_size = 0  # of a spooled file: never rolled over to the disk


async def _form(request: Request, body: AsyncGenerator[bytes, None], most: int) -> list[Upload]:
    parser = _InMemory(request.headers, body, max_files=most, max_fields=most)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if "Too many" in error.message:
            raise _too_many(most) from error
        raise Refusal(400, "the form cannot be read", found=error.message) from error
    try:
        parts = form.multi_items()
        wrong = [name for name, part in parts if name != FIELD or isinstance(part, str)]
        if wrong or not parts:
            raise Refusal(
                422,
                "the form has no pictures" if not parts else "the form has something else in it",
                expected=f'files, each in a field called "{FIELD}"',
                found=f'"{wrong[0][:LONGEST_NAME]}"' if wrong else None,
                hint=f'curl -F "{FIELD}=@picture.jpg"',
            )
        files = [part for _, part in parts if isinstance(part, UploadFile)]
        return [
            Upload(f"{FIELD}[{number}]", (file.filename or "")[:LONGEST_NAME], await file.read())
            for number, file in enumerate(files)
        ]
    finally:
        await form.close()


def _json(text: bytes, most: int) -> list[Upload]:
    given = _parsed(text)
    try:
        images = Base64Images.model_validate(given).images
    except ValidationError as error:
        raise Refusal(
            422,
            "the JSON is not of the right form",
            expected=f'{{"{FIELD}": ["base64 of a file", ...]}}',
            found=_first(error),
        ) from error
    if len(images) > most:
        raise _too_many(most, len(images))
    return [_decoded(f"{FIELD}[{number}]", image) for number, image in enumerate(images)]


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise Refusal(400, "the JSON is nested too deeply") from error
    except ValueError as error:
        raise Refusal(400, "the body is no JSON", found=str(error)[:LONGEST_NAME]) from error


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, without the value: that may be very long."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part)[:LONGEST_NAME] for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]


def _decoded(place: str, text: str) -> Upload:
    try:
        return Upload(place, None, base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise Refusal(422, f"{place} is not base64", found=str(error)) from error


def _too_many(most: int, found: int | None = None) -> Refusal:
    told = None if found is None else str(found)
    if most == 1:
        return Refusal(422, "this is asked of one picture at a time", expected="1", found=told)
    return too_large(
        "there are too many pictures in one request", expected=f"{most} or fewer", found=told
    )
