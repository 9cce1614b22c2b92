"""Policy files: every word of them is read, and every mistake has its line and column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from convgraft.errors import PlanError, UsageError
from convgraft.training import FreezePolicy, Phase, Rule, read_policy

PHASES = """\
phases:
  - {name: probe, epochs: 5, lr: 0.002, freeze: {"**": frozen, heads: 1}}
  - name: finetune
    optimizer: sgd
    schedule: one-cycle
    weight_decay: 0.001
    freeze:
      "**": {rate: 0.1, depth_decay: 0.8, statistics: frozen}
      heads: {weight_decay: 0}
  - freeze: {"depth:0.5..1": 0.5}
"""


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], FreezePolicy]:
    def make(text: str) -> FreezePolicy:
        file = tmp_path / "policy.yaml"
        file.write_text(text)
        return read_policy(str(file))

    return make


def test_phases_in_a_file(read: Callable[[str], FreezePolicy]) -> None:
    policy = read(PHASES)
    assert policy.name == "policy.yaml"
    assert policy.phases == (
        Phase("probe", (Rule("**", 0.0), Rule("heads", 1.0)), epochs=5, lr=0.002),
        Phase(
            "finetune",
            (
                Rule("**", 0.1, depth_decay=0.8, statistics=False),
                Rule("heads", weight_decay=0.0),
            ),
            weight_decay=0.001,
            optimiser="sgd",
            schedule="one-cycle",
        ),
        Phase("phase 3", (Rule("depth:0.5..1", 0.5),)),
    )
    assert FreezePolicy.from_data("policy.yaml", policy.as_data()) == policy


def test_a_file_without_phases_is_one_phase(read: Callable[[str], FreezePolicy]) -> None:
    (phase,) = read('"**": 0.1\n"a:layer1*": frozen\nheads: {rate: 2, statistics: moving}\n').phases
    assert phase.rules == (Rule("**", 0.1), Rule("a:layer1*", 0.0), Rule("heads", 2.0))
    assert phase.epochs is None


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ('"**": half\n', ["1:7"]),
        ('"**": -1\n', ["1:7"]),
        ('"**": .inf\n', ["1:7"]),
        ('"kind:blok": frozen\n', ["1:1"]),
        ('"**": {rate: 1, decay: 2}\n', ["1:17"]),
        ('"**": {depth_decay: 0}\n', ["1:21"]),
        ('"**": {statistics: off}\n', ["1:20"]),
        ('phases: {"**": 1}\n', ["1:9"]),
        ("phases:\n  - {name: x}\n", ["2:5"]),
        ('phases:\n  - {epochs: 0, freeze: {"**": 1}}\n', ["2:14"]),
        ('phases:\n  - {lr: fast, freeze: {"**": 1}}\n', ["2:10"]),
        ('phases:\n  - {optimizer: adam, freeze: {"**": 1}}\n', ["2:17"]),
        ('phases:\n  - {schedule: cosin, freeze: {"**": 1}}\n', ["2:16"]),
        ('phases:\n  - {epoch: 3, freeze: {"**": 1}}\n', ["2:6"]),
        ('phases:\n  - {lr: x, freeze: {"**": y}}\n  - {epochs: z}\n', ["2:10", "2:28", "3:14"]),
        ("- 1\n", ["1:1"]),
    ],
)
def test_mistakes_have_their_places(
    text: str, places: list[str], read: Callable[[str], FreezePolicy]
) -> None:
    with pytest.raises(PlanError) as caught:
        read(text)
    found = [problem.where for problem in caught.value.problems]
    assert {f"policy.yaml:{place}" for place in places} <= set(found)


def test_no_phases(read: Callable[[str], FreezePolicy]) -> None:
    with pytest.raises(UsageError, match="phase"):
        read("phases: []\n")


def test_an_empty_file(read: Callable[[str], FreezePolicy]) -> None:
    with pytest.raises(UsageError):
        read("")


def test_a_near_miss_of_a_preset() -> None:
    with pytest.raises(UsageError, match="did you mean gradual"):
        read_policy("gradul")
