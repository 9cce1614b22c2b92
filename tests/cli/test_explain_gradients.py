"""`convgraft explain --gradients`, as a user reads it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from helpers_cli import convgraft

PAGE = Path(__file__).parents[2] / "docs" / "which-weights-change.md"
PLAN = """\
image_size: 8
sources:
  a: cifar_resnet20
  b: cifar_resnet20
wires:
  - {from: a:layer1, to: b:layer1, join: replace, adapter: conv1x1, start: one}
heads:
  label: {kind: identity, from: [b:fc]}
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return path


def test_words_table_and_verdict(plan: Path) -> None:
    outcome = convgraft(
        "explain", plan, "--loss", "mse", "--freeze", "adapters-only", "--gradients"
    )
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert "match(match0) compares what arrives at b:layer1 with b_teacher:layer1." in lines
    assert "This changes adapter a:layer1->b:layer1 (272 weights); and no other weight." in lines
    assert any("frozen by the rule `**`: conv1, bn1, layer1 of source a" in line for line in lines)
    assert any("pruned: reaches no answer" in line for line in lines)
    assert lines[-1] == "verified by autograd on a batch: agrees"


def test_json_of_the_default_loss_and_policy(plan: Path) -> None:
    outcome = convgraft("explain", plan, "--gradients", "--json")
    (stage,) = json.loads(outcome.out)
    assert stage["loss"] == "1 x task(label)"
    assert stage["phase"] == "discriminative"
    assert stage["disagreements"] == []
    rates = {row["part"]: row["rates"] for row in stage["rows"] if row["changes"]}
    assert rates == {"sources.a": [0.1], "sources.b": [0.1], "adapters.a:layer1->b:layer1": [1.0]}


def test_a_loss_that_does_not_go_with_the_plan(plan: Path) -> None:
    outcome = convgraft("explain", plan, "--gradients", "--loss", "ms")
    assert outcome.code == 2
    assert "mse" in outcome.err
    plan.write_text(PLAN.replace("replace", "add"))
    outcome = convgraft("explain", plan, "--gradients", "--loss", "mse")
    assert outcome.code == 2
    assert "replace wire" in outcome.err and "--strategy stitch --out RUN" in outcome.err


def test_of_a_run_with_its_own_policy(run: Path) -> None:
    outcome = convgraft("explain", run, "--gradients", "--json")
    assert outcome.code == 0, outcome.err
    (stage,) = json.loads(outcome.out)
    assert stage["phase"] == "discriminative"
    assert stage["disagreements"] == []
    # training has opened the gates
    assert not any(row["gate"] for row in stage["rows"])


def test_another_loss_of_a_run(run: Path) -> None:
    outcome = convgraft("explain", run, "--gradients", "--loss", "co-learning", "--json")
    assert outcome.code == 0, outcome.err
    (stage,) = json.loads(outcome.out)
    assert {"heads.a", "heads.b"} <= {row["part"] for row in stage["rows"] if row["changes"]}


def test_the_docs_show_what_is_printed(tmp_path: Path) -> None:
    page = PAGE.read_text()
    path = tmp_path / "stitch.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0])
    told = " ".join(page.split())
    commands = re.findall(r"^\$ convgraft explain stitch.yaml (.*)$", page, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        (stage,) = json.loads(convgraft("explain", path, *command.split(), "--json").out)
        assert all(sentence in told for sentence in stage["words"])
