"""One campaign in a process of its own: it tells of each trial through a pipe, as a JSON line.

So a trial that kills its process, or leaves it in a bad way, does no harm to other campaigns.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from campaign import Campaign, Trial
from campaigns import all_campaigns, reach_helpers


def main(arguments: list[str]) -> None:
    """Run what the one argument, a JSON object, asks for: see `torture_run.ask`."""
    asked = json.loads(arguments[0])
    os.set_inheritable(asked["pipe"], False)  # what a trial starts does not keep it open
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with os.fdopen(asked["pipe"], "w", buffering=1) as pipe:
        told = lambda **line: pipe.write(json.dumps(line) + "\n")  # noqa: E731
        try:
            _work(asked, told)
            told(ended=True)
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            told(raised=f"{type(error).__name__}: {error}")


def _end_with_parent() -> None:
    """The parent holds the other end of the standard input for as long as it lives."""
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


def _work(asked: dict[str, Any], told: Callable[..., object]) -> None:
    reach_helpers()
    from no_network import block

    block()
    found = {campaign.name: campaign for campaign in all_campaigns(asked["modules"])}
    campaign, began = found[asked["name"]], time.perf_counter()
    for trial in trials(campaign, asked["seed"], asked["first"], asked["count"], asked["folder"]):
        seconds = time.perf_counter() - began
        told(what=trial.what, wrong=trial.wrong, seconds=round(seconds, 3))
        began = time.perf_counter()


def can_skip(campaign: Campaign) -> bool:
    """Whether its `trials` take `first`: the number of the trial to begin with."""
    return "first" in inspect.signature(campaign.trials).parameters


def trials(campaign: Campaign, seed: int, first: int, count: int, folder: str) -> Iterator[Trial]:
    """Trials number `first` up to, but not, `count`."""
    if first:
        return islice(campaign.trials(seed, count, Path(folder), first=first), count - first)  # type: ignore[call-arg]
    return islice(campaign.trials(seed, count, Path(folder)), count)


if __name__ == "__main__":
    main(sys.argv[1:])
