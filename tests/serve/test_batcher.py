"""Batches: pictures of several requests together, none waiting for nobody."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import numpy as np
import pytest

from convgraft.serve.batcher import Batcher, Chances, Pixels
from convgraft.serve.limits import Limits
from convgraft.serve.refusal import Refusal

Making = Callable[[], Awaitable[Pixels]]


class Network:
    """Answers with the picture's first number, after `seconds`, and not before `go` is set."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.sizes = seconds, list[int]()
        self.asked, self.go = threading.Event(), threading.Event()
        self.go.set()

    def __call__(self, pixels: Pixels) -> Chances:
        self.sizes.append(len(pixels))
        self.asked.set()
        time.sleep(self.seconds)
        assert self.go.wait(60)
        if (pixels[:, 0, 0, 0] == 255).any():
            raise RuntimeError("a network that breaks")
        return pixels[:, 0, 0, :1].astype(np.float32)


def making(number: int, seconds: float = 0.0) -> Making:
    async def make() -> Pixels:
        await asyncio.sleep(seconds)
        return np.full((3, 2, 2), number, dtype=np.uint8)

    return make


def working(
    work: Callable[[Batcher], Coroutine[Any, Any, Any]], network: Network, **limits: Any
) -> Any:
    """What some work gives that is done with a batcher that runs."""

    async def main() -> Any:
        batcher = Batcher(network, Limits(**limits), lambda size: None)
        batcher.start()
        try:
            return await work(batcher)
        finally:
            await batcher.stop()

    return asyncio.run(main())


def test_requests_at_one_time_share_batches_and_each_gets_its_own_answers() -> None:
    async def work(batcher: Batcher) -> list[list[Chances]]:
        asked = [[making(3 * n + k) for k in range(3)] for n in range(20)]
        return await asyncio.gather(*(batcher.answers(coming) for coming in asked))

    network = Network(0.02)
    found = working(work, network, batch=8, gather=30.0)
    assert [[int(one[0]) for one in answers] for answers in found] == [
        [3 * n, 3 * n + 1, 3 * n + 2] for n in range(20)
    ]
    assert sum(network.sizes) == 60 and max(network.sizes) == 8
    assert len(network.sizes) == 8


def test_a_picture_does_not_wait_where_no_other_is_coming() -> None:
    async def work(batcher: Batcher) -> float:
        began = time.perf_counter()
        await batcher.answers([making(1)])
        return time.perf_counter() - began

    assert working(work, Network(), gather=30.0) < 20


def test_it_waits_for_one_that_is_coming() -> None:
    async def work(batcher: Batcher) -> None:
        await asyncio.gather(
            batcher.answers([making(1)]), batcher.answers([making(2, seconds=0.05)])
        )

    network = Network()
    working(work, network, gather=30.0)
    assert network.sizes == [2]


def test_but_not_for_long() -> None:
    network = Network()

    async def late() -> Pixels:
        while not network.asked.is_set():  # by the picture before
            await asyncio.sleep(0.01)
        return await making(2)()

    async def work(batcher: Batcher) -> None:
        await asyncio.gather(batcher.answers([making(1)]), batcher.answers([late]))

    working(work, network, gather=0.05)
    assert network.sizes == [1, 1]


def test_a_batch_that_fails_fails_its_own_requests_alone() -> None:
    async def work(batcher: Batcher) -> list[Any]:
        first = await asyncio.gather(
            batcher.answers([making(255)]), batcher.answers([making(1)]), return_exceptions=True
        )
        return [*first, await batcher.answers([making(2)])]

    *failed, [answer] = working(work, Network())
    assert all(isinstance(one, RuntimeError) for one in failed)
    assert answer[0] == 2


def test_more_than_may_wait_are_refused_and_places_come_back() -> None:
    async def work(batcher: Batcher) -> tuple[list[Any], int]:
        asked = (batcher.answers([making(n)]) for n in range(10))
        found = await asyncio.gather(*asked, return_exceptions=True)
        await asyncio.gather(*(batcher.answers([making(n)]) for n in range(4)))
        return found, batcher.admitted

    found, left = working(work, Network(), waiting=4, batch=2)
    refused = [one for one in found if isinstance(one, Refusal)]
    assert len(refused) == 6 and left == 0
    assert {(one.status, one.headers["Retry-After"]) for one in refused} == {(503, "1")}


def test_who_gives_up_costs_the_network_nothing() -> None:
    async def work(batcher: Batcher) -> int:
        first = asyncio.create_task(batcher.answers([making(1)]))
        await asyncio.to_thread(network.asked.wait, 60)  # it is busy with that one
        others = [asyncio.create_task(batcher.answers([making(n)])) for n in (2, 3)]
        while batcher.admitted < 3:
            await asyncio.sleep(0.01)
        others[0].cancel()
        await asyncio.wait(others[:1])
        network.go.set()
        await asyncio.gather(first, *others, return_exceptions=True)
        return batcher.admitted

    network = Network()
    network.go.clear()
    assert working(work, network) == 0
    assert network.sizes == [1, 1]


def test_the_first_picture_that_fails_fails_the_request() -> None:
    async def broken() -> Pixels:
        raise Refusal(422, "images[1] is cut short")

    async def work(batcher: Batcher) -> int:
        with pytest.raises(Refusal, match="cut short"):
            await batcher.answers([making(1), broken, making(2)])
        return batcher.admitted

    assert working(partial(work), Network()) == 0
