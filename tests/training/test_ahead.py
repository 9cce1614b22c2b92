"""Batches ahead of their use: the same ones in the same order, and errors in their turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from convgraft.training.ahead import AHEAD, CudaLane, ahead, sent_ahead
from convgraft.training.epochs import Batch

CPU = torch.device("cpu")


def batch(number: int) -> Batch:
    return (torch.full((2, 3), float(number)),), {"": torch.full((2,), number)}


def numbers(batches: Iterator[Batch]) -> list[int]:
    return [int(labels[""][0]) for _, labels in batches]


class Noted:
    """Batches that are read, sent and received, in the order in which that happens."""

    def __init__(self, count: int, fails_at: int | None = None, sends: int | None = None) -> None:
        self.count, self.fails_at, self.sends = count, fails_at, sends
        self.told: list[str] = []

    def __iter__(self) -> Iterator[Batch]:
        for number in range(self.count):
            if number == self.fails_at:
                raise OSError(f"batch {number}")
            self.told.append(f"read {number}")
            yield batch(number)

    def send(self, one: Batch) -> int:
        number = int(one[1][""][0])
        if number == self.sends:
            raise RuntimeError(f"out of memory at {number}")
        self.told.append(f"send {number}")
        return number

    def receive(self, sent: int) -> Batch:
        self.told.append(f"receive {sent}")
        return batch(sent)


def test_batches_are_under_way_while_one_is_worked_on() -> None:
    noted = Noted(4)
    for one in sent_ahead(noted, noted, 1):
        noted.told.append(f"step {int(one[1][''][0])}")
    assert [told for told in noted.told if not told.startswith("read")] == [
        *("send 0", "send 1", "receive 0", "step 0"),
        *("send 2", "receive 1", "step 1"),
        *("send 3", "receive 2", "step 2"),
        *("receive 3", "step 3"),
    ]


@pytest.mark.parametrize("count", [0, 1, AHEAD, AHEAD + 1, 9])
def test_every_batch_comes_once_and_in_order(count: int) -> None:
    noted = Noted(count)
    assert numbers(sent_ahead(noted, noted)) == list(range(count))


def test_no_more_than_asked_for_are_read_ahead() -> None:
    noted = Noted(100)
    drawn = sent_ahead(noted, noted, 3)
    next(drawn)
    assert noted.told.count("read 3") == 1
    assert "read 4" not in noted.told


@pytest.mark.parametrize(("reading", "sending"), [(3, None), (None, 3)])
def test_an_error_comes_when_it_is_its_turn(reading: int | None, sending: int | None) -> None:
    noted = Noted(6, reading, sending)
    found: list[int] = []
    with pytest.raises((OSError, RuntimeError), match="3"):
        for one in sent_ahead(noted, noted, 2):
            found.append(int(one[1][""][0]))
    assert found == [0, 1, 2]


def test_on_the_cpu_nothing_is_read_ahead() -> None:
    noted = Noted(3)
    drawn = ahead(noted, lambda one: ((one[0][0] + 1,), one[1]), CPU)
    (first,), labels = next(drawn)
    assert noted.told == ["read 0"]
    assert torch.equal(first, torch.ones(2, 3))
    assert labels[""].tolist() == [0, 0]
    assert numbers(drawn) == [1, 2]


class FakeCuda:
    """Streams that write down what is asked of them, in place of `torch.cuda`."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.now = "computing"

    def stream(self, name: str) -> Any:
        cuda = self

        class Stream:
            def record_event(self, event: list[str]) -> None:
                cuda.told.append(f"{name} records")
                event.append(name)

            def wait_event(self, event: list[str]) -> None:
                cuda.told.append(f"{name} waits for {event[0]}")

            @contextmanager
            def inside(self) -> Iterator[None]:
                before, cuda.now = cuda.now, name
                yield
                cuda.now = before

        return Stream()


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()

    def pinned(tensor: Tensor) -> Tensor:
        fake.told.append("pins")
        return tensor.clone()

    monkeypatch.setattr(torch.cuda, "Event", list)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: fake.stream("side"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: fake.stream("computing"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream.inside())
    monkeypatch.setattr(Tensor, "pin_memory", pinned)
    monkeypatch.setattr(Tensor, "record_stream", lambda tensor, stream: fake.told.append("is held"))
    return fake


def test_copies_run_beside_and_the_network_waits_for_them(cuda: FakeCuda) -> None:
    def place(one: Batch) -> Batch:
        cuda.told.append(f"copies on {cuda.now}")
        return one

    lane = CudaLane(place, torch.device("cuda"))
    sent = lane.send(batch(7))
    assert cuda.told == ["pins", "pins", "copies on side", "side records"]
    cuda.told.clear()
    (values,), labels = lane.receive(sent)
    assert cuda.told == ["computing waits for side", "is held", "is held"]
    assert torch.equal(values, torch.full((2, 3), 7.0))
    assert labels[""].tolist() == [7, 7]


def test_on_cuda_all_batches_go_by_the_lane(cuda: FakeCuda) -> None:
    drawn = ahead(map(batch, range(5)), lambda one: one, torch.device("cuda"))
    assert numbers(drawn) == list(range(5))
    assert cuda.told.count("side records") == 5
