"""Two hundred requests at one time: all are answered, many of them together."""

from __future__ import annotations

import asyncio

import httpx

from convgraft.serve.app import create_app
from convgraft.serve.served import Served
from convgraft.serve.service import Service

from .conftest import CLIENT, files, picture

REQUESTS = 200


def test_two_hundred_at_once_are_answered_in_batches(served: Served) -> None:
    service = Service(served)
    app = create_app(service)

    async def main() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url=CLIENT, timeout=60) as client,
        ):
            asked = (
                client.post("/v1/predict", files=files(picture(number % 7)))
                for number in range(REQUESTS)
            )
            return await asyncio.gather(*asked)

    answers = asyncio.run(main())
    assert [one.status_code for one in answers] == [200] * REQUESTS
    told = [one.json()["answers"][0]["classes"][0] for one in answers]
    for number, one in enumerate(told):
        assert one["label"] == told[number % 7]["label"]
    count = service.metrics.registry.get_sample_value("convgraft_batch_images_count")
    pictures = service.metrics.registry.get_sample_value("convgraft_batch_images_sum")
    assert pictures == REQUESTS and count is not None and count <= REQUESTS / 2
