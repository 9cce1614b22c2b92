"""One answer, whatever engine gives it, and which engine that is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_predict import COLOURS, Colours, write_onnx

import convgraft as cg
from convgraft.errors import ArtifactError, UsageError
from convgraft.export import load
from convgraft.export.facts import weights_hash
from convgraft.predict import open_classifier
from helpers import opened

IMAGES = np.random.default_rng(0).integers(1, 256, (5, 3, 4, 4), np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two small networks that was never trained."""
    sources = {"a": opened("cifar_resnet20"), "b": opened("cifar_resnet20", seed=1)}
    given = cg.Ingredients(sources, image_size=8, classes=3)
    composite = cg.compile(cg.STRATEGIES["parallel"].write(given), sources).eval()
    with torch.no_grad():
        for name, weights in composite.named_parameters():
            if name.startswith("heads."):
                weights.uniform_(-0.3, 0.3)
    return cg.save(tmp_path_factory.mktemp("runs") / "one", composite, labels=COLOURS)


@pytest.fixture
def exported(run: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The run, with a `model.onnx` of its weights (of another network, to tell them apart).

    PyTorch runs it as it is, which is quicker for few images.
    """
    monkeypatch.setattr("convgraft.predict.torch_engine.optimized", lambda given, sample: given)
    write_onnx(run / "model.onnx", weights_hash=weights_hash(run))
    yield run
    (run / "model.onnx").unlink()


def test_pytorch_says_what_the_run_says(run: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 3, 8, 8), np.uint8)
    asked = open_classifier(run, threads=1)
    assert (asked.engine, asked.labels, asked.size) == ("PyTorch", COLOURS, 8)
    expected = load(run).probabilities(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(asked.probabilities(images), expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 1e-3
    last = images.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    np.testing.assert_allclose(asked.probabilities(last), expected, atol=1e-5)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_an_onnx_file_alone_is_enough(tmp_path: Path, layout: str) -> None:
    asked = open_classifier(write_onnx(tmp_path / "x.onnx", layout=layout))
    assert (asked.engine, asked.labels, asked.size) == ("ONNX Runtime", COLOURS, 4)
    expected = Colours().probabilities(IMAGES)
    np.testing.assert_allclose(asked.probabilities(IMAGES), expected, rtol=1e-5)
    last = IMAGES.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    np.testing.assert_allclose(asked.probabilities(last), expected, rtol=1e-5)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_threads_may_ask_at_the_same_time(exported: Path, engine: str) -> None:
    asked = open_classifier(exported, engine=engine, threads=1)
    shape = (30, 4, 3, asked.size, asked.size)
    batches = np.random.default_rng(0).integers(1, 256, shape, np.uint8)
    alone = [asked.probabilities(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(pool.map(asked.probabilities, batches), alone, strict=True):
            np.testing.assert_array_equal(one, other)


def test_auto_takes_what_was_exported_of_these_weights(exported: Path) -> None:
    assert open_classifier(exported).engine == "ONNX Runtime"
    assert open_classifier(exported, engine="torch").engine == "PyTorch"
    write_onnx(exported / "model.onnx", weights_hash="of other weights")
    assert open_classifier(exported).engine == "PyTorch"
    with pytest.raises(ArtifactError, match="other weights"):
        open_classifier(exported, engine="onnx")
    (exported / "model.onnx").write_bytes(b"no model")
    assert open_classifier(exported).engine == "PyTorch"


def test_networks_are_told_apart(exported: Path, tmp_path: Path) -> None:
    digests = {open_classifier(exported, engine=engine).digest for engine in ("onnx", "torch")}
    digests.add(open_classifier(write_onnx(tmp_path / "x.onnx")).digest)
    assert len(digests) == 3


def test_without_onnx_runtime_pytorch_answers(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr("convgraft.predict.classifier.find_spec", lambda name: None)
    assert open_classifier(exported).engine == "PyTorch"
    with pytest.raises(UsageError, match=r"convgraft\[onnx\]"):
        open_classifier(exported, engine="onnx")


def test_what_cannot_be_asked_is_told(run: Path, tmp_path: Path) -> None:
    (tmp_path / "x.txt").touch()
    (tmp_path / "empty.onnx").touch()
    wrong = [
        (run, "onxx", "did you mean onnx"),
        (run, "onnx", "convgraft export"),
        (tmp_path / "gone", "auto", "no run at"),
        (tmp_path / "gone", "onnx", "no run at"),
        (tmp_path, "auto", "not a finished run"),
        (tmp_path / "x.txt", "auto", "an .onnx file"),
        (write_onnx(tmp_path / "x.onnx"), "torch", "expected: a run folder"),
        (tmp_path / "empty.onnx", "auto", "cannot be read"),
    ]
    for path, engine, words in wrong:
        with pytest.raises(UsageError) as raised:
            open_classifier(path, engine=engine)
        assert words in str(raised.value), (path.name, engine, str(raised.value))


def test_a_file_that_convgraft_did_not_write_is_told(tmp_path: Path) -> None:
    import onnx

    model = onnx.load(write_onnx(tmp_path / "x.onnx"))
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(ArtifactError, match="does not say what it is"):
        open_classifier(tmp_path / "x.onnx")


def test_onnx_runtime_reports_to_nobody_and_leaves_nothing_behind(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    caches = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    told = "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for said, code in (
        ({}, f"import os, convgraft, onnxruntime; {told}"),
        ({"ORT_DISABLE_TELEMETRY": "0"}, f"import os, convgraft; {told}"),  # who wants it, has it
    ):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**kept, **caches, **said},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == said.get("ORT_DISABLE_TELEMETRY", "1")
    assert not list(tmp_path.rglob("*"))
