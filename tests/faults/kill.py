"""Promise 1: what is killed goes on, and ends in what it would have ended in.

A trial begins its work in a folder of its own, kills it once or twice, looks at what lies there
after each, and lets the same command finish.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from campaign import Campaign, Trial
from kill_work import COMPARE, FITS, PREDICT, SEARCH, Work, run
from left_alone import Ground, Whole
from power import POWER
from torn import TORN
from whole_files import torn_files

from helpers_killed import Moment

LATER = 0.004  # seconds after a change within which a kill may come: a file is then being written


def one_trial(work: Work, whole: Whole, rng: random.Random, place: Path, number: int) -> Trial:
    """Kill, look, go on; `number` says which kind of moment the first one is."""
    command, moments = work.command(place), []
    for turn in range(1 + (number % 3 == 2)):
        moment, said = drawn(rng, whole, number + turn)
        moments.append(said)
        what = f"{work.name}, killed {', then '.join(moments)}"
        ended = run(command, moment)
        if ended.code not in (-signal.SIGKILL, 0):
            return Trial(what, f"exit code {ended.code}: {ended.said[-600:]}")
        if torn := torn_files(place):
            return Trial(what, f"a half-written file lies there as a whole one: {torn}")
        if ended.code == 0 or work.is_done(place):
            break
    else:
        ended = run(command)
    if work.is_done(place) and work.is_left(place):
        run(command)  # refused, but what the killed one left of a whole file goes away
    if ended.code != 0 and not work.is_done(place):
        return Trial(what, f"it does not go on, exit code {ended.code}: {ended.said[-600:]}")
    return Trial(what, work.differs(place, whole.place))


def drawn(rng: random.Random, whole: Whole, kind: int) -> tuple[Moment, str]:
    """A moment, and its name: at any time, before a change, or shortly after one began."""
    if kind % 3 == 0:
        seconds = rng.uniform(0, whole.seconds)
        return Moment(seconds), f"after {seconds:.3f} s of {whole.seconds:.2f}"
    change = rng.randint(1, whole.changes)
    if kind % 3 == 1:
        return Moment(change=change), f"before change {change} of {whole.changes}"
    after = rng.uniform(0, LATER)
    return Moment(change=change, after=after), f"{1000 * after:.2f} ms after change {change}"


def campaign(name: str, works: Sequence[Work], promise: str) -> Campaign:
    """50 kills of some works."""

    def trials(seed: int, count: int, folder: Path) -> Iterator[Trial]:
        ground = Ground(folder, seed, name)
        for number, place in ground.places(count):
            work = works[number % len(works)]
            yield one_trial(work, ground.whole(work), ground.drawing(number), place, number)

    return Campaign(1, name, promise, 2, 50, trials)


CAMPAIGNS = (
    campaign("kill-fit", FITS, "a fit that is killed ends in the same weights, bit for bit"),
    campaign("kill-compare", (COMPARE,), "a comparison that is killed ends in the same lines"),
    campaign("kill-search", (SEARCH,), "a search that is killed ends in the same trials and run"),
    campaign("kill-predict", PREDICT, "a prediction that is killed ends in the same file"),
    *POWER,
    *TORN,
)
