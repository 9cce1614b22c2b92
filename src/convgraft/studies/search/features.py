"""The one pass: every network runs once over the images, and its pooled taps are stored.

They lie in the store of what frozen networks make of images, under the keys that heads on those
taps have: a fit of a ladder on the same images finds them, and a search finds what such a fit left.
A pass that is killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor, fx

from convgraft.cache.frontier import Frontier
from convgraft.cache.head_frontier import frontier_at_heads, read_by
from convgraft.cache.split import front_of
from convgraft.cache.stored import StoredValues
from convgraft.cache.tuning import timed
from convgraft.cache.values import cut_values
from convgraft.compose import compose
from convgraft.data import Pixels
from convgraft.opening.memory_format import fastest_format, laid_out
from convgraft.plan import Head, Plan
from convgraft.strategies import Ingredients
from convgraft.training import Task
from convgraft.training.run_once import RunOnce

BATCH = 32
TRIES = 3  # batches that a forward pass is timed on
PARTS = ("train", "val")
Report = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Features:
    """What one network makes of the images.

    Attributes:
        taps: names of its blocks and features, in the order in which they are computed.
        values: by part (`train`, `val`) and tap, means over positions, float32 [N, C]. They are
            read from the store whenever they are asked for: all taps of 50,000 images would take
            half a gigabyte of memory for each network.
        seconds: of one image's forward pass on this machine.
        macs: of one image, up to the last tap.
    """

    taps: tuple[str, ...]
    values: Mapping[str, Mapping[str, Tensor]]
    seconds: float
    macs: int


def all_features(given: Ingredients, task: Task, report: Report) -> dict[str, Features]:
    """The features of every network; what is stored already is not computed again."""
    return {name: _features(given, name, task, report) for name in given.sources}


def _features(given: Ingredients, name: str, task: Task, report: Report) -> Features:
    frontier = _frontier(given, name)
    refs = frontier.held.plan.heads[0].inputs
    places = {
        ref.tap: frontier.stored.index(node)
        for ref, node in zip(refs, read_by(frontier, "taps"), strict=True)
    }
    network = _Network(frontier, front_of(frontier, cut_values(frontier)), places)
    values: dict[str, Mapping[str, Tensor]] = {}
    for part in PARTS:
        values[part] = network.values(task, part, partial(report, f"features of {name}, {part}"))
    return Features(tuple(places), values, network.seconds(task), frontier.macs_once)


def _frontier(given: Ingredients, name: str) -> Frontier:
    """The cut of one network at its taps, which a head pools as that of a ladder does."""
    alone = replace(given, sources={name: given.sources[name]})
    features = given.features(name)
    refs = (*(ref for ref in given.side_taps(name) if ref != features), features)
    head = Head("taps", "linear", refs, given.classes)
    network = compose(Plan(given.image_size, alone.refs, (), (head,)), alone.sources).eval()
    return frontier_at_heads(network.holding([f"sources.{name}"]))


@dataclass(frozen=True, eq=False)
class _Network:
    """One network up to its taps.

    Attributes:
        front: from images to the cut's values.
        places: of every tap, the place of its value in the cut.
    """

    frontier: Frontier
    front: fx.GraphModule
    places: Mapping[str, int]

    @cached_property
    def layout(self) -> torch.memory_format:
        return fastest_format(self.frontier.held)

    def values(
        self, task: Task, part: str, report: Callable[[int, int], None]
    ) -> Mapping[str, Tensor]:
        """By tap; rows are those of the task's pixels."""
        once = RunOnce.at(self.frontier, task, task.cache) if task.cache else None
        data = once.data(part, on_progress=report) if once else None
        if data is not None and len(data) == len(task.pixels(part)):
            return _Stored(data, self.places)
        return self._in_memory(task.pixels(part), report)

    @torch.inference_mode()
    def _in_memory(
        self, pixels: Pixels, report: Callable[[int, int], None]
    ) -> Mapping[str, Tensor]:
        """The same where there is no store, or no room in it."""
        rows: list[list[Tensor]] = [[] for _ in self.frontier.stored]
        # streamed ones count rows over all images, also those that turned out broken
        for start in range(0, len(pixels.images), BATCH):
            given = self.front(laid_out(pixels.images[start : start + BATCH], self.layout))
            for column, value in zip(rows, given, strict=True):
                column.append(value.float().flatten(1).clone())
            report(min(start + BATCH, len(pixels)), len(pixels))
        return {tap: torch.cat(rows[place]) for tap, place in self.places.items()}

    @torch.inference_mode()
    def seconds(self, task: Task) -> float:
        """Of one image's forward pass, timed here: all values may have been stored before."""
        batch = laid_out(task.pixels("train").images[:BATCH], self.layout)
        return min(timed(self.front, batch) for _ in range(TRIES)) / max(1, len(batch))


class _Stored(Mapping[str, Tensor]):
    """Values by tap, read when they are asked for."""

    def __init__(self, data: StoredValues, places: Mapping[str, int]) -> None:
        self._data, self._places = data, places

    def __getitem__(self, tap: str) -> Tensor:
        return self._data.value(self._places[tap]).flatten(1)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
