"""The same command again: equal weights, bit for bit, whatever is around it.

What a fit ends in depends on its command, its data and the machine. It does not depend on the
number of workers, on whether the store is empty or full, on Python's hash seed, on the run's
folder, on where the images lie or in which order their files were made. Without the store it is the
same where nothing is frozen; where something is, what is stored is computed by a folded network,
and the weights are equal up to rounding alone.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from campaign import Campaign, Trial
from number_fits import make_folder
from safetensors.torch import load_file
from torch import nn

from helpers import Tiny
from helpers_killed import Command, Moment

MODELS = ("python:helpers:Tiny", "python:same_again:wider")
ROUNDING = 1e-3  # of the norm of a tensor, where a folded network stands for the plain one
LIMIT = 300  # seconds that one command may take on a busy machine


def wider() -> nn.Module:
    """Another network than `helpers.Tiny`."""
    return Tiny(width=10, seed=1)


@dataclass(frozen=True)
class Work:
    """What a fit is asked to do.

    Attributes:
        rounded: whether frozen networks feed what learns: without a store they are not folded.
    """

    words: tuple[str, ...]
    rounded: bool = False


WORKS = (
    Work(("ladder", "--head", "side", "--augment", "none"), rounded=True),
    Work(("parallel", "--freeze", "heads-only", "--dropout", "0.3"), rounded=True),
    Work(("cross-skip", "--freeze", "adapters-only", "--augment", "none"), rounded=True),
    Work(("cross-skip", "--augment", "light")),
    Work(("parallel", "--fusion", "attention", "--freeze", "all", "--optimizer", "sgd",
          "--augment", "standard")),
    Work(("parallel", "--loss", "co-learning", "--augment", "digits")),
    Work(("stitch", "--adapter", "ridge", "--augment", "none"), rounded=True),
    Work(("parallel", "--freeze", "lp-ft", "--augment", "none"), rounded=True),
    Work(("cascade", "--augment", "light", "--schedule", "one-cycle")),
    Work(("ladder", "--head", "ridge", "--augment", "none"), rounded=True),
    Work(("ensemble", "--vote", "stack", "--augment", "none")),
    Work(("stitch", "--loss", "final", "--augment", "none"), rounded=True),
    Work(("cross-skip", "--pairs", "likeness", "--start", "one", "--augment", "light")),
    Work(("stitch", "--loss", "two-stage", "--augment", "none"), rounded=True),
    Work(("parallel", "--freeze", "heads-only", "--augment", "light", "--views", "2",
          "--cache-dtype", "bfloat16"), rounded=True),
)  # fmt: skip


@dataclass
class Bench:
    """Where commands run, and what they have come to."""

    folder: Path
    seed: int
    done: dict[int, Path] = field(default_factory=dict)
    count: int = 0

    @property
    def images(self) -> Path:
        """The pictures that everything is trained on."""
        place = self.folder / "images"
        return place if place.exists() else make_folder(place, random.Random(self.seed))

    def first(self, number: int) -> Path:
        """The run that others are compared with, made once: one worker, and a store of its own."""
        if number not in self.done:
            self.done[number] = self.run(number)
        return self.done[number]

    def run(
        self,
        number: int,
        *more: str,
        store: Path | None = None,
        images: Path | None = None,
        hash_seed: str = "",
        seed: int | None = None,
    ) -> Path:
        """One work done in a new folder; raises RuntimeError where the command fails."""
        self.count += 1
        place = self.folder / f"run{self.count}"
        place.mkdir(parents=True)
        words = (
            *("fit", str(images or self.images), "--models", *MODELS, "--image-size", "16"),
            *("--strategy", *WORKS[number].words, "--epochs", "2", "--batch-size", "8"),
            *("--seed", str(self.seed if seed is None else seed), "--accelerator", "cpu"),
            *(
                "--out",
                str(place / "out"),
                *(more if "--workers" in more else (*more, "--workers", "1")),
            ),
        )
        command = Command(words, place / "out", store or place / "store", place / "log.txt")
        code = _fresh(command, hash_seed) if hash_seed else _forked(command)
        if code:
            raise RuntimeError(f"exit code {code}: {' '.join(words)}\n{command.log.read_text()}")
        return place


def _forked(command: Command) -> int | None:
    process = command.start(Moment())
    process.join(LIMIT)
    if process.exitcode is None:
        process.kill()
    return process.exitcode


def _fresh(command: Command, hash_seed: str) -> int:
    """The command in a new interpreter with a hash seed of its own."""
    path = os.pathsep.join(filter(None, sys.path))
    more = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    more["CONVGRAFT_CACHE"] = str(command.store)
    with command.log.open("w") as log:
        return subprocess.run(
            [sys.executable, "-m", "convgraft", *command.arguments],
            env={**os.environ, **more}, stdout=log, stderr=log, timeout=LIMIT, check=False,
        ).returncode  # fmt: skip


def differences(one: Path, other: Path, tolerance: float = 0.0) -> Iterator[str]:
    """Tensors of two runs that differ, by more than a share of their norm where one is allowed."""
    ours, theirs = (load_file(place / "out" / "model.safetensors") for place in (one, other))
    if list(ours) != list(theirs):
        yield "other tensors"
        return
    for name, tensor in ours.items():
        if torch.equal(tensor, theirs[name]):
            continue
        apart = (tensor.double() - theirs[name].double()).norm()
        apart = float(apart / tensor.double().norm().clamp(min=1e-2))
        if not apart <= tolerance:
            yield f"{name} is apart by {apart:.2g} of its norm"


def again(bench: Bench, number: int) -> Iterator[str]:
    """The same command in another folder."""
    yield from differences(bench.first(number), bench.run(number))


def workers(bench: Bench, number: int) -> Iterator[str]:
    """Four workers in place of one."""
    yield from differences(bench.first(number), bench.run(number, "--workers", "4"))


def no_store(bench: Bench, number: int) -> Iterator[str]:
    """Without a store, where something is frozen up to rounding."""
    work = WORKS[number]
    if "--views" in work.words:  # stored views are others than those of every epoch
        return
    tolerance = ROUNDING if work.rounded else 0.0
    yield from differences(bench.first(number), bench.run(number, "--no-cache"), tolerance)


def filled(bench: Bench, number: int) -> Iterator[str]:
    """With everything stored already."""
    first = bench.first(number)
    store = Path(shutil.copytree(first / "store", first.with_name(f"filled{number}")))
    yield from differences(first, bench.run(number, store=store))


def partly_filled(bench: Bench, number: int) -> Iterator[str]:
    """With values stored that another seed, so another split, has left."""
    other = bench.run(number, seed=bench.seed + 1)
    yield from differences(bench.first(number), bench.run(number, store=other / "store"))


def no_store_workers(bench: Bench, number: int) -> Iterator[str]:
    """Without a store, with one worker and with four."""
    one = bench.run(number, "--no-cache")
    yield from differences(one, bench.run(number, "--no-cache", "--workers", "4"))


def moved(bench: Bench, number: int) -> Iterator[str]:
    """The images elsewhere, their files made in another order."""
    place = bench.folder / f"elsewhere{number}"
    files = [path for path in bench.images.rglob("*") if path.is_file()]
    random.Random(number).shuffle(files)
    for path in files:
        target = place / path.relative_to(bench.images)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    yield from differences(bench.first(number), bench.run(number, images=place))


def hash_seed(bench: Bench, number: int) -> Iterator[str]:
    """A new interpreter with another hash seed."""
    yield from differences(bench.first(number), bench.run(number, hash_seed=str(number + 1)))


CHANGES: tuple[Callable[[Bench, int], Iterator[str]], ...] = (
    workers, no_store, again, filled, moved, partly_filled, hash_seed, no_store_workers,
)  # fmt: skip


def trials(seed: int, count: int, folder: Path, *, first: int = 0) -> Iterator[Trial]:
    """Every work with every change, both going on by one from trial to trial."""
    bench = Bench(folder, seed)
    for number in range(first, count):
        work, change = number % len(WORKS), CHANGES[number % len(CHANGES)]
        what = f"{change.__name__} of {' '.join(WORKS[work].words)}, seed {seed}"
        yield Trial(what, _tried(partial(change, bench, work)))


def _tried(change: Callable[[], Iterator[str]]) -> str:
    try:
        return "; ".join(change())
    except Exception as error:
        return f"{type(error).__name__}: {error}"


CAMPAIGNS = (
    Campaign(
        7,
        "same-again",
        "the same command ends in the same weights, bit for bit",
        small=3,
        full=len(WORKS) * len(CHANGES),
        trials=trials,
    ),
)
