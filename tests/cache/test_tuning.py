"""Batch size and threads, measured on the spot."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from convgraft.cache import tuning
from convgraft.cache.tuning import thread_counts, tune

CPU = torch.device("cpu")


@dataclass
class Clock:
    """Goes on only where somebody says so."""

    now: float = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which calls are measured."""
    made = Clock()
    monkeypatch.setattr(tuning, "time", SimpleNamespace(perf_counter=lambda: made.now))
    return made


class Slow(nn.Module):
    """A network whose calls take a given time, whatever they are given."""

    def __init__(self, clock: Clock, seconds: float, worse_above: int = 10**6) -> None:
        super().__init__()
        self.clock, self.seconds, self.worse_above = clock, seconds, worse_above
        self.seen: list[tuple[int, int]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append((len(images), torch.get_num_threads()))
        self.clock.now += self.seconds * (50 if len(images) > self.worse_above else 1)
        return images


@pytest.mark.parametrize(("worse_above", "batch"), [(10**6, 128), (32, 32)])
def test_the_fastest_batch_is_found(clock: Clock, worse_above: int, batch: int) -> None:
    before = torch.get_num_threads()
    found = tune(Slow(clock, 2e-3, worse_above), torch.zeros(3, 3, 4, 4), seconds=5)
    assert found.batch == batch
    assert found.images_per_second == pytest.approx(batch / 2e-3)
    assert torch.get_num_threads() == before


def test_more_images_at_once_take_memory_and_have_to_be_worth_it(clock: Clock) -> None:
    class Even(Slow):
        def forward(self, images: Tensor) -> Tensor:
            self.seconds = 1e-3 * len(images) * (0.98 if len(images) > 32 else 1.0)
            return super().forward(images)

    network = Even(clock, 0.0)
    assert tune(network, torch.zeros(1, 3, 4, 4), seconds=50, threads=(1,)).batch == 32
    assert max(count for count, _ in network.seen) == 64


def test_it_ends_in_time_with_something_and_threads_are_as_they_were(clock: Clock) -> None:
    before = torch.get_num_threads()
    network = Slow(clock, 0.1)
    found = tune(network, torch.zeros(1, 3, 4, 4), seconds=0.05)
    assert len(network.seen) == 2  # the first call, and one that counts
    assert found.batch == tuning.BATCHES[0]
    network.forward = fails  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="out of memory"):
        tune(network, torch.zeros(1, 3, 4, 4))
    assert torch.get_num_threads() == before


def fails(images: Tensor) -> Tensor:
    raise RuntimeError("out of memory")


def test_threads_are_no_more_than_asked_for(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert thread_counts(CPU) == (8, 4)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert thread_counts(CPU) == (2, 1)
    network = Slow(clock, 1e-4)
    tune(network, torch.zeros(1, 3, 4, 4))
    assert {threads for _, threads in network.seen} == {1, 2}
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert thread_counts(CPU) == (1,)
