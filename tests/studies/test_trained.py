"""What `train_arm` decides by itself."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import pytest

from convgraft.strategies import Ingredients, StrategyOptions
from convgraft.studies import Design, build_arm, trained
from convgraft.studies.trained import settled
from convgraft.training import PRESETS, FitOptions, Task, one_phase, start_adapters
from helpers import small


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (PRESETS["heads-only"], "none"),
        (PRESETS["adapters-only"], "none"),
        (PRESETS["discriminative"], "light"),
        (PRESETS["lp-ft"], "light"),
        (
            one_phase("heads-only", ("**", 1.0)),
            "light",
        ),  # a file of that name, which lets all learn
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_augmentation_by_what_learns(policy: object, expected: str) -> None:
    assert settled(FitOptions(augment="auto"), policy).augment == expected  # type: ignore[arg-type]
    assert settled(FitOptions(augment="digits"), policy).augment == "digits"  # type: ignore[arg-type]


def test_seconds_are_also_those_in_which_adapters_are_solved_for(
    digits_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*given: Any, **named: Any) -> None:
        clock[0] += 1000.0
        start_adapters(*given, **named)

    clock = [0.0]
    monkeypatch.setattr(trained, "start_adapters", late)
    monkeypatch.setattr(trained.time, "monotonic", lambda: clock[0] + perf_counter())
    wired = StrategyOptions(adapter="ridge", start="one")
    given = Ingredients({"a": small(), "b": small(1)}, 8, 10)
    arm = build_arm(Design("cross-skip", wired), given)
    found = trained.train_arm(arm, digits_task, FitOptions(epochs=1))
    assert 1000 < found.notes["seconds"] < 2000
