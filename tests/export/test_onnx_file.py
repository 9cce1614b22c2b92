"""An ONNX file is whole: one file, described, of standard operators, for images of any size."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers_runs import Case, Three, lived, pictures, run_from, run_of
from torch import Tensor, nn

from convgraft.compose import compose
from convgraft.data import resized
from convgraft.errors import RunError, UsageError
from convgraft.export import Run
from convgraft.export.onnx_file import export_onnx, onnx_answers, onnx_model
from convgraft.export.onnx_graph import optimised
from convgraft.export.parity import in_layout
from convgraft.sources import source
from helpers import Tiny, head, opened, plan_for, wire

SIZES = [(16, 16), (9, 31), (120, 90), (1, 7)]


@pytest.fixture(scope="module")
def run(real_images: Tensor) -> Run:
    return run_of(Case("parallel"), real_images)


@pytest.fixture(scope="module")
def file(run: Run, real_images: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(run, path, pictures=pictures(real_images))
    return path


@pytest.fixture(scope="module")
def session(file: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(file)


def test_it_is_one_standard_file(file: Path) -> None:
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert {one.domain for one in model.opset_import} <= {"", "ai.onnx"}
    assert [one.version for one in model.opset_import] == [18]
    assert [entry.name for entry in file.parent.iterdir()] == ["model.onnx"]
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}


def test_it_tells_nothing_of_the_machine_it_was_made_on(file: Path) -> None:
    content = file.read_bytes()
    for place in (Path(torch.__file__).parent, Path(__file__).parent, Path.home()):
        assert str(place).encode() not in content
    assert b"stack_trace" not in content and b".py" not in content


def test_onnx_runtime_alone_reads_what_it_is(session: onnxruntime.InferenceSession) -> None:
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["labels"]) == ["class 0", "class 1", "class 2", "class 3"]
    assert (facts["image_size"], facts["layout"], facts["precision"]) == ("16", "nhwc", "float32")
    assert facts["plan"].startswith("image 16\nsource a")
    assert len(facts["plan_hash"]) == 64
    (taken,) = session.get_inputs()
    assert (taken.name, taken.type) == ("images", "tensor(uint8)")
    assert taken.shape == ["batch", "height", "width", 3]
    given = {one.name: (one.type, one.shape) for one in session.get_outputs()}
    assert given == {
        "probabilities": ("tensor(float)", ["batch", 4]),
        "index": ("tensor(int64)", ["batch"]),
    }


@pytest.mark.parametrize("count", [1, 7])
def test_any_number_of_images(
    session: onnxruntime.InferenceSession, run: Run, real_images: Tensor, count: int
) -> None:
    found, index = session.run(None, {"images": in_layout(real_images[:count], "nhwc")})
    expected = run.probabilities(real_images[:count]).numpy()
    assert np.abs(found - expected).max() < 1e-4
    assert (index == expected.argmax(1)).all()


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_images_of_any_size(
    session: onnxruntime.InferenceSession, run: Run, height: int, width: int
) -> None:
    """Each grey level of the resized image is within one of the training's."""
    images = _smooth(height, width)
    (found, _) = session.run(None, {"images": in_layout(images, "nhwc")})
    expected = run.probabilities(resized(images, 16)).numpy()
    assert np.abs(found - expected).max() < (1e-4 if (height, width) == (16, 16) else 0.02)


class Grey(nn.Module):
    """Its logits are the pixels."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(x, 1)


def test_the_resize_inside_is_that_of_training_to_a_grey_level(tmp_path: Path) -> None:
    pixels = source(Grey(), mean=(0.0,) * 3, std=(1.0,) * 3)
    composite = compose(plan_for({"a": pixels}, size=8), {"a": pixels}).eval()
    run = Run(tmp_path, composite, tuple(map(str, range(192))), {})
    answers = onnx_answers(onnx_model(run).SerializeToString())
    for height, width in [(40, 40), (33, 120), (5, 300), (11, 3), (8, 8)]:
        images = _smooth(height, width)
        chances = answers(in_layout(images, "nhwc"))[0].astype(np.float64)
        logs = np.log(chances) - np.log(chances)[:, :1]
        expected = resized(images, 8).flatten(1).double().numpy() / 255
        gaps = np.abs(logs - (expected - expected[:, :1])) * 255
        allowed = 2.1 if (height, width) != (8, 8) else 0.01  # the pixel, and what it is less
        assert gaps.max() < allowed, (height, width)


def test_optimized_it_is_still_standard_and_answers_alike(file: Path, real_images: Tensor) -> None:
    exact = onnx.load(file)
    model = optimised(exact)
    onnx.checker.check_model(model, full_check=True)
    assert {one.domain for one in model.opset_import} <= {"", "ai.onnx"}
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    images = in_layout(real_images, "nhwc")
    found, expected = (onnx_answers(one.SerializeToString())(images)[0] for one in (model, exact))
    assert np.abs(found - expected).max() < 1e-5


def test_nothing_idle_is_in_it() -> None:
    """Answers beside the main one, which nobody gets, cost nothing."""
    sources = {"a": source(Three(seed=0)), "b": source(Three(seed=1))}
    heads = [head(name, "linear", f"{one}:fc", classes=4) for name, one in (("x", "b"), ("y", "a"))]
    composite = compose(plan_for(sources, heads=heads, size=16), sources).eval()
    model = onnx_model(run_from(composite))
    assert [node.op_type for node in model.graph.node].count("Conv") == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec",
    [
        "torchvision/squeezenet1_1",  # pools with ceil_mode
        "torchvision/alexnet",  # pools to 6x6 from 1x1
        "timm/mobilenetv3_small_050",  # hard swish, squeeze and excitation
    ],
)
def test_networks_of_the_libraries(spec: str, tmp_path: Path) -> None:
    sources = {"a": opened(spec), "b": source(Tiny())}
    wires = [wire("b:bn -> a:input", adapter="conv1x1", start="one")]
    heads = [head("label", "linear", "a:features", "b:features", classes=4)]
    plan = plan_for(sources, wires=wires, heads=heads, size=64)
    images = _smooth(64, 64, count=3)
    run = run_from(lived(compose(plan, sources), images))
    found = export_onnx(run, tmp_path / "m.onnx", pictures=pictures(images))
    assert found.probabilities < 1e-4


class Strange(nn.Module):
    """Something that ONNX has no word for."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.pinv(x)


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), Strange(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 4),
    )  # fmt: skip
    strange = source(network)
    composite = compose(plan_for({"a": strange}, size=8), {"a": strange}).eval()
    with pytest.raises(RunError) as told:
        export_onnx(run_from(composite), tmp_path / "m.onnx")
    assert "pinv" in told.value.what and "linalg" in str(told.value.found)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_its_extra(
    run: Run, tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"no {package}(.|\n)*convgraft\[onnx\]"):
        export_onnx(run, tmp_path / "m.onnx")


def _smooth(height: int, width: int, count: int = 2) -> Tensor:
    """Pictures without hard edges, uint8 [count, 3, height, width]."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(count, 3, 3, 3, generator=generator)
    large = nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (255 * large).round().to(torch.uint8)
