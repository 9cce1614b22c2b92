"""`convgraft export` as a user sees it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from helpers_cli import convgraft

from convgraft.data import open_images, split_images, write_split
from convgraft.export import load, save
from convgraft.opening import compile_plan
from convgraft.plan import Head, Plan, SourceRef, TapRef

NAMES = ("blue", "green", "red")


@pytest.fixture(scope="module")
def small_run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one tiny network."""
    plan = Plan(
        16,
        (SourceRef("a", "python:helpers:Tiny"),),
        heads=(Head("label", "linear", (TapRef("a", "features"),), 3),),
    )
    network = compile_plan(plan).eval()
    with torch.no_grad():
        network.get_submodule("heads.label.classifier").get_parameter("weight").normal_(0, 1)
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    data = {"location": str(pictures), "target": None}
    save(folder, network, labels=NAMES, metrics={"data": data}, card="# tiny\n")
    images = open_images(pictures)
    write_split(folder / "split.csv", images, split_images(images, seed=0))
    return folder


@pytest.fixture
def run(small_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(small_run, tmp_path / "run")


def test_an_onnx_file_is_written_beside_the_run_and_told_about(run: Path) -> None:
    found = convgraft("export", run, "--trust-python")
    assert found.code == 0, found.err
    assert "model.onnx" in found.out and "uint8 [N, H, W, 3]" in found.out
    assert "validation part): probabilities within" in found.out
    file = run / "model.onnx"
    assert found.err.endswith(f"next: convgraft predict {file} IMAGE, or convgraft serve {file}\n")
    session = onnxruntime.InferenceSession(run / "model.onnx")
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["labels"]) == list(NAMES) and facts["card"] == "# tiny\n"
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    chances = session.run(None, {"images": images})[0]
    loaded = load(run, trust_python=True)
    expected = loaded.probabilities(torch.from_numpy(images).permute(0, 3, 1, 2))
    assert np.abs(chances - expected.numpy()).max() < 1e-4


def test_a_program_elsewhere_checked_on_other_images(
    run: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "folder" / "net.pt2"
    found = convgraft(
        "export", run, "--format", "pt2", "--layout", "nchw", "--out", out,
        "--check", pictures / "red", "--trust-python", "--json",
    )  # fmt: skip
    assert found.code == 0, found.err
    told = json.loads(found.out)
    assert told["file"] == str(out) and told["bytes"] == out.stat().st_size
    assert told["gives"] == ["probabilities", "index"]
    assert told["agreement"]["images"] == 12
    assert told["agreement"]["told"] == str(pictures / "red")
    assert told["agreement"]["probabilities"] < 1e-4
    assert told["quantized"] is None and "next" not in found.err
    again = convgraft("export", run, "--format", "pt2", "--out", out, "--trust-python")
    assert again.err.endswith(f'next, in Python: torch.export.load("{out}").module()\n')


def test_whole_numbers_and_what_they_cost(run: Path, pictures: Path) -> None:
    found = convgraft(
        "export", run, "--quantize", "uint8", "--data", pictures, "--calibration", 20,
        "--optimize", "--trust-python",
    )  # fmt: skip
    assert found.code == 0, found.err
    assert "points lost" in found.out and "before that, agrees" in found.out
    told = json.loads((run / "model-uint8.onnx.json").read_text())
    assert told["calibration_images"] == 20
    assert told["measured_on"] == f"{pictures}, validation part of the run's split"
    assert (run / "model-uint8.onnx").is_file() and not (run / "model.onnx").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--format", "tflite"], "format cannot be"),
        (["--format", "onxx"], "did you mean onnx"),
        (["--layout", "hwc"], "nhwc, nchw"),
        (["--quantize", "int4", "--data", "digits"], "expected: int8 or uint8"),
        (["--quantize", "int8"], "--data"),
        (["--data", "digits"], "--data is for --quantize"),
        (["--calibration", "5"], "--calibration is for --quantize"),
        (["--format", "pt2", "--quantize", "int8", "--data", "digits"], "for ONNX files"),
        (["--format", "pt2", "--optimize"], "for ONNX files"),
        (["--out", "model.bin"], "ends in .onnx"),
        (["--out", "."], "is a folder"),
        (["--check", "gone"], "gone does not exist"),
        (["--quantize", "int8", "--data", "gone"], "gone does not exist"),
        (["--quantize", "int8", "--data", "digits"], 'does not know the class "0"'),
        (["--calibration", "0", "--quantize", "int8", "--data", "digits"], "Error"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use(run: Path, wrong: list[str], message: str) -> None:
    found = convgraft("export", run, "--trust-python", *wrong)
    assert found.code == 2
    assert message in found.err and "Traceback" not in found.err
    assert not list(run.glob("model*.onnx")) + list(run.glob("*.pt2"))


def test_a_run_that_is_none_or_runs_code(run: Path, tmp_path: Path) -> None:
    for given, message in ((tmp_path / "gone", "there is no run"), (run, "trust")):
        found = convgraft("export", given)
        assert (found.code, "Traceback" in found.err) == (2, False)
        assert message in found.err
