"""What makes a run this run: all weights that it begins from, and the options that were said."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from convgraft.cli.fit_steps import config
from convgraft.data import open_images, split_images
from convgraft.sources import Source, source
from convgraft.strategies import Ingredients
from convgraft.studies import Arm, Design, build_arm
from convgraft.training import FitOptions
from helpers import Tiny

IMAGES = open_images("digits")
SPLIT = split_images(IMAGES, seed=0, limit=20)


def weighed(path: Path, text: str) -> Source:
    """A network whose weights wait in a file."""
    path.write_text(text)
    return replace(source(Tiny(classes=10)), pending=SimpleNamespace(path=path))  # type: ignore[arg-type]


def arm(name: str, **sources: Source) -> Arm:
    return replace(build_arm(Design("ladder"), Ingredients(sources, 8, 10)), name=name)


def weights(*arms: Arm) -> dict[str, str | None]:
    return config(arms, FitOptions(), IMAGES, SPLIT)["weights"]


def test_weights_of_all_arms_are_told_and_those_of_one_as_before(tmp_path: Path) -> None:
    a, b, c = (weighed(tmp_path / name, name) for name in "abc")
    told = {name: hashlib.sha256(name.encode()).hexdigest() for name in "abc"}
    both = {"a": told["a"], "b": told["b"]}
    assert weights(arm("one", a=a, b=b)) == both
    assert weights(arm("one", a=a, b=b), arm("two", b=b), arm("three", a=a)) == both
    assert weights(arm("one", a=a, b=b), arm("two", b=b, c=c)) == told
    assert weights(arm("noise", a=source(Tiny(classes=10))), arm("one", a=a)) == {"a": told["a"]}


def test_a_budget_is_told_where_there_is_one(tmp_path: Path) -> None:
    arms = [arm("one", a=weighed(tmp_path / "a", "a"))]
    assert "budget_seconds" not in config(arms, FitOptions(), IMAGES, SPLIT)["options"]
    hurried = config(arms, FitOptions(budget_seconds=9), IMAGES, SPLIT)["options"]
    assert hurried["budget_seconds"] == 9
