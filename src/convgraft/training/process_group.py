"""The processes that train one network together, and what they tell each other.

A process that trains alone is a group of one: whatever it asks the others, it answers by itself,
and nothing of `torch.distributed` is touched. What is told is small and goes as JSON over gloo,
also where gradients go over NCCL; a rank whose peer has died hears of it at once.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import Store

from convgraft.errors import RunError
from convgraft.training.ranks import Ranks

PIECE = 2**24  # bytes of a file that are sent at once
STOP = "stop"
T = TypeVar("T")


class Interrupted(Exception):  # noqa: N818 - it is no error
    """Somebody asked the fit to stop; what was reached is kept."""


@dataclass(frozen=True, eq=False)
class Group:
    """One of several processes that do the same work together, step by step.

    Whatever is not a question to this process alone has to be asked by all of them.

    Attributes:
        rank, world: of this process among all, and how many there are.
        local_rank, local_world: the same on this machine.
        store: what all of them can look something up in at any time; None for one alone.
        sharded: whether the weights that they train are spread over them.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1
    store: Store | None = None
    sharded: bool = False

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes files and speaks to people."""
        return self.rank == 0

    @property
    def ranks(self) -> Ranks:
        """Its share of every batch."""
        return Ranks(self.rank, self.world)

    def gather(self, value: Any) -> list[Any]:
        """What every rank gave, in their order; values that JSON knows."""
        if self.world == 1:
            return [value]
        own = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.world)]
        dist.all_gather(sizes, torch.tensor([len(own)]))
        longest = max(int(size) for size in sizes)
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in range(self.world)]
        dist.all_gather(parts, padded)
        pairs = zip(parts, sizes, strict=True)
        return [json.loads(bytes(part[: int(size)].tolist())) for part, size in pairs]

    def from_first(self, value: Any) -> Any:
        """What rank zero gave; a value that JSON knows."""
        return self.gather(value if self.is_first else None)[0]

    def any(self, flag: bool) -> bool:
        """Whether it is so on any rank."""
        return flag if self.world == 1 else any(self.gather(flag))

    def all(self, flag: bool) -> bool:
        """Whether it is so on every rank."""
        return flag if self.world == 1 else all(self.gather(flag))

    def wait(self) -> None:
        """Until all of them are here."""
        self.any(False)

    def total(self, values: Tensor) -> Tensor:
        """The sum over all ranks, the same on all of them, bit for bit; a new tensor."""
        if self.world == 1:
            return values
        summed = values.detach().clone()
        dist.all_reduce(summed)
        return summed

    def share_first(self, tensors: Mapping[str, Tensor]) -> None:
        """Give every rank rank zero's numbers, in place."""
        if self.world > 1:
            for _, tensor in sorted(tensors.items()):
                sent = tensor.detach().contiguous()
                dist.broadcast(sent, 0)
                tensor.detach().copy_(sent)

    def each(self, work: Callable[[], T], alike: tuple[type[Exception], ...] = ()) -> T:
        """What this rank's `work` gives, when it is done on every rank.

        Raises its own error where it failed here. Where it failed on others alone, Interrupted or
        one of `alike` if that is what ended it there, else RunError, which names the rank.
        """
        if self.world == 1:
            return work()
        made: list[T] = []
        failed: Exception | None = None
        try:
            made.append(work())
        except Exception as error:  # whatever it is, the others must not wait for this rank
            if is_lost(error):
                raise
            failed = error
        kinds = {kind.__name__: kind for kind in (Interrupted, *alike)}
        told = self.gather([type(failed).__name__, str(failed)] if failed else None)
        if failed is not None:
            raise failed
        for rank, one in enumerate(told):
            if one is not None and one[0] in kinds:
                raise kinds[one[0]]
            if one is not None:
                raise RunError(f"rank {rank} has failed: {one[1]}")
        return made[0]

    def ask_to_stop(self) -> None:
        """Let all know, wherever they are in their own work, that somebody asked for an end."""
        if self.store is not None:
            self.store.set(STOP, "1")

    def is_asked_to_stop(self) -> bool:
        """Whether any rank said so; one question to the store."""
        return self.store is not None and self.store.check([STOP])

    @cached_property
    def scratch(self) -> Path:
        """A folder of this process alone, gone when it leaves the group."""
        return Path(tempfile.mkdtemp(prefix="convgraft-rank-"))

    def forget(self) -> None:
        """Remove what this process kept for itself."""
        if "scratch" in vars(self):
            shutil.rmtree(self.scratch, ignore_errors=True)

    def local_copy(self, path: Path) -> Path | None:
        """A file that rank zero has, where this rank can read it; None where rank zero has none.

        It is sent to machines that do not see rank zero's disk.
        """
        stamp = _stamp(path)
        if self.world == 1:
            return path if stamp else None
        wanted = self.from_first(stamp)
        if wanted is None:
            return None
        lacks = stamp != wanted
        if not self.any(lacks):
            return path
        return self._receive(path, wanted[0], lacks)

    def local_folder(self, path: Path) -> Path:
        """A folder of files that rank zero has, where this rank can read it, as `local_copy`."""
        if self.world == 1:
            return path
        names = [one.name for one in path.iterdir() if one.is_file()] if self.is_first else []
        copies = {self.local_copy(path / name) for name in sorted(self.from_first(names))}
        return next((copy.parent for copy in copies if copy and copy.parent != path), path)

    def _receive(self, path: Path, size: int, lacks: bool) -> Path:
        place = self.scratch / path.parent.name / path.name if lacks else path
        place.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") if self.is_first else place.open("wb" if lacks else "rb") as file:
            for start in range(0, size, PIECE):
                length = min(PIECE, size - start)
                piece = torch.zeros(length, dtype=torch.uint8)
                if self.is_first:
                    piece = torch.frombuffer(bytearray(file.read(length)), dtype=torch.uint8)
                dist.broadcast(piece, 0)
                if lacks:
                    file.write(piece.numpy().tobytes())
        return place


def _stamp(path: Path) -> list[int] | None:
    with suppress(OSError):
        found = path.stat()
        return [found.st_size, found.st_mtime_ns]
    return None


ALONE_GROUP = Group()
_current: list[Group] = []


def current_group() -> Group:
    """The group that this process is in; one of its own where nobody joined one."""
    return _current[-1] if _current else ALONE_GROUP


def enter_group(group: Group) -> None:
    """From now on this process is one of that group."""
    _current.append(group)


def leave_group() -> None:
    """This process is alone again."""
    if _current:
        _current.pop().forget()
    if dist.is_initialized():
        dist.destroy_process_group()


def is_lost(error: BaseException) -> bool:
    """Whether an error says that another rank is gone, or has not answered in time."""
    text = str(error)
    said = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "TCPStore")
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(word in text for word in said)
    )
