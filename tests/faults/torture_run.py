"""Running campaigns one after another, each in a process of its own, and keeping every trial."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from campaign import Campaign
from trial_log import Done, Writer
from worker import can_skip

HERE = Path(__file__).parent
# seconds that a trial may take before it counts as one that hangs
LIMIT = float(os.environ.get("CONVGRAFT_TRIAL_LIMIT", "1800"))
OnTrial = Callable[[int], object]


@dataclass(frozen=True)
class Torture:
    """What is asked for.

    Attributes:
        out: where trials, what campaigns print, and their passing files lie.
        share: of the full number of trials, above 0, at most 1.
        modules: that hold the campaigns.
    """

    out: Path
    seed: int
    share: float
    modules: tuple[str, ...]

    def count(self, campaign: Campaign) -> int:
        """How many trials of a campaign are wanted."""
        return max(1, ceil(campaign.full * self.share))


def run_campaign(campaign: Campaign, asked: Torture, writer: Writer, on_trial: OnTrial) -> None:
    """Try what is not tried yet, and keep it; a campaign that breaks off is a failure.

    A campaign whose `trials` take no `first` begins anew where it was stopped before its end.

    Args:
        on_trial: is told how many trials are done.
    """
    count, done = asked.count(campaign), writer.log.count(campaign.name, asked.seed)
    on_trial(min(done, count))
    if done >= count:
        return
    number = done if can_skip(campaign) else 0
    ended = "it broke off"
    with _working(campaign, asked, number) as (process, lines):
        for told in lines:
            if "what" not in told:
                ended = told.get("raised", "")
                break
            writer.add(Done(campaign.name, asked.seed, number, **told))
            number += 1
            on_trial(number)
        else:
            ended = f"its process ended with {process.wait()}, or was ended after {LIMIT:.0f} s"
    if not ended and number < count:
        ended = f"only {number} of {count} trials were made"
    if ended:
        what = f"the campaign; it printed {_printed(campaign, asked)}"
        writer.add(Done(campaign.name, asked.seed, number, what, ended, 0.0, broke_off=True))


@contextmanager
def _working(
    campaign: Campaign, asked: Torture, first: int
) -> Iterator[tuple[subprocess.Popen[bytes], Iterator[dict[str, Any]]]]:
    """The campaign's process, and what it tells; with the block's end it is over."""
    folder = asked.out / "work" / campaign.name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "trials").mkdir(parents=True)
    reading, writing = os.pipe()
    told = {
        "modules": asked.modules, "name": campaign.name, "seed": asked.seed, "first": first,
        "count": asked.count(campaign), "folder": str((folder / "trials").resolve()),
        "pipe": writing,
    }  # fmt: skip
    with _printed(campaign, asked).open("wb") as printed, os.fdopen(reading) as pipe:
        process = subprocess.Popen(
            [sys.executable, HERE / "worker.py", json.dumps(told)],
            pass_fds=(writing,),
            stdin=subprocess.PIPE,  # closed by our end, however that comes: then it ends too
            stdout=printed,
            stderr=printed,
            env=_environment(folder),
            start_new_session=True,  # so that all of it can be ended together
        )
        os.close(writing)
        try:
            yield process, _lines(pipe, process.pid)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            shutil.rmtree(folder, ignore_errors=True)


def _lines(pipe: Any, group: int) -> Iterator[dict[str, Any]]:
    """What a campaign tells; where it tells nothing for too long, its processes are ended."""
    while True:
        watch = threading.Timer(LIMIT, os.killpg, (group, signal.SIGKILL))
        watch.daemon = True
        watch.start()
        line = pipe.readline()
        watch.cancel()
        if not line.endswith("\n"):
            return
        yield json.loads(line)


def _printed(campaign: Campaign, asked: Torture) -> Path:
    """The file of what a campaign prints."""
    return asked.out / f"{campaign.name}.log"


def _environment(folder: Path) -> dict[str, str]:
    """A store of its own, one thread, no network, and the windows of a long run a minute long."""
    offline = str(HERE.parent / "offline")
    paths = filter(None, (offline, os.environ.get("PYTHONPATH")))
    own = {
        "CONVGRAFT_CACHE": str((folder / "store").resolve()),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    return {"CONVGRAFT_WINDOW": "60", **os.environ, **own}
