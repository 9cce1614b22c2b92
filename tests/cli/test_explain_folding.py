"""`convgraft explain RUN` says which adapters of a stitch fold into the layers after them."""

from __future__ import annotations

import json
from pathlib import Path

from helpers_cli import convgraft

from convgraft.compose import compose
from convgraft.export import save
from helpers import head, opened, plan_for, wire


def a_run(folder: Path, join: str) -> Path:
    sources = {"a": opened("cifar_resnet20"), "b": opened("cifar_resnet20", seed=1)}
    wires = [
        wire("a:layer1 -> b:layer1", join, start="one"),
        wire("a:layer3 -> b:layer3", join, start="one"),
    ]
    heads = [head("label", "identity", "b:fc"), head("early", "linear", "b:layer1", classes=10)]
    composite = compose(plan_for(sources, wires=wires, heads=heads, size=16), sources)
    return save(folder, composite, labels=[f"class {number}" for number in range(10)])


def test_a_stitch_tells_what_folds_and_what_that_saves(tmp_path: Path):
    run = a_run(tmp_path / "stitch", "replace")
    told = json.loads(convgraft("explain", run, "--json").out)
    folding = told["folding"]
    assert folding["folded"] == ["a:layer3->b:layer3"]
    assert told["macs"] - folding["macs"] == 64 * 64 * 4 * 4
    assert "heads.early" in folding["kept"]["a:layer1->b:layer1"]
    shown = convgraft("explain", run).out
    assert "exact" in shown and "heads.early" in shown


def test_sums_have_nothing_to_fold(tmp_path: Path):
    run = a_run(tmp_path / "sum", "add")
    assert "folding" not in json.loads(convgraft("explain", run, "--json").out)
