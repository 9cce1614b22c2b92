"""Batches side by side come out in their order, and leave the process as it was."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from torch import Tensor

from convgraft.cache.streams import run_streams, streams_on


def batches(count: int) -> list[tuple[int, Tensor]]:
    return [(number, torch.full((1,), float(number))) for number in range(count)]


@pytest.mark.parametrize("streams", [1, 3])
def test_values_come_in_order_whoever_is_first(streams: int) -> None:
    def network(images: Tensor) -> tuple[Tensor, ...]:
        time.sleep(0.01 if images.item() % 3 == 0 else 0.0)
        assert torch.is_inference_mode_enabled()
        return (images * 2,)

    found = [
        (label, value.item()) for label, (value,) in run_streams(network, batches(12), streams)
    ]
    assert found == [(number, 2.0 * number) for number in range(12)]


def test_streams_work_at_the_same_time_on_one_thread_each() -> None:
    both = threading.Barrier(2, timeout=120)
    threads: list[int] = []

    def network(images: Tensor) -> tuple[Tensor, ...]:
        both.wait()  # breaks where the other batch does not run meanwhile
        threads.append(torch.get_num_threads())
        return (images,)

    before = torch.get_num_threads()
    assert len(list(run_streams(network, batches(4), 2))) == 4
    assert threads == [1] * 4
    assert torch.get_num_threads() == before


def test_a_failure_comes_to_the_caller() -> None:
    def network(images: Tensor) -> tuple[Tensor, ...]:
        raise ValueError(f"batch {images.item():.0f}")

    with pytest.raises(ValueError, match="batch 0"):
        list(run_streams(network, batches(9), 2))


def test_an_accelerator_has_one_stream() -> None:
    assert streams_on(torch.device("cuda")) == 1
    assert streams_on(torch.device("cpu")) >= 1
