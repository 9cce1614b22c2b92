"""`convgraft profile` and `convgraft optimize`, as a user sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers_cli import convgraft

from convgraft.cli import optimize_steps, profile_steps
from convgraft.compose import cost
from convgraft.export import load, save
from convgraft.opening import compile_plan
from convgraft.plan import parse_plan

PLAN = """\
image 16
source a = cifar_resnet20 classes=10
source b = cifar_resnet20 classes=10 size=8
wire a:layer1 -> b:layer1 join=add adapter=conv1x1 start=one
head label = linear(a:layer1, b:layer1) classes=3
"""


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    for steps in (optimize_steps, profile_steps):
        monkeypatch.setattr(steps, "SECONDS", 0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "one"
    return save(path, compile_plan(parse_plan(PLAN)), labels=("x", "y", "z"))


def test_a_profile_adds_up(folder: Path) -> None:
    outcome = convgraft("profile", folder, "--batch-size", 3, "--threads", 1, "--json")
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    spent = cost(load(folder).composite)
    assert (told["macs"], told["parameters"]) == (spent.macs, spent.parameters)
    assert told["batches"] == [1, 3]
    assert told["threads"] == 1
    for column in ("macs", "parameters"):
        assert sum(part[column] for part in told["parts"]) == told["sum"][column] == told[column]
    for column in ("ms", "packed_ms", "share"):
        together = sum(part[column]["3"] for part in told["parts"])
        assert together == pytest.approx(told["sum"][column]["3"])
    peak = told["whole"]["eager"]["peak_bytes"]["3"]
    assert sum(part["bytes_at_peak"]["3"] for part in told["parts"]) == peak
    assert set(told["whole"]) == {"eager", "packed", "optimised"}
    assert all(engine["ms"]["1"] > 0 for engine in told["whole"].values())


def test_a_profile_as_tables_without_a_broken_onnx_file(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    run = load(folder)
    copied = save(tmp_path / "run", run.composite, labels=run.labels)
    (copied / "model.onnx").write_bytes(b"no model")
    outcome = convgraft("profile", copied, "--batch-size", 1)
    assert outcome.code == 0, outcome.err
    for text in ("source a", "a:layer1 -> b:layer1", "head label", "sum", "eager", "optimised"):
        assert text in outcome.out
    assert "batch norms folded" in outcome.err
    assert "model.onnx is left out" in outcome.err


def test_optimising_is_told(folder: Path) -> None:
    outcome = convgraft("optimize", folder, "--batch-size", 2, "--json")
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    assert set(told["ms"]) == {"1", "2"}
    assert told["difference"] <= 1e-4
    assert "channels last" in told["steps"]


def test_optimising_as_a_table_and_a_file(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.pt2"
    outcome = convgraft("optimize", folder, "--batch-size", 1, "--out", out)
    assert outcome.code == 0, outcome.err
    assert "optimised / eager" in outcome.out
    assert "optimized(convgraft.load(" in outcome.err
    program = torch.export.load(out).module()
    composite = load(folder).composite
    for count in (1, 5):
        given = torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8)
        with torch.no_grad():
            expected = composite(given)["label"]
            found = program(given)["label"]
        assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("profile", "nowhere"), "nowhere"),
        (("profile", "{run}", "--batch-size", 0), "--batch-size"),
        (("profile", "{run}", "--threads", 0), "--threads"),
        (("optimize", "nowhere"), "nowhere"),
        (("optimize", "{run}", "--out", "net.onnx"), "a name in .pt2"),
        (("optimize", "{run}", "--out", "no/such/net.pt2"), "a folder that exists"),
    ],
)
def test_wrong_use(folder: Path, arguments: tuple[object, ...], message: str) -> None:
    outcome = convgraft(*(str(one).replace("{run}", str(folder)) for one in arguments))
    assert outcome.code == 2
    assert message in outcome.err
