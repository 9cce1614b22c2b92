"""Promise 2: a machine that fails, and people who stop what runs: a clear end, nothing lost."""

from __future__ import annotations

from machine_disk import DISK
from machine_memory import MEMORY
from machine_runs import RUNS
from machine_stops import STOPS

CAMPAIGNS = (*DISK, *RUNS, *MEMORY, *STOPS)
