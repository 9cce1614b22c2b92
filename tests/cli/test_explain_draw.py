"""`convgraft explain --draw FILE`: the picture, with what the policy freezes in blue."""

from __future__ import annotations

from pathlib import Path

import pytest

from convgraft.cli.main import app
from convgraft.errors import UsageError

PLAN = """
image_size: 32
sources: {a: cifar_resnet20, b: cifar_resnet32}
heads:
  label: {kind: linear, from: [a:features, b:features], classes: 3}
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return path


def draw(plan: Path, out: Path, *more: str) -> None:
    app(["explain", str(plan), "--draw", str(out), *more], standalone_mode=False)


def test_the_policy_says_what_is_drawn_as_frozen(plan: Path, tmp_path: Path) -> None:
    draw(plan, tmp_path / "x.svg", "--freeze", "heads-only")
    draw(plan, tmp_path / "y.svg", "--freeze", "all")
    assert ">frozen</text>" in (tmp_path / "x.svg").read_text()
    assert ">frozen</text>" not in (tmp_path / "y.svg").read_text()


def test_another_form_is_wrong_use(plan: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no picture"):
        draw(plan, tmp_path / "x.txt")
