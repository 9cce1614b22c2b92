"""A classifier that anyone can check by eye, and pictures for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convgraft.export.facts import Facts
from convgraft.predict import Answers

COLOURS = ("red", "green", "blue")


class Colours:
    """Says how much red, green and blue there is in an image; counts its calls."""

    labels, size, engine, digest = COLOURS, 4, "by eye", "0"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert images.dtype == np.uint8 and images.shape[1:] == (3, self.size, self.size)
        self.batches.append(len(images))
        means = images.astype(np.float32).mean((2, 3))
        return means / means.sum(1, keepdims=True)


def colour(index: int) -> tuple[int, int, int]:
    """A colour that no other of a few thousand indices has."""
    return 100 + index % 100, 50 + index // 100 % 100, 10 + index // 10_000


def png(rgb: tuple[int, int, int]) -> bytes:
    """An encoded picture of one colour."""
    data = BytesIO()
    Image.new("RGB", (6, 5), rgb).save(data, "PNG")
    return data.getvalue()


def write_pictures(folder: Path, count: int) -> list[str]:
    """Pictures of different colours, and their names in order."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        (folder / f"{index:05}.png").write_bytes(png(colour(index)))
    return [str(folder / f"{index:05}.png") for index in range(count)]


def expected(index: int) -> NDArray[np.float32]:
    """What `Colours` says of the picture of an index."""
    rgb = np.array(colour(index), np.float32)
    return rgb / rgb.sum()


def answers(
    names: Sequence[str], rows: Sequence[Sequence[float] | str], classes: int = 3
) -> Answers:
    """Answers by hand: of each file probabilities, or what is wrong with it."""
    broken = [np.nan] * classes
    return Answers(
        tuple(names),
        tuple(row if isinstance(row, str) else None for row in rows),
        np.array([broken if isinstance(row, str) else row for row in rows], np.float32),
    )


def write_onnx(path: Path, *, layout: str = "nhwc", weights_hash: str = "") -> Path:
    """`Colours` as an ONNX file with the facts that `convgraft export` writes."""
    from onnx import TensorProto, helper, save

    axes = [1, 2] if layout == "nhwc" else [2, 3]
    shape = ["n", "h", "w", 3] if layout == "nhwc" else ["n", 3, "h", "w"]
    nodes = [
        helper.make_node("Cast", ["images"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=axes, keepdims=0),
        helper.make_node("ReduceSum", ["mean", "one"], ["sum"], keepdims=1),
        helper.make_node("Div", ["mean", "sum"], ["probabilities"]),
        helper.make_node("ArgMax", ["probabilities"], ["index"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, shape)],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("index", TensorProto.INT64, ["n"]),
        ],
        [helper.make_tensor("one", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    facts = Facts(COLOURS, {}, 4, layout, "label", "", "", weights_hash)
    helper.set_model_props(model, facts.texts())
    save(model, path)
    return path


def lines(path: Path) -> list[dict[str, object]]:
    """The objects of a JSON Lines file; none of them is torn."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
