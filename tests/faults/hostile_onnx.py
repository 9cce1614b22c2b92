"""ONNX files of strangers: data that lies elsewhere, other inputs and outputs, notes that lie."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from hostile_case import SECRET, Case, Place
from onnx import TensorProto, helper

from convgraft.export.facts import Facts
from convgraft.predict import open_classifier

Build = Callable[[], onnx.ModelProto]
SIDE = 4


def _model(
    classes: int = 3,
    inputs: Mapping[str, tuple[int, list[Any]]] | None = None,
    output: str = "probabilities",
    kind: int = TensorProto.FLOAT,
    nodes: list[onnx.NodeProto] | None = None,
    initial: list[onnx.TensorProto] | None = None,
) -> onnx.ModelProto:
    """Means of red, green and blue as probabilities, or what is asked for instead."""
    taken = inputs or {"images": (TensorProto.UINT8, ["n", "h", "w", 3])}
    given = nodes or [
        helper.make_node("Cast", [next(iter(taken))], ["x"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["x"], [output], axes=[1, 2], keepdims=0),
    ]
    graph = helper.make_graph(
        given,
        "hostile",
        [helper.make_tensor_value_info(name, *how) for name, how in taken.items()],
        [helper.make_tensor_value_info(output, kind, None)],
        initial or [],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _facts(**other: str) -> dict[str, str]:
    labels = ("red", "green", "blue")
    return {**Facts(labels, {}, SIDE, "nhwc", "label", "", "").texts(), **other}


def onnx_cases() -> Iterator[Case]:
    """Data elsewhere by every way to name a place; then notes, inputs, outputs and damage."""
    for what, place_of in _PLACES.items():
        for depth in ("a tensor", "a constant", "a branch", "a function"):
            attack = _external_attack(place_of, depth)
            yield Case(f"{depth} whose data lies {what}", attack, "m.onnx")
    for what, texts in _notes().items():
        yield Case(f"notes: {what}", _attack(_model, texts), "m.onnx")
    for what, build in _forms().items():
        yield Case(what, _attack(build, _facts()), "m.onnx")
    for what, content in _damage().items():
        yield Case(f"an ONNX file of {what}", _bytes_attack(content), "m.onnx")


def _open_and_ask(path: Path) -> None:
    asked = open_classifier(path, threads=1)
    asked.probabilities(np.zeros((2, 3, asked.size, asked.size), np.uint8))


def _attack(build: Build, texts: Mapping[str, str]) -> Callable[[Place], object]:
    def attack(place: Place) -> None:
        model = build()
        helper.set_model_props(model, dict(texts))
        onnx.save(model, place.inside / "m.onnx")
        _open_and_ask(place.inside / "m.onnx")

    return attack


def _bytes_attack(content: bytes) -> Callable[[Place], object]:
    def attack(place: Place) -> None:
        (place.inside / "m.onnx").write_bytes(content)
        _open_and_ask(place.inside / "m.onnx")

    return attack


def _linked(place: Place) -> str:
    (place.inside / "data.bin").symlink_to(place.outside / f"{SECRET}.txt")
    return "data.bin"


_PLACES: Mapping[str, Callable[[Place], str]] = {
    "above": lambda place: f"../outside/{SECRET}.txt",
    "at a whole path": lambda place: str(place.outside / f"{SECRET}.txt"),
    "behind a link": _linked,
    "in a file beside it": lambda place: "beside.bin",
    "in a device": lambda place: "/dev/zero",
    "nowhere": lambda place: "",
}


def _external_attack(place_of: Callable[[Place], str], depth: str) -> Callable[[Place], object]:
    def attack(place: Place) -> None:
        (place.inside / "beside.bin").write_bytes(bytes(12))
        model = _holding(_external(place_of(place)), depth)
        helper.set_model_props(model, _facts())
        (place.inside / "m.onnx").write_bytes(model.SerializeToString())
        _open_and_ask(place.inside / "m.onnx")

    return attack


def _external(location: str) -> onnx.TensorProto:
    tensor = TensorProto(name="far", data_type=TensorProto.FLOAT, dims=[3])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "12")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def _holding(tensor: onnx.TensorProto, depth: str) -> onnx.ModelProto:
    """A model with that tensor in it, as deep as asked for."""
    cast = helper.make_node("Cast", ["images"], ["x"], to=TensorProto.FLOAT)
    mean = helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2], keepdims=0)
    added = helper.make_node("Add", ["mean", "far"], ["probabilities"])
    constant = helper.make_node("Constant", [], ["far"], value=tensor)
    if depth == "a tensor":
        return _model(nodes=[cast, mean, added], initial=[tensor])
    if depth == "a constant":
        return _model(nodes=[cast, mean, constant, added])
    if depth == "a branch":
        value = helper.make_tensor_value_info("far", TensorProto.FLOAT, [3])
        branch = helper.make_graph([constant], "then", [], [value])
        yes = helper.make_node(
            "Constant", [], ["yes"], value=helper.make_tensor("yes", TensorProto.BOOL, [], [True])
        )
        choice = helper.make_node("If", ["yes"], ["far"], then_branch=branch, else_branch=branch)
        return _model(nodes=[cast, mean, yes, choice, added])
    model = _model(nodes=[cast, mean, helper.make_node("Far", [], ["far"], domain="own"), added])
    model.functions.append(
        helper.make_function("own", "Far", [], ["far"], [constant], [helper.make_opsetid("", 17)])
    )
    model.opset_import.append(helper.make_opsetid("own", 1))
    return model


def _notes() -> Mapping[str, Mapping[str, str]]:
    without = _facts()
    del without["layout"]
    return {
        "none": {},
        "no layout": without,
        "labels that are no JSON": _facts(labels="["),
        "labels that are a text": _facts(labels='"red"'),
        "labels of two types": _facts(labels='["red", 1, "blue"]'),
        "labels twice": _facts(labels='["red", "red", "blue"]'),
        "labels of half a letter": _facts(labels='["red", "\\ud800", "blue"]'),
        "labels nested too deeply": _facts(labels="[" * 100_000),
        "four labels of three": _facts(labels=json.dumps(["a", "b", "c", "d"])),
        "100,000 labels": _facts(labels=json.dumps([str(n) for n in range(10**5)])),
        "columns that are a list": _facts(columns="[]"),
        "images of no pixels": _facts(image_size="0"),
        "images of 10**9 pixels": _facts(image_size="1000000000"),
        "images of 10**5000 pixels": _facts(image_size="9" * 5000),
        "a layout of its own": _facts(layout="chwn"),
        "the other layout": _facts(layout="nchw"),
    }


def _forms() -> Mapping[str, Build]:
    images = (TensorProto.UINT8, ["n", "h", "w", 3])
    wide = helper.make_node("ConstantOfShape", ["shape"], ["probabilities"])
    most = helper.make_tensor("shape", TensorProto.INT64, [2], [2**31, 2**31])
    text = helper.make_node("Constant", [], ["probabilities"], value_string="<b>")
    return {
        "two inputs": lambda: _model(inputs={"images": images, "more": images}),
        "images that are fractions": lambda: _model(
            inputs={"images": (TensorProto.FLOAT, ["n", "h", "w", 3])}
        ),
        "images without colours": lambda: _model(inputs={"images": (TensorProto.UINT8, ["n", 3])}),
        "no probabilities": lambda: _model(output="chances"),
        "an answer of 2**62 numbers": lambda: _model(nodes=[wide], initial=[most]),
        "an answer that is a text": lambda: _model(nodes=[text], kind=TensorProto.STRING),
        "an operator that there is not": lambda: _model(
            nodes=[helper.make_node("Evil", ["images"], ["probabilities"])]
        ),
        "a graph that feeds itself": lambda: _model(
            nodes=[helper.make_node("Identity", ["probabilities"], ["probabilities"])]
        ),
    }


def _damage() -> Mapping[str, bytes]:
    model = _model()
    helper.set_model_props(model, _facts())
    whole = model.SerializeToString()
    deep = b""
    for _ in range(2000):
        deep = b"\x3a" + _varint(len(deep)) + deep  # a graph in a graph
    return {
        "nothing": b"",
        "zeros": bytes(1000),
        "text": b"<html>" * 100,
        "a length beyond its end": b"\x3a\xff\xff\xff\xff\x0f" + whole,
        "a number without end": b"\xff" * 100,
        "half of itself": whole[: len(whole) // 2],
        "graphs in graphs": deep,
        "itself and more": whole + b"\x07",
    }


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
