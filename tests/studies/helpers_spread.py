"""A small study for many processes, and what may go wrong in one of them.

Processes import this file by its name, as they do with `helpers`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from convgraft.data import open_images, split_images
from convgraft.durable.lines import read_lines
from convgraft.errors import DataError, RunError
from convgraft.sources import source
from convgraft.strategies import Ingredients
from convgraft.studies import (
    Arm,
    Cell,
    Design,
    Predictions,
    Trained,
    cell_work,
    study_of,
    train_arm,
)
from convgraft.training import FitOptions, Task
from helpers import Tiny

DESIGNS = [Design("cross-skip", freeze="adapters-only"), Design("ladder")]
STUDY = study_of("tiny", "which is it?", DESIGNS, ("probe", "finetune", "distilled"))
CELLS = (Cell(20, 0), Cell(20, 1))
# what a clock or what lies in the store says, and a checksum over it
MEASURED = ("seconds", "frozen_images", "latency", "crc32")
FOREVER = 500.0  # seconds


@dataclass(frozen=True)
class Opener:
    """Opens cells, and makes arms go wrong in workers.

    Attributes:
        place: where workers leave notes: their numbers, and what they are at.
        wrong: by arm, what goes wrong with it: `raise`, `data`, `die`, `die once` or `wait`.
        owner: the process whose arms are left alone.
        stuck: a machine of a Ray cluster, by its number, on which the second arm never ends;
            arms of other machines wait until that has begun.
        crowd: arms wait until so many workers have opened a cell.
    """

    place: Path
    wrong: Mapping[str, str] = field(default_factory=dict)
    owner: int = field(default_factory=os.getpid)
    stuck: str = ""
    crowd: int = 1

    def __call__(self, cell: Cell) -> tuple[Task, Ingredients]:
        if os.getpid() != self.owner:
            (self.place / f"{os.getpid()}.pid").touch()
            cell_work.train_arm = self.train
        images = open_images("digits")
        split = split_images(images, seed=cell.seed, limit=cell.limit)
        small = replace(split, val=split.val[:40], test=split.test[:40])
        sources = {n: source(Tiny(classes=10, seed=seed)) for seed, n in enumerate("ab")}
        return Task(images, small, 8), Ingredients(sources, 8, 10)

    def train(self, arm: Arm, *arguments: Any, **more: Any) -> Trained:
        """`train_arm`, where something goes wrong before."""
        wrong = self.wrong.get(arm.name)
        began = self.place / f"{arm.name}.began"
        first = not began.exists()
        wait_until(lambda: len(self.workers) >= self.crowd)
        began.touch()
        if self.stuck and self.stuck == machine():
            earlier = (self.place / "there").exists()
            (self.place / ("stuck" if earlier else "there")).touch()
            time.sleep(FOREVER if earlier else 0)
        elif self.stuck:
            wait_until((self.place / "stuck").exists)
        if wrong == "raise":
            raise RunError("the loss is not finite")
        if wrong == "data":
            raise DataError("no images")
        if wrong == "die" or (wrong == "die once" and first):
            os.kill(os.getpid(), signal.SIGKILL)
        if wrong == "wait" and first:
            time.sleep(FOREVER)
        return train_arm(arm, *arguments, **more)

    @property
    def workers(self) -> list[int]:
        """The processes that opened a cell and are still there."""
        return [int(note.stem) for note in self.place.glob("*.pid") if is_alive(int(note.stem))]


def wait_until(true: Callable[[], bool], seconds: float = 300) -> None:
    """Wait for something that is to happen on the other side, on a busy machine too."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def machine() -> str:
    """The number of the machine, as Ray has it."""
    import ray

    return ray.get_runtime_context().get_node_id()


def is_alive(number: int) -> bool:
    """Whether there is such a process, dead ones that nobody asked for aside."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def gone(opener: Opener, seconds: float = 120) -> bool:
    """Whether all workers end within that time."""
    until = time.monotonic() + seconds
    while opener.workers and time.monotonic() < until:
        time.sleep(0.1)
    return not opener.workers


def killed_in_work(place: Path, kind: str) -> Opener:
    """A process whose study, by workers of that kind, is killed while they work; what it opened."""
    opener, owner = _in_work(place, kind)
    owner.kill()
    owner.wait()
    return opener


def stopped_in_work(place: Path, kind: str) -> tuple[Opener, int, str]:
    """The same, where Ctrl-C comes to all processes as from a terminal; how it ended, its words."""
    opener, owner = _in_work(place, kind)
    os.killpg(owner.pid, signal.SIGINT)
    return opener, owner.wait(FOREVER), (place / "log.txt").read_text()


def _in_work(place: Path, kind: str) -> tuple[Opener, subprocess.Popen[bytes]]:
    """A process of a group of its own whose study is in work."""
    opener, here = Opener(place), Path(__file__)
    command = [sys.executable, str(here), str(place / "study"), str(place), "ladder", kind]
    paths = [str(here.parents[1]), str(here.parent), os.environ.get("PYTHONPATH", "")]
    with (place / "log.txt").open("w") as log:
        owner = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + FOREVER
        while not (place / "ladder.began").exists() and time.monotonic() < until:
            assert owner.poll() is None, (place / "log.txt").read_text()
            time.sleep(0.05)
        assert opener.workers
    except BaseException:
        owner.kill()
        owner.wait()
        raise
    return opener, owner


def options(cell: Cell) -> FitOptions:
    return FitOptions(epochs=1, batch_size=10, seed=cell.seed)


def quiet(what: str, done: int, total: int) -> None:
    pass


def results(folder: Path) -> list[dict[str, Any]]:
    """What came out, in the order of the lines, without what was measured by the clock."""
    lines = read_lines(folder / "results.jsonl")
    return [{k: v for k, v in line.items() if not k.startswith(MEASURED)} for line in lines]


def assert_same(one: Path, other: Path) -> None:
    """The same lines in the same order, what every arm made of every image, and the same files."""
    for ours, theirs in zip(results(one), results(other), strict=True):
        odd = {k: (ours.get(k), one) for k, one in (ours | theirs).items() if ours.get(k) != one}
        assert ours == theirs, (theirs["cell"], theirs["arm"], odd)
    names = [{str(p.relative_to(top)) for p in top.rglob("*")} for top in (one, other)]
    assert names[0] == names[1]
    for path in sorted((other / "predictions").rglob("*.safetensors")):
        theirs, ours = Predictions.load(path), Predictions.load(one / path.relative_to(other))
        assert (ours.ids, ours.classes) == (theirs.ids, theirs.classes)
        assert torch.equal(ours.labels, theirs.labels)
        assert torch.equal(ours.probabilities, theirs.probabilities), path


def main() -> None:
    """`helpers_spread.py FOLDER PLACE ARM pool|ray`: a study in which that arm waits."""
    from convgraft.studies import StudyStore, run_study
    from convgraft.studies.on_ray import OnRay
    from convgraft.studies.pool import Pool

    folder, place, arm, kind = sys.argv[1:]
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job has it ignored
    # Ctrl-C is for workers that have begun
    opener = Opener(Path(place), {arm: "wait"}, crowd=2 if kind == "pool" else 1)
    store = StudyStore.claim(Path(folder), {"n": 1})
    workers = Pool(2) if kind == "pool" else OnRay()
    try:
        run_study(STUDY, CELLS, opener, options, store, quiet, workers)
    except RunError as error:
        sys.exit(str(error))
    finally:
        workers.close()


if __name__ == "__main__":
    # processes know the classes of this file by its name
    import helpers_spread

    helpers_spread.main()
