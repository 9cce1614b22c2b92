"""The same network in whole numbers of 8 bits, and what that costs in accuracy.

ONNX Runtime's static quantisation, in the QDQ form: activations unsigned, with ranges from
calibration images, weights with a scale for each channel.

Source: Jacob et al., Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference, 2018.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from convgraft.export.artifact import Run
from convgraft.export.facts import facts_of
from convgraft.export.files import write_json, write_whole
from convgraft.export.held_out import HeldOut
from convgraft.export.onnx_file import onnx_answers, onnx_model
from convgraft.export.onnx_graph import described, optimised, serialized
from convgraft.export.parity import BATCH, Agreement, check_agreement, in_layout
from convgraft.export.pictures import Pictures

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

INPUT = "images"
SMOOTHING = 0.1  # share of a batch in the moving average
WEIGHTS: Mapping[str, str] = {
    "int8": "signed weights: quickest; sums may overflow on x86 processors without VNNI",
    "uint8": "unsigned weights: exact on every processor, and slower",
}


@dataclass(frozen=True)
class QuantizedCost:
    """What whole numbers cost, measured on held-out images; `measured_on` says how far they are so.

    Attributes:
        images: how many it was measured on.
        measured_on: which those are, in words.
        calibration_images: how many the ranges are from.
        top1, top1_quantized: shares of right answers before and after.
        same_class: share of images whose most probable class is the same.
        largest_difference: of a probability.
        megabytes, megabytes_quantized: sizes of both files.
    """

    images: int
    measured_on: str
    calibration_images: int
    top1: float
    top1_quantized: float
    same_class: float
    largest_difference: float
    megabytes: float
    megabytes_quantized: float

    @property
    def points(self) -> float:
        """Points of top-1 that are lost; below zero where some are won."""
        return 100 * (self.top1 - self.top1_quantized)


def export_quantized(
    run: Run,
    path: Path,
    held_out: HeldOut,
    *,
    weights: str = "int8",
    layout: str = "nhwc",
    optimize: bool = False,
    pictures: Pictures | None = None,
) -> tuple[Agreement, QuantizedCost]:
    """Write a run as an `.onnx` file in whole numbers, and its cost as JSON beside it.

    Args:
        held_out: images to calibrate with and, others, to measure with.
        weights: a row of `WEIGHTS`.
        layout, optimize, pictures: as of `export_onnx`; the agreement is that of the float file,
            which is not written.

    Raises as `export_onnx` does.
    """
    exact = onnx_model(run, layout=layout, optimize=optimize)
    content = serialized(exact)
    agreement = check_agreement(run, onnx_answers(content), layout=layout, pictures=pictures)
    made = quantized(exact, held_out.calibration, layout=layout, weights=weights)
    described(made, facts_of(run, layout=layout, precision=weights).texts())
    small = serialized(made)
    cost = _cost(content, small, held_out, layout)
    write_whole(path, lambda part: part.write_bytes(small))
    write_json(
        path.with_name(f"{path.name}.json"), {**asdict(cost), "points_lost": round(cost.points, 4)}
    )
    return agreement, cost


def quantized(
    model: ModelProto, images: Tensor, *, layout: str = "nhwc", weights: str = "int8"
) -> ModelProto:
    """An ONNX model with its convolutions, and all between them, in whole numbers of 8 bits.

    What comes before the first convolution and after the last stays as it is: it costs next to
    nothing, and the answer, or a vote, hangs on it.

    Args:
        images: uint8 [N, 3, S, S], typical ones. The ranges are from them: a moving average over
            batches, which one strange image does not widen.
        weights: a row of `WEIGHTS`.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory(prefix="convgraft-") as folder, _quiet():
        ready, made = str(Path(folder) / "ready.onnx"), str(Path(folder) / "made.onnx")
        simple = optimised(model)  # nothing stands between convolutions and what folds into them
        onnx.save(simple, ready)
        quantize_static(
            ready,
            made,
            _reader(in_layout(images, layout)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8 if weights == "int8" else QuantType.QUInt8,
            nodes_to_quantize=between_convolutions(simple),
            extra_options={"CalibMovingAverage": True, "CalibMovingAverageConstant": SMOOTHING},
        )
        return onnx.load(made)


def between_convolutions(model: ModelProto) -> list[str]:
    """Names of the convolutions, and of all nodes between two of them."""
    nodes: list[NodeProto] = list(model.graph.node)  # in topological order
    after: set[str] = set()  # values that depend on a convolution
    for node in nodes:
        if node.op_type == "Conv" or after.intersection(node.input):
            after.update(node.output)
    before: set[str] = set()  # values that a convolution depends on
    found: list[str] = []
    for node in reversed(nodes):
        leads = bool(before.intersection(node.output))
        is_convolution = node.op_type == "Conv"
        if leads or is_convolution:
            before.update(node.input)
        if is_convolution or (leads and after.intersection(node.input)):
            found.append(node.name)
    return found[::-1]


def _reader(images: NDArray[np.uint8]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Batches(CalibrationDataReader):
        """The images in batches, once."""

        def __init__(self) -> None:
            self.starts: Iterator[int] = iter(range(0, len(images), BATCH))

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:  # type: ignore[override]
            start = next(self.starts, None)
            return None if start is None else {INPUT: images[start : start + BATCH]}

    return Batches()


def _cost(exact: bytes, small: bytes, held_out: HeldOut, layout: str) -> QuantizedCost:
    images = in_layout(held_out.images, layout)
    before, after = (_probabilities(model, images) for model in (exact, small))
    labels = held_out.labels.numpy()
    return QuantizedCost(
        images=len(labels),
        measured_on=held_out.told,
        calibration_images=len(held_out.calibration),
        top1=float((before.argmax(1) == labels).mean()),
        top1_quantized=float((after.argmax(1) == labels).mean()),
        same_class=float((before.argmax(1) == after.argmax(1)).mean()),
        largest_difference=float(np.abs(before - after).max()),
        megabytes=round(len(exact) / 1e6, 3),
        megabytes_quantized=round(len(small) / 1e6, 3),
    )


def _probabilities(model: bytes, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    answers = onnx_answers(model)
    starts = range(0, len(images), BATCH)
    return np.concatenate([answers(images[start : start + BATCH])[0] for start in starts])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the quantiser logs for its developers from the user."""
    was = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(was)
