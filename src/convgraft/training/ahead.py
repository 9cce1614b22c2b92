"""Batches on their way to the device ahead of their use, so that no step waits for a copy.

On CUDA the next batches are copied from pinned memory on a stream of their own while the network
works on the one before. Elsewhere there is nothing to be gained, and each is brought there when its
turn comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from convgraft.training.epochs import Batch

AHEAD = 2  # batches that are on their way while the network works on one

Place = Callable[[Batch], Batch]
Sent = TypeVar("Sent")


class Lane(Protocol[Sent]):
    """A way to a device on which batches are under way while others are worked on."""

    def send(self, batch: Batch) -> Sent:
        """Begin to bring a batch there, without waiting for it."""
        ...

    def receive(self, sent: Sent) -> Batch:
        """A batch that was sent, for whatever the caller asks of the device from now on."""
        ...


def ahead(batches: Iterable[Batch], place: Place, device: torch.device) -> Iterator[Batch]:
    """The same batches in the same order, on the device.

    Args:
        batches: (inputs, labels by column), on the CPU.
        place: brings one of them to the device, in the precision that it is to have there.
        device: where `place` brings them.

    An error of `batches` or of `place` is raised when the turn of its batch comes: all batches
    before it are given first.
    """
    if device.type != "cuda":
        return map(place, batches)
    return sent_ahead(batches, CudaLane(place, device))


def sent_ahead(batches: Iterable[Batch], lane: Lane[Sent], count: int = AHEAD) -> Iterator[Batch]:
    """Batches by a lane, `count` of them under way while the caller has one."""
    source, under_way = iter(batches), deque[Sent]()
    failure: Exception | None = None
    ended = False
    while True:
        while not ended and len(under_way) <= count:
            try:
                under_way.append(lane.send(next(source)))
            except StopIteration:
                ended = True
            except Exception as error:  # it waits until what was sent before it is taken
                ended, failure = True, error
        if not under_way:
            break
        yield lane.receive(under_way.popleft())
    if failure is not None:
        raise failure


class CudaLane:
    """Copies from pinned memory on a stream beside the one that computes."""

    def __init__(self, place: Place, device: torch.device) -> None:
        self._place, self._device = place, device
        self._stream = torch.cuda.Stream(device)

    def send(self, batch: Batch) -> tuple[Batch, torch.cuda.Event]:
        """Begin to copy; the event is when the copy is there."""
        pinned = _each(batch, Tensor.pin_memory)
        with torch.cuda.stream(self._stream):
            moved = self._place(pinned)
        there = torch.cuda.Event()
        self._stream.record_event(there)
        return moved, there

    def receive(self, sent: tuple[Batch, torch.cuda.Event]) -> Batch:
        """The computing stream waits for the copy; the process does not."""
        moved, there = sent
        computing = torch.cuda.current_stream(self._device)
        computing.wait_event(there)
        for tensor in _tensors(moved):  # else its memory may be given out while it is in use
            tensor.record_stream(computing)
        return moved


def _each(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    inputs, labels = batch
    return tuple(map(change, inputs)), {name: change(column) for name, column in labels.items()}


def _tensors(batch: Batch) -> list[Tensor]:
    inputs, labels = batch
    return [*inputs, *labels.values()]
