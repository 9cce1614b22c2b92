"""Several ranks on this machine, for tests: forked from a process that has imported all.

A piece of work is a function here; every rank does the same list of them in one group.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["lightning.pytorch", "sklearn.datasets", "convgraft.studies", "convgraft.cli.joining"]
)
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
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
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
        process.join(300)
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
        join({name: place[name] for name in place if name.isupper() and "CACHE" not in name})
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
) -> dict[str, Any]:
    """One fit of an arm on digits: its curve, its weights, and what it computed and trained on.

    Args:
        balance: of the losses, whatever label columns they are about.
        known_labels: images that have one; the others are without.
        die_after: steps after which the last rank is gone.
        stop_after: steps after which the last rank is asked to stop.
    """
    from convgraft.cache import default_cache
    from convgraft.compose import compose
    from convgraft.data import open_images, split_images
    from convgraft.sources import source
    from convgraft.strategies import Ingredients, StrategyOptions
    from convgraft.studies import Design, build_arm
    from convgraft.training import FitOptions, Task, fit
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
    with noted_orders(orders):
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
        "interrupted": result.interrupted,
    }


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
