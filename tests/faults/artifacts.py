"""What strangers may send: pickles, weights, run folders and ONNX files, and damaged ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count as numbers
from pathlib import Path

from campaign import Campaign, Trial
from hostile_case import Case, judged
from hostile_commands import command_cases
from hostile_onnx import onnx_cases
from hostile_pickles import pickle_cases
from hostile_runs import run_cases, write_run
from hostile_tensors import tensor_cases
from mutated_runs import mutation_trials
from watched import Bounds, watched

# PyTorch, NumPy and ONNX Runtime warn of what they refuse; nobody may see a traceback
LIBRARIES = re.compile(r"(?s)(?:(?!Traceback).)*")


def all_cases(run: Path) -> tuple[Case, ...]:
    """Every attack that was written by hand; `run` is a whole one to start from."""
    return (
        *pickle_cases(run),
        *tensor_cases(),
        *run_cases(run),
        *onnx_cases(),
        *command_cases(run),
    )


def hostile_trials(seed: int, count: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """A trial for each attack, each in an empty folder."""
    run = write_run(folder / "whole")
    cases = all_cases(run)
    places = numbers()

    def attempt(number: int) -> Trial:
        return judged(cases[number], folder / f"case{number}-{next(places)}")

    bounds = Bounds(seconds=60, quiet=LIBRARIES)
    yield from watched(attempt, first, min(count, len(cases)), folder, bounds)


CASES = len(all_cases(Path()))
CAMPAIGNS = (
    Campaign(
        5,
        "hostile-artifacts",
        "no file of a stranger runs code, reaches other files or ends in a traceback",
        CASES,
        CASES,
        hostile_trials,
    ),
    Campaign(
        5,
        "mutated-artifacts",
        "a damaged run loads as the network that it was, or not at all",
        100,
        2_000,
        mutation_trials,
    ),
)
