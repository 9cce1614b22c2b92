"""Memory that does not suffice for a batch: a word on what would do, or smaller batches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from campaign import Campaign, Trial
from kill_work import FITS, PREDICT, Work, run
from left_alone import Ground, told

from helpers_killed import Command

BATCH = 32  # images of a step where nothing is said
WORDS = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4831838208 bytes."


def trials(seed: int, count: int, folder: Path) -> Iterator[Trial]:
    """Any number of images in a convolution but so many is too much."""
    ground = Ground(folder, seed, "no-memory")
    for number, place in ground.places(count):
        most = ground.drawing(number).randint(1, 40)
        place.mkdir(parents=True)
        (place / "most.json").write_text(json.dumps(most))
        yield _predicted(most, ground, place) if number % 2 else _trained(most, place)


def _trained(most: int, place: Path) -> Trial:
    """The hint is taken until it helps."""
    work, batch = FITS[0], BATCH
    what = f"fit, memory for {most} images"
    while True:
        command = _scarce(work, place / str(batch), place)
        command = replace(command, arguments=(*command.arguments, "--batch-size", str(batch)))
        ended = run(command)
        if ended.code == 0:
            return told(what, ended, (0,))
        trial = told(f"{what}, batches of {batch}", ended, (1,), "not enough memory")
        if trial.wrong or batch <= 2:
            return trial if batch > max(most, 2) else Trial(what, trial.wrong)
        if f"--batch-size {batch // 2}" not in ended.said:
            return Trial(what, f"no word on what would do: {ended.said[-300:]}")
        if batch <= most // 4:  # whatever else runs at once has less than that
            return Trial(what, f"batches of {batch} are too large: {ended.said[-300:]}")
        batch //= 2


def _predicted(most: int, ground: Ground, place: Path) -> Trial:
    """Batches are halved with a word, and the rows are the same."""
    work = PREDICT[0]
    what = f"predict, memory for {most} images"
    ended = run(_scarce(work, place, place))
    trial = told(what, ended, (0,), *([] if most >= 8 else ["in halves"]))
    return trial if trial.wrong else Trial(what, work.differs(place, ground.whole(work).place))


def _scarce(work: Work, place: Path, notes: Path) -> Command:
    command = work.command(place)
    if place != notes:
        (place / "most.json").write_text((notes / "most.json").read_text())
    often = "_and_often" if work in PREDICT else ""
    return replace(command, prepare=f"machine_memory:scarce{often}")


def scarce(command: Command) -> None:
    """In the other process: convolutions of too many images fail as PyTorch does."""
    import torch

    most = json.loads((command.log.parent / "most.json").read_text())
    forward = torch.nn.Conv2d._conv_forward

    def limited(self: Any, images: Any, *arguments: Any) -> Any:
        if images.device.type != "meta" and type(images) is torch.Tensor and len(images) > most:
            raise RuntimeError(WORDS)
        return forward(self, images, *arguments)

    torch.nn.Conv2d._conv_forward = limited


def scarce_and_often(command: Command) -> None:
    """The same for a prediction, which puts rows on the disk often."""
    from kill_work import commit_often

    scarce(command)
    commit_often(command)


MEMORY = (
    Campaign(2, "no-memory", "where memory runs out, batches are halved, or a word says how",
             2, 20, trials),
)  # fmt: skip
