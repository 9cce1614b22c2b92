"""Several ranks on this machine, for tests: forked from a process that has imported all.

A piece of work is a function here; every rank does the same list of them in one group.
"""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from convgraft.cli.starting import free_port

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["lightning.pytorch", "sklearn.datasets", "convgraft.studies", "convgraft.cli.joining"]
)
SHARDED = "SHARDED"  # "1" where ranks spread their weights
Work = tuple[str, dict[str, Any]]  # the name of a function here, and what it is given


def start_ranks(
    world: int, works: Sequence[Work], folder: Path, store: Path | Sequence[Path], **known: str
) -> list[BaseProcess]:
    """Ranks that do this work and write what came out to `folder`, a file each.

    Args:
        store: of what frozen parts compute: one for all, or one for each rank.
        known: further variables of their environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stores = [store] * world if isinstance(store, Path) else list(store)
    port = free_port()
    common = {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world), **known}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = []
    for rank in range(world):
        place = common | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        place["CONVGRAFT_CACHE"] = str(stores[rank])
        process = SERVER.Process(target=_rank, args=(place, list(works), str(folder)))
        process.start()
        started.append(process)
    return started


def run_ranks(
    world: int, works: Sequence[Work], folder: Path, store: Path | Sequence[Path], **known: str
) -> list[list[Any]]:
    """For every rank what each piece of work gave."""
    started = start_ranks(world, works, folder, store, **known)
    for process in started:
        process.join(900)
    assert [process.exitcode for process in started] == [0] * world, _told(folder)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world)]


def _told(folder: Path) -> str:
    return "\n".join(path.read_text() for path in sorted(folder.glob("*.err")))


def _rank(place: Mapping[str, str], works: Sequence[Work], folder: str) -> None:
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    torch.set_num_threads(1)
    os.environ.update(place)
    from convgraft.cli.joining import join
    from convgraft.training.process_group import current_group, leave_group

    rank = place["RANK"]
    try:
        known = {name: place[name] for name in place if name.isupper() and "CACHE" not in name}
        join(known, sharded=known.pop(SHARDED, "") == "1")
        found = [globals()[name](**given) for name, given in works]
        torch.save(found, Path(folder) / f"{rank}.pt")
        current_group().wait()
        leave_group()
    except BaseException as error:
        text = f"{type(error).__name__}: {error}"
        (Path(folder) / f"{rank}.err").write_text(f"{text}\n{traceback.format_exc()}")
        os._exit(1)


def fitted(
    design: Mapping[str, Any],
    options: Mapping[str, Any],
    limit: int = 98,
    checkpoint: str | None = None,
    balance: str | None = None,
    known_labels: int | None = None,
    die_after: int | None = None,
    stop_after: int | None = None,
    no_room_on: int | None = None,
) -> dict[str, Any]:
    """One fit of an arm on digits: its curve, its weights, and what it computed and trained on.

    Args:
        balance: of the losses, whatever label columns they are about.
        known_labels: images that have one; the others are without.
        die_after: steps after which the last rank is gone.
        stop_after: steps after which the last rank is asked to stop.
        no_room_on: a rank that has no room to keep pixels.
    """
    from convgraft.cache import default_cache
    from convgraft.compose import compose
    from convgraft.data import open_images, split_images
    from convgraft.sources import source
    from convgraft.strategies import Ingredients, StrategyOptions
    from convgraft.studies import Design, build_arm
    from convgraft.training import FitOptions, Task, fit
    from convgraft.training import task as task_file
    from convgraft.training.process_group import current_group

    images = open_images("digits")
    if known_labels is not None:
        labels = images.labels.copy()
        labels[known_labels:] = -1
        images = replace(images, labels=labels)
    split = split_images(images, seed=0, limit=limit)
    split = replace(split, val=split.val[:33])
    task = Task(images, split, 8, cache=default_cache())
    sources = {"a": source("cifar_resnet20"), "b": source("cifar_resnet20", seed=1)}
    given = Ingredients(sources, 8, 10)
    said = dict(design)
    chosen = StrategyOptions(**said.pop("options", {}))
    arm = build_arm(Design(said.pop("strategy"), chosen, **said), given)
    if balance and arm.loss:
        stages = tuple(replace(stage, balance=balance) for stage in arm.loss.stages)
        arm = replace(arm, loss=replace(arm.loss, stages=stages))
    network = compose(arm.plan, arm.sources)
    orders: list[list[int]] = []
    room = current_group().rank != no_room_on
    with noted_orders(orders), mock.patch.object(task_file, "has_room", lambda *_: room):
        result = fit(
            network,
            task,
            arm.policy,
            FitOptions(**options),
            loss=arm.loss,
            checkpoint=Path(checkpoint) if checkpoint else None,
            on_progress=_cut(die_after, stop_after, current_group()),
        )
    return {
        "curve": [json.loads(json.dumps(dict(epoch))) for epoch in result.curve],
        "best": result.best_epoch,
        "weights": dict(result.composite.state_dict()),
        "computed": sum(task.computed.values()),
        "orders": orders,
        "pixels": type(task.pixels("train")).__name__,
        "interrupted": result.interrupted,
    }


def solved() -> dict[str, Any]:
    """Ridge heads of a ladder on digits, solved for: weights, and the answers to validation."""
    from convgraft.compose import compose
    from convgraft.data import open_images, split_images
    from convgraft.sources import source
    from convgraft.strategies import STRATEGIES, Ingredients, StrategyOptions
    from convgraft.training import Task, start_ridge_heads

    images = open_images("digits")
    sources = {"a": source("cifar_resnet20")}
    given = Ingredients(sources, 8, 10, StrategyOptions(head="ridge"))
    network = compose(STRATEGIES["ladder"].write(given), sources)
    task = Task(images, split_images(images, seed=0, limit=33), 8)
    penalties = start_ridge_heads(network, task)
    return {"penalties": penalties, "weights": dict(network.state_dict())}


def streamed_answers(shards: str) -> dict[str, Any]:
    """Answers to streamed validation images, their labels, and the names of the broken ones."""
    from convgraft.compose import compose
    from convgraft.data import open_images
    from convgraft.data.split import Split
    from convgraft.sources import source
    from convgraft.strategies import STRATEGIES, Ingredients
    from convgraft.training import Task, answer_part

    images = open_images(shards)
    sources = {"a": source("cifar_resnet20")}
    network = compose(STRATEGIES["probe"].write(Ingredients(sources, 8, 2)), sources, seed=0)
    task = Task(images, Split((), tuple(range(len(images))), (), 0), 8, cache=None)
    found = answer_part(network, task, "val")
    return {
        "logits": dict(found.logits),
        "labels": found.labels[""],
        "indices": list(found.indices),
        "broken": sorted(one.id for one in task.broken),
    }


def refusal(**given: Any) -> str:
    """What is told of a fit that is refused."""
    from convgraft.errors import UsageError

    try:
        fitted(**given)
    except UsageError as error:
        return str(error)
    return ""


class Odd(nn.Module):
    """A number that learns, a weight in its forward, one layer twice, and branches side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 5, 1)
        self.right, self.past = (nn.Conv2d(count, 5, 3, padding=1) for count in (6, 3))
        self.twice, self.fc = nn.Conv2d(5, 5, 1), nn.Linear(5, 10)
        self.gain, self.gamma = nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.ones(5))

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.stem(image))
        x = self.left(x) + self.past(image) + self.gain * self.right(x)
        x = self.twice(torch.relu(self.twice(x)))
        return self.fc((x * self.gamma[:, None, None]).mean((2, 3)))


def odd_network(learning: Sequence[str]) -> tuple[Any, Any]:
    """Two `Odd` ones in parallel, of which some parts learn beside the head, and what is held."""
    from convgraft.compose import compose
    from convgraft.sources import source
    from convgraft.strategies import STRATEGIES, Ingredients
    from convgraft.training import Rule, one_phase
    from convgraft.training.freeze import apply_freeze, work_out

    torch.manual_seed(0)
    sources = {name: source(Odd(), size=8) for name in "ab"}
    network = compose(STRATEGIES["parallel"].write(Ingredients(sources, 8, 10)), sources)
    rules = [Rule("**", 0.0), *(Rule(part, 1.0) for part in learning), Rule("heads")]
    freeze = work_out(one_phase("mine", *rules), network)
    return apply_freeze(network, freeze), freeze


def stepped(learning: Sequence[str]) -> dict[str, Any]:
    """Steps of a network that is spread, and of its twin that is whole and sees all images."""
    from convgraft.training.batch_norm_over_ranks import BatchNormOverRanks
    from convgraft.training.freeze import trainable_state
    from convgraft.training.process_group import current_group
    from convgraft.training.sharded import Sharded, average_gradients

    network, freeze = odd_network(learning)
    network.double()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    twin = copy.deepcopy(network)
    spread = Sharded(network, twin.plan.answers, torch.device("cpu"))
    moved = [torch.optim.SGD(one.parameters(), 0.1) for one in (spread.parts, twin)]
    ranks = current_group().ranks
    for seed in range(3):
        images = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(seed)).double()
        labels = torch.arange(12) % 10
        with BatchNormOverRanks():
            _answer_loss(spread.parts, ranks.share(images), ranks.share(labels)).backward()
        _answer_loss(twin, images, labels).backward()
        average_gradients(spread.kept_whole)
        for optimiser in moved:
            optimiser.step()
            optimiser.zero_grad()
        with torch.no_grad():  # as validation does
            spread.parts.eval()(images)
        spread.parts.train()
    spread.gather(trainable_state(network, freeze).keys())
    cut = [weight for weight in spread.parts.parameters() if weight.dim()]
    return {
        "weights": dict(spread.whole.state_dict()),
        "twin": dict(twin.state_dict()),
        "before": before,
        "own": sum(weight.to_local().numel() for weight in cut),  # type: ignore[attr-defined]
        "all": sum(weight.numel() for weight in cut),
        "numbers": len(spread.kept_whole),
    }


def _answer_loss(network: Any, images: Tensor, labels: Tensor) -> Tensor:
    answers = network(images).values()
    return sum((nn.functional.cross_entropy(one, labels) for one in answers), torch.zeros(()))


def _cut(die_after: int | None, stop_after: int | None, group: Any) -> Any:
    """A progress after some steps of which something happens to the last rank."""

    def report(done: int, total: int) -> None:
        if group.rank == group.world - 1 and done == die_after:
            os._exit(9)
        if group.rank == group.world - 1 and done == stop_after:
            os.kill(os.getpid(), signal.SIGTERM)

    return report


class noted_orders:  # noqa: N801
    """Notes the rows of every batch that this rank trains on, while it is entered."""

    def __init__(self, orders: list[list[int]]) -> None:
        self.orders = orders

    def __enter__(self) -> None:
        from convgraft.training import loaders

        self._before = loaders.Epochs.shares
        orders, before = self.orders, self._before

        def shares(own: Any, number: int, first: int = 0) -> Any:
            found = before(own, number, first)
            if own._shuffle:
                orders.extend(rows.tolist() for rows in found)
            return found

        loaders.Epochs.shares = shares  # type: ignore[method-assign]

    def __exit__(self, *error: object) -> None:
        from convgraft.training import loaders

        loaders.Epochs.shares = self._before  # type: ignore[method-assign]
