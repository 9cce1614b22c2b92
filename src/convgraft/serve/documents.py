"""What the OpenAPI document says beyond what FastAPI finds by itself; all of it is tested."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from convgraft.serve.metrics import CONTENT_TYPE
from convgraft.serve.schemas import Base64Images, ErrorAnswer
from convgraft.serve.uploads import FIELD, FORM, JSON

ALWAYS = (403, 405, 421, 500)
ERRORS = (400, 408, 413, 415, 422, 503, 504)  # of a request that brings pictures
WORDS = {
    400: "The body is not of the form that its type says.",
    401: "The token is missing, or is another one.",
    403: "A page of another site asks.",
    404: "The model has no explanations.",
    405: "That method is not for this address.",
    408: "The body did not come in time.",
    413: "The body is too long, or has too many pictures, or a picture has too many pixels.",
    415: "The body is neither a form nor JSON.",
    421: "The server does not go by the name in the Host header.",
    422: "A parameter, a field or a picture is wrong.",
    500: "The server failed.",
    503: "Too much is waiting: try again after the seconds in Retry-After.",
    504: "The answer took too long.",
}
HEADERS = {
    401: {"WWW-Authenticate": "How to bring the token."},
    405: {"Allow": "The methods that are."},
    503: {"Retry-After": "Seconds."},
}
METRICS_TEXT = {
    "description": "Counts and histograms.",
    "content": {CONTENT_TYPE: {"schema": {"type": "string"}}},
}
TITLE = "convgraft serve"
ABOUT = (
    "Ask a composite of CNN image classifiers what is in pictures, and why. Errors are JSON: "
    "what is wrong, what was expected, what was found, and what to try."
)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of an address: these, and those that every address can give."""
    return {status: _error(status) for status in sorted({*ALWAYS, *statuses})}


def _error(status: int) -> dict[str, Any]:
    told: dict[str, Any] = {"model": ErrorAnswer, "description": WORDS[status]}
    if status in HEADERS:
        told["headers"] = {
            name: {"description": words, "schema": {"type": "string"}, "required": True}
            for name, words in HEADERS[status].items()
        }
    return told


def body_of(words: str, *, most: int | None = None) -> dict[str, Any]:
    """A request's body: files in a form, or base64 in JSON; `most` is how many pictures."""
    bound = {} if most is None else {"maxItems": most}
    picture = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "properties": {FIELD: {"type": "array", "items": picture, "minItems": 1, **bound}},
        "required": [FIELD],
        "additionalProperties": False,
    }
    as_json = Base64Images.model_json_schema()
    as_json["properties"][FIELD] |= bound
    content = {kind: {"schema": schema} for kind, schema in ((FORM, form), (JSON, as_json))}
    return {"requestBody": {"description": words, "required": True, "content": content}}


def document(app: FastAPI, *, token: bool) -> dict[str, Any]:
    """The OpenAPI document; where a token is wanted it says so, and for which addresses."""
    found = get_openapi(title=TITLE, version=app.version, description=ABOUT, routes=app.routes)
    if not token:
        return found
    components = found.setdefault("components", {})
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    unknown = {
        "description": WORDS[401],
        "headers": _error(401)["headers"],
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}},
    }
    for path, methods in found["paths"].items():
        for operation in methods.values() if path != "/healthz" else ():
            operation["security"] = [{"token": []}]
            operation["responses"]["401"] = unknown
    return found
