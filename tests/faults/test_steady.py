"""What grows is told from what does not."""

from __future__ import annotations

import gc
import mmap
import random
import socket

from steady import MEBIBYTE, Sample, growth, handles_of, handles_wrong, memory_of, memory_wrong


def run(slope: float, *, warm: float = 0.0, noise: float = 0.0, count: int = 100) -> list[Sample]:
    """Samples a second apart, of 400 MiB that grow by `slope` MiB each, and by `warm` at first."""
    rng = random.Random(0)
    sizes = [
        400 + slope * second + warm * min(second / 15, 1) + noise * (rng.random() < 0.1)
        for second in range(count)
    ]
    return [Sample(second, round(size * MEBIBYTE)) for second, size in enumerate(sizes)]


def test_growth_is_the_trend_after_the_warm_up() -> None:
    assert growth(run(0.5)) == 0.5 * 79 * MEBIBYTE
    assert growth(run(0, warm=200)) == 0
    assert abs(growth(run(0, noise=300))) < MEBIBYTE
    assert growth(run(1)[:2]) == 0


def test_a_leak_is_told_and_a_warm_up_or_a_busy_moment_is_not() -> None:
    assert memory_wrong(run(0, warm=200, noise=300)) == ""
    assert memory_wrong(run(0.35)) == ""  # 28 MiB
    assert memory_wrong(run(0.5)) == "memory grew by 40 MiB on 410 MiB"


def test_a_handle_that_stays_is_told() -> None:
    assert handles_wrong([12, 14, 12, 12, 13, 12, 12, 12, 12, 14]) == ""
    assert (
        handles_wrong([12, 14, 12, 12, 13, 12, 12, 12, 12, 15]) == "open handles grew from 14 to 15"
    )
    assert handles_wrong([3]) == ""


def test_this_process_is_looked_at() -> None:
    gc.collect()  # else files that earlier tests let go of may be closed meanwhile
    before, small = handles_of(), memory_of()
    with socket.socket(), mmap.mmap(-1, 40 * MEBIBYTE) as held:
        held.write(b"x" * len(held))
        assert handles_of() == before + 1
        assert memory_of() >= small + 35 * MEBIBYTE
    assert handles_of() == before
