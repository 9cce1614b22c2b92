"""The OpenAPI document is true: schemathesis makes up requests by it and against it."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI

from convgraft.serve import Limits
from convgraft.serve.access import Access
from convgraft.serve.app import create_app
from convgraft.serve.documents import WORDS
from convgraft.serve.served import Served
from convgraft.serve.service import Service

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
from hypothesis import HealthCheck, Phase, settings  # noqa: E402
from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: E402

UNHURRIED = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)
HOST = "testserver"  # by which schemathesis asks
EXAMPLES = 15  # of each address, beside the ones that cover every rule of the document


class Nobody:
    """Stands for a model where only the document is asked for, which is the same for all."""

    labels, size, engine, digest = (), 1, "none", ""

    def probabilities(self, images: Any) -> Any:
        raise NotImplementedError


def application(served: Served) -> FastAPI:
    return create_app(Service(served, Limits(body=100_000)), Access(hosts=(HOST,)))


api = schemathesis.openapi.from_asgi("/openapi.json", application(Served("", Nobody())))


@pytest.fixture(scope="module")
def app(served: Served) -> FastAPI:
    return application(served)


@api.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=UNHURRIED,
)
def test_no_made_up_request_gets_an_answer_that_is_not_in_the_document(
    case: Any, app: FastAPI
) -> None:
    # a random string is right by the schema and yet no picture: that it is refused is right too
    case.call_and_validate(app=app, excluded_checks=[positive_data_acceptance])


def test_every_status_is_told_in_words() -> None:
    for path, methods in api.raw_schema["paths"].items():
        for method, operation in methods.items():
            statuses = set(map(int, operation["responses"]))
            assert {200, 403, 405, 421, 500} <= statuses <= {200, *WORDS}, path
            if method == "post":
                assert {400, 408, 413, 415, 422, 503, 504} <= statuses
                kinds = set(operation["requestBody"]["content"])
                assert kinds == {"multipart/form-data", "application/json"}
