"""Who may ask: names, pages of other sites, tokens."""

from __future__ import annotations

import pytest

from convgraft.errors import UsageError
from convgraft.serve.access import Access, access_for
from convgraft.serve.served import Served

from .conftest import asking, files, picture

TOKEN = "a-long-secret"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost:8000"}, None),
        ({"host": "127.0.0.1"}, None),
        ({"host": "[::1]:8000"}, None),
        ({"host": "LOCALHOST:8000"}, None),
        ({"host": "evil.example"}, 421),
        ({"host": "localhost.evil.example:8000"}, 421),
        ({"host": "[::1"}, 421),
        ({}, 421),
        ({"host": "localhost:8000", "origin": "http://localhost:8000"}, None),
        ({"host": "localhost:8000", "origin": "http://localhost:9000"}, 403),
        ({"host": "localhost:8000", "origin": "https://evil.example"}, 403),
        ({"host": "localhost:8000", "origin": "null"}, 403),
    ],
)
def test_on_this_machine_names_and_pages_are_looked_at(
    headers: dict[str, str], status: int | None
) -> None:
    refusal = Access().refusal("/v1/predict", headers)
    assert (refusal and refusal.status) == status


@pytest.mark.parametrize(
    ("header", "right"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer   {TOKEN}", True),
        (f"Basic {TOKEN}", False),
        (f"Bearer {TOKEN}x", False),
        (f"Bearer {TOKEN[:-1]}", False),
        ("Bearer", False),
        ("Bearer ", False),
        (TOKEN, False),
        ("Bearer \u00e9", False),
    ],
)
def test_a_token_is_wanted_whole(header: str, right: bool) -> None:
    access = access_for("0.0.0.0", TOKEN)
    headers = {"host": "any.example", "authorization": header}
    assert (access.refusal("/v1/model", headers) is None) is right


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.org", ""])
def test_others_are_let_in_only_with_a_token(host: str) -> None:
    with pytest.raises(UsageError, match="reached by others") as told:
        access_for(host, None)
    assert told.value.exit_code == 2 and "CONVGRAFT_TOKEN" in str(told.value)
    assert access_for(host, TOKEN).token == TOKEN


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "::1", "localhost"])
def test_this_machine_needs_none(host: str) -> None:
    access = access_for(host, None)
    assert access.token is None and host in access.hosts
    assert access_for(host, TOKEN).token == TOKEN
    with pytest.raises(UsageError, match="cannot be sent"):
        access_for(host, "a\nb")


def test_everything_but_the_bare_page_wants_the_token(served: Served) -> None:
    with asking(served, access=Access(TOKEN, ())) as client:
        for path in ("/", "/healthz", "/assets/page.js"):
            assert client.get(path).status_code == 200
        paths = ("/v1/model", "/v1/map", "/metrics", "/openapi.json", "/nothing")
        for answer in (*map(client.get, paths), client.post("/v1/predict", files=files(b""))):
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert TOKEN not in answer.text
        told = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get("/v1/model", headers=told).status_code == 200
        answer = client.post("/v1/predict", files=files(picture()), headers=told)
        assert answer.status_code == 200
        document = client.get("/openapi.json", headers=told).json()
        assert document["paths"]["/v1/predict"]["post"]["security"] == [{"token": []}]
