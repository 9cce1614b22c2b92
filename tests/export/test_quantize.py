"""A composite in whole numbers of 8 bits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from helpers_runs import Case, pictures, run_of
from torch import Tensor

from convgraft.export import Run
from convgraft.export.held_out import HeldOut
from convgraft.export.parity import in_layout
from convgraft.export.quantize import QuantizedCost, between_convolutions, export_quantized


@pytest.fixture(scope="module")
def run(real_images: Tensor) -> Run:
    run = run_of(Case("cross-skip", {"start": "one"}), real_images)
    return replace(run, labels=tuple("abcd"))


@pytest.fixture(scope="module")
def made(
    run: Run, real_images: Tensor, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, QuantizedCost]:
    path = tmp_path_factory.mktemp("int8") / "model-int8.onnx"
    labels = run.probabilities(real_images).argmax(1)
    labels[:10] = (labels[:10] + 1) % 4  # so that the network is right on nine tenths
    given = HeldOut(real_images[::2], real_images, labels, "a test")
    agreement, cost = export_quantized(run, path, given, pictures=pictures(real_images))
    assert agreement.probabilities < 1e-4
    return path, cost


def test_the_cost_is_measured_and_kept(
    made: tuple[Path, QuantizedCost], run: Run, real_images: Tensor
) -> None:
    path, cost = made
    assert (cost.images, cost.calibration_images, cost.top1) == (100, 50, 0.9)
    session = onnxruntime.InferenceSession(path)
    found, index = session.run(None, {"images": in_layout(real_images, "nhwc")})
    expected = run.probabilities(real_images).numpy()
    assert cost.same_class == (found.argmax(1) == expected.argmax(1)).mean() > 0.9
    assert cost.largest_difference == pytest.approx(np.abs(found - expected).max(), abs=1e-4)
    assert 0 < cost.largest_difference < 0.3
    assert (index == found.argmax(1)).all()
    told = json.loads(path.with_name(f"{path.name}.json").read_text())
    assert told["points_lost"] == pytest.approx(
        100 * (told["top1"] - told["top1_quantized"]), abs=1e-3
    )
    assert sorted(entry.name for entry in path.parent.iterdir()) == [
        "model-int8.onnx",
        "model-int8.onnx.json",
    ]


def test_convolutions_are_in_whole_numbers_and_the_answer_is_not(
    made: tuple[Path, QuantizedCost],
) -> None:
    path, cost = made
    model = onnx.load(path)
    facts = {one.key: one.value for one in model.metadata_props}
    assert facts["precision"] == "int8" and json.loads(facts["labels"]) == list("abcd")
    assert cost.megabytes_quantized < 0.7 * cost.megabytes  # a small network is half names
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type == "Conv":
            assert [makers[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
        if node.op_type in ("Gemm", "MatMul", "Softmax"):
            assert all(
                name not in makers or makers[name].op_type != "DequantizeLinear"
                for name in node.input[1:]
            )


def test_only_what_lies_between_convolutions_is_chosen() -> None:
    steps = {
        "scaled": ("Mul", "image", "scale"),
        "one": ("Conv", "scaled", "weight"),
        "shown": ("Relu", "one"),
        "two": ("Conv", "shown", "weight"),
        "sum": ("Add", "two", "shown"),
        "beside": ("Sigmoid", "shown"),  # leads to no convolution
        "three": ("Conv", "sum", "weight"),
        "pooled": ("GlobalAveragePool", "three"),
        "answer": ("Add", "pooled", "beside"),
    }
    nodes = [
        onnx.helper.make_node(kind, inputs, [name], name=name)
        for name, (kind, *inputs) in steps.items()
    ]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], []))
    assert between_convolutions(model) == ["one", "shown", "two", "sum", "three"]
