"""Whether a process that works for long stays as large as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import theilslopes

MEBIBYTE = 2**20
MOST, MOST_SHARE = 30 * MEBIBYTE, 0.05
WARM_UP = 5  # the first fifth does not count
FEWEST = 3


@dataclass(frozen=True)
class Sample:
    """A process at one moment.

    Attributes:
        seconds: since some moment, the same for all samples.
        memory: that is resident, in bytes.
    """

    seconds: float
    memory: int


def memory_of(process: int | str = "self") -> int:
    """Bytes of a process that are resident now (Linux)."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {process} is over")


def handles_of(process: int | str = "self") -> int:
    """Files, sockets and pipes that a process holds open (Linux)."""
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def growth(samples: Sequence[Sample]) -> float:
    """Bytes that the trend adds over the time of the samples, the first fifth left out.

    The trend is the median of the slopes between all pairs of samples: a moment in which much is
    held does not move it. Source: Sen, Estimates of the Regression Coefficient Based on Kendall's
    Tau, 1968.
    """
    counted = samples[len(samples) // WARM_UP :]
    if len(counted) < FEWEST:
        return 0.0
    times = [one.seconds for one in counted]
    slope = theilslopes([one.memory for one in counted], times)[0]
    return float(slope) * (times[-1] - times[0])


def memory_wrong(samples: Sequence[Sample]) -> str:
    """How much memory grew, where that is more than 30 MiB and than 5 % of what it was."""
    grown = growth(samples)
    if grown <= max(MOST, MOST_SHARE * samples[0].memory):
        return ""
    held = samples[len(samples) // WARM_UP].memory
    return f"memory grew by {grown / MEBIBYTE:.0f} MiB on {held / MEBIBYTE:.0f} MiB"


def handles_wrong(counts: Sequence[int]) -> str:
    """How the number of handles grew, where it is above all that it was in the first fifth."""
    most = max(counts[: max(1, len(counts) // WARM_UP)])
    return f"open handles grew from {most} to {counts[-1]}" if counts[-1] > most else ""
