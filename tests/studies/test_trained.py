"""What `train_arm` decides by itself."""

from __future__ import annotations

import pytest

from convgraft.studies.trained import settled
from convgraft.training import PRESETS, FitOptions, one_phase


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
