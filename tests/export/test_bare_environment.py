"""An exported network runs where only ONNX Runtime and NumPy are installed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_runs import Case, pictures, run_of
from torch import Tensor

from convgraft.export.onnx_file import export_onnx
from convgraft.export.parity import in_layout

SCRIPT = Path(__file__).parents[2] / "examples" / "run_onnx.py"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new virtual environment with ONNX Runtime and what it cannot do without."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in required("onnxruntime") | {"numpy"}:
        for top in _top_level(name):
            place = packages / top.name
            if not place.exists():
                place.symlink_to(top)
    return folder / "bin" / "python"


def required(name: str) -> set[str]:
    """The distribution and all that it requires, without extras."""
    found = {name}
    for line in distribution(name).requires or ():
        if ";" not in line:
            found |= required(re.split(r"[^\w.-]", line)[0])
    return found


def _top_level(name: str) -> set[Path]:
    """What the distribution put into site-packages."""
    there = distribution(name)
    names = {file.parts[0] for file in there.files or () if file.parts[0] not in ("..", "bin")}
    return {Path(str(there.locate_file(name))) for name in names if name != "__pycache__"}


def _run(python: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [str(part) for part in (python, *arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=clean, timeout=600)


@pytest.mark.parametrize("package", ["torch", "convgraft", "PIL", "onnx", "scipy"])
def test_the_environment_is_bare(python: Path, package: str) -> None:
    found = _run(python, "-c", f"import {package}")
    assert found.returncode == 1 and "ModuleNotFoundError" in found.stderr


def test_the_file_gives_the_same_answers_there(
    python: Path, real_images: Tensor, tmp_path: Path
) -> None:
    run = run_of(Case("parallel", {"fusion": "mean"}), real_images)
    export_onnx(run, tmp_path / "model.onnx", pictures=pictures(real_images))
    np.save(tmp_path / "images.npy", in_layout(real_images, "nhwc"))
    found = _run(python, SCRIPT, tmp_path / "model.onnx", tmp_path / "images.npy")
    assert found.returncode == 0, found.stderr
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    with torch.no_grad():
        chances, places = run.composite(real_images)[run.plan.answer].softmax(1).max(1)
    assert [row["label"] for row in rows] == [run.labels[place] for place in places.tolist()]
    assert np.allclose([row["probability"] for row in rows], chances.numpy(), atol=1e-4)
