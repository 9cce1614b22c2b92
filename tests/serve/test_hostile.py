"""Uploads that mean harm: each gets a 4xx and a clear message, and the next one is served."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from convgraft.serve import Limits
from convgraft.serve.served import Served

from .conftest import asking, files, picture

KIB = 2**10
SMALL = Limits(body=1024 * KIB, images=4, pixels=1_000_000)
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
FORM_ERROR = "not of the right form"


@pytest.fixture(scope="module")
def guarded(served: Served) -> Iterator[TestClient]:
    with asking(served, SMALL) as opened:
        yield opened


def bomb(side: int) -> bytes:
    """A PNG of a few hundred bytes that claims to have side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def form(*contents: bytes) -> dict[str, Any]:
    return {"files": files(*contents)}


def text(body: str | bytes) -> dict[str, Any]:
    return {"content": body, "headers": JSON}


def encoded(*images: str) -> dict[str, Any]:
    return text(json.dumps({"images": images}))


PARTS = b"".join(
    b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n\r\n'
    for _ in range(10_000)
)
HOSTILE: dict[str, tuple[dict[str, Any], int, str]] = {
    "bomb": (form(bomb(5_000)), 413, "too many pixels"),
    "bomb beyond what a reader opens": (form(bomb(2**31 - 1)), 413, "too many pixels"),
    "bomb among others": (form(picture(), bomb(5_000)), 413, "images[1] has too many pixels"),
    "bomb in JSON": (encoded(base64.b64encode(bomb(5_000)).decode()), 413, "too many pixels"),
    "truncated": (form(picture()[:300]), 422, "images[0] is cut short"),
    "only a signature": (form(picture()[:8]), 422, "images[0] is cut short"),
    "wrong type": (form(b"#!/bin/sh\nrm -rf /"), 422, "images[0] is not an image"),
    "a web page as a picture": (form(b"<html><script>alert(1)</script>"), 422, "is not an image"),
    "empty file": (form(b""), 422, "images[0] is empty"),
    "no files": ({"files": {}, "data": {"a": "b"}, "headers": {}}, 415, "type of body"),
    "empty form": (
        {"content": b"--x--\r\n", "headers": FORM},
        422,
        "no pictures",
    ),
    "form without a boundary": (
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
        400,
        "the form cannot be read",
    ),
    "form that is cut short": (
        {"content": PARTS[:90], "headers": FORM},
        422,
        "",
    ),
    "text field": (
        {"files": [("images", (None, "words")), *files(picture())]},
        422,
        "something else in it",
    ),
    "another field": ({"files": {"image": ("a.png", picture())}}, 422, "something else in it"),
    "too many files": (form(*[picture()] * 5), 413, "too many pictures"),
    "10,000 parts": (
        {"content": PARTS, "headers": FORM},
        413,
        "too many pictures",
    ),
    "too long": (form(bytes(1100 * KIB)), 413, "the request is too long"),
    "no type": ({"content": b"abc"}, 415, "type of body"),
    "XML": ({"content": b"<a/>", "headers": {"Content-Type": "text/xml"}}, 415, "type of body"),
    "NaN": (text('{"images": [NaN]}'), 400, "no JSON"),
    "deep JSON": (text("[" * 100_000), 400, "nested too deeply"),
    "deep object": (text('{"images":' * 50_000), 400, "nested too deeply"),
    "half of JSON": (text('{"images": ["'), 400, "no JSON"),
    "not UTF-8": (text(b"\xff\xfe\xfd"), 400, "no JSON"),
    "a very long number": (text('{"images": ' + "9" * 10_000 + "}"), 400, "no JSON"),
    "a list": (text("[]"), 422, FORM_ERROR),
    "no images": (encoded(), 422, FORM_ERROR),
    "numbers": (text('{"images": [1]}'), 422, FORM_ERROR),
    "one more field": (text('{"images": ["YQ=="], "path": "/etc"}'), 422, FORM_ERROR),
    "half a character": (text('{"images": ["\\ud800"], "\\udfff": 1}'), 422, FORM_ERROR),
    "not base64": (encoded("../../etc/passwd?"), 422, "images[0] is not base64"),
    "base64 of nothing": (encoded(""), 422, "images[0] is empty"),
    "huge base64": (encoded("A" * 1100 * KIB), 413, "the request is too long"),
    "long base64 of zeros": (encoded("A" * 400 * KIB), 422, "is not an image"),
    "too many in JSON": (encoded(*["YQ=="] * 5), 413, "too many pictures"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_each_is_refused_in_plain_words(guarded: TestClient, name: str) -> None:
    request, status, words = HOSTILE[name]
    answer = guarded.post("/v1/predict", **request)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"what", "expected", "found", "hint"}
    assert words in error["what"]
    assert len(answer.content) < 2_000 and "Traceback" not in answer.text


def test_after_all_of_them_a_picture_is_served(guarded: TestClient) -> None:
    for request, _, _ in HOSTILE.values():
        guarded.post("/v1/predict", **request)
    assert guarded.post("/v1/predict", **form(picture())).status_code == 200
    assert "convgraft_waiting_images 0.0" in guarded.get("/metrics").text


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/passwd",
        "/etc/shadow",
        "C:\\windows\\x",
        "a\x00b.png",
        "x" * 5000,
        "\u202egnp.exe",
    ],
)
def test_a_path_as_a_name_is_only_a_name(guarded: TestClient, name: str) -> None:
    answer = guarded.post("/v1/predict", files=[("images", (name, picture()))])
    if answer.status_code == 200:
        assert len(answer.json()["answers"][0]["name"]) <= 200
    else:
        assert answer.status_code == 400


def test_one_picture_is_explained_at_a_time(guarded: TestClient) -> None:
    for request in (form(picture(), picture(1)), encoded("YQ==", "YQ==")):
        answer = guarded.post("/v1/explain", **request)
        assert answer.status_code == 422 and "one picture" in answer.json()["error"]["what"]


@pytest.mark.parametrize("query", ["top=0", "top=1001", "top=x", "top=", "top=1e9", "top=-1"])
def test_a_wrong_parameter_is_named(guarded: TestClient, query: str) -> None:
    answer = guarded.post(f"/v1/predict?{query}", **form(picture()))
    assert answer.status_code == 422 and '"top"' in answer.json()["error"]["what"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/predict", 405),
        ("DELETE", "/v1/model", 405),
        ("POST", "/", 405),
        ("GET", "/v1/nothing", 404),
        ("GET", "/docs", 404),
        ("GET", "/assets/%2e%2e%2fapp.py", 404),
        ("GET", "/assets/page.html", 404),
    ],
)
def test_what_is_not_there_is_told_as_json(
    guarded: TestClient, method: str, path: str, status: int
) -> None:
    answer = guarded.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["what"]
    assert ("allow" in answer.headers) is (status == 405)
