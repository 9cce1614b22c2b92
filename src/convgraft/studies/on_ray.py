"""Workers of a Ray cluster, or of a Ray instance that lives as long as this object.

Ray schedules tasks by the processors and GPUs that they need, and does those again whose worker or
machine is lost. Only this file and `ray_cluster` know of Ray.
"""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import suppress
from typing import Any

from convgraft.errors import RunError
from convgraft.studies.ray_cluster import LOCAL, connect, import_ray, places, short
from convgraft.studies.workers import TRIES, Ended, Report, Surroundings, Work, paced

AHEAD = 2  # tasks that Ray has for each place, so that no place waits for the next one
LEAST_AHEAD = 16  # however small the cluster is: one that grows by itself looks at what waits
TOLD = 1.0  # seconds between two reports of one arm


class OnRay:
    """Workers of Ray; see `convgraft.studies.workers.Workers`.

    Args:
        address: `local`: an instance of this machine's own, which ends with this object; `auto`:
            the cluster that runs here; or `HOST:PORT`, or `ray://HOST:PORT`.
        cpus, gpus: that a task needs; a share of a GPU is one that several tasks use. None: a GPU
            where the cluster has any, so that arms are trained where they would be here.
        watched: whether somebody looks at how far tasks are.

    Raises UsageError where Ray is not installed, where nothing answers at the address, and where
    no machine of the cluster has what a task needs.
    """

    def __init__(
        self,
        address: str = LOCAL,
        *,
        cpus: float = 1,
        gpus: float | None = 0,
        watched: bool = False,
    ) -> None:
        self._ray = import_ray()
        self._owns = not self._ray.is_initialized()
        if self._owns:
            connect(self._ray, address)
        self._tasks: dict[Any, tuple[Hashable, Any]] = {}
        try:
            nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            gpus = float(any(node.get("GPU") for node in nodes)) if gpus is None else gpus
            self._count = places({"CPU": cpus, "GPU": gpus}, nodes)
        except BaseException:
            self.close()
            raise
        remote = self._ray.remote(_do).options(
            num_cpus=cpus, num_gpus=gpus, max_retries=TRIES - 1, retry_exceptions=False
        )
        self._remote, self._surroundings = remote, Surroundings()
        board = self._ray.remote(_board()).options(num_cpus=0, max_restarts=-1)
        self._board = board.remote() if watched else None
        self._asked: Any = None

    @property
    def count(self) -> int:
        """How many tasks the cluster can do at a time, as large as it is now."""
        return self._count

    @property
    def has_room(self) -> bool:
        """Whether Ray has not far more tasks yet than it can do at a time."""
        return len(self._tasks) < max(LEAST_AHEAD, AHEAD * self._count)

    def start(self, key: Hashable, work: Work, task: Any) -> None:
        """Have Ray do a task as soon as a place is free."""
        result = self._remote.remote(work, task, self._surroundings, self._board)
        self._tasks[result] = (key, result)

    def finished(self, seconds: float, report: Report) -> list[Ended]:
        """The tasks that ended; Ray has done those again whose worker was lost."""
        self._hear(report)
        waiting = list(self._tasks)
        if not waiting:
            return []
        try:
            ready, _ = self._ray.wait(waiting, num_returns=1, timeout=seconds)
            if ready:
                ready, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
        except (self._ray.exceptions.RayError, ConnectionError) as error:
            raise _lost_cluster(error) from error
        return [self._ended(result) for result in ready]

    def _ended(self, result: Any) -> Ended:
        key, _ = self._tasks.pop(result)
        errors = self._ray.exceptions
        try:
            return Ended(key, self._ray.get(result))
        except errors.RayTaskError as error:
            raise error.cause or error from error
        except (errors.RaySystemError, ConnectionError) as error:
            raise _lost_cluster(error) from error
        except errors.RayError as error:
            return Ended(key, lost=f"its workers were lost: {short(error)}")

    def _hear(self, report: Report) -> None:
        """Pass on what tasks have told since; nobody waits for it."""
        if self._board is None:
            return
        with suppress(self._ray.exceptions.RayError):
            if self._asked is None:
                self._asked = self._board.take.remote()
            ready, _ = self._ray.wait([self._asked], timeout=0)
            if ready:
                asked, self._asked = self._asked, None
                for what, (done, total) in self._ray.get(asked).items():
                    report(what, done, total)

    def close(self) -> None:
        """Break off all tasks, and leave the cluster or end the instance."""
        with suppress(Exception):
            for result in self._tasks:
                self._ray.cancel(result, force=True)
        self._tasks = {}
        if self._owns:
            self._ray.shutdown()


def _board() -> type:
    """The class of an actor that tasks tell how far they are, by what it is about.

    Made in a function, so that it is sent as it is and its process need not import this package.
    """

    class Board:
        def __init__(self) -> None:
            self.told: dict[str, tuple[int, int]] = {}

        def tell(self, what: str, done: int, total: int) -> None:
            self.told[what] = (done, total)

        def take(self) -> dict[str, tuple[int, int]]:
            told, self.told = self.told, {}
            return told

    return Board


def _do(work: Work, task: Any, surroundings: Surroundings, board: Any) -> Any:
    """In the worker."""
    surroundings.apply()

    def tell(what: str, done: int, total: int) -> None:
        if board is not None:
            board.tell.remote(what, done, total)

    return work(task, paced(tell, TOLD))


def _lost_cluster(error: Exception) -> RunError:
    return RunError(
        "the Ray cluster is lost",
        found=short(error),
        hint="the same command goes on where it stopped",
    )
