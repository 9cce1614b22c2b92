"""A run as one `.onnx` file that needs nothing else: preprocessing, network, labels and card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from convgraft.export.artifact import Run
from convgraft.export.deployed import deployed
from convgraft.export.facts import facts_of
from convgraft.export.files import write_whole
from convgraft.export.onnx_graph import (
    PROVIDERS,
    described,
    need_onnx,
    onnx_runtime,
    optimised,
    serialized,
    session_options,
    translated,
)
from convgraft.export.parity import Agreement, check_agreement
from convgraft.export.pictures import Pictures
from convgraft.export.program import capture, captured, dimensions, not_exported
from convgraft.export.simplified import simplified

if TYPE_CHECKING:
    from onnx import ModelProto


def export_onnx(
    run: Run,
    path: Path,
    *,
    layout: str = "nhwc",
    optimize: bool = False,
    pictures: Pictures | None = None,
) -> Agreement:
    """Write a run as an `.onnx` file, which ONNX Runtime runs with NumPy alone.

    The input `images` is uint8 [N, H, W, 3], or [N, 3, H, W], of any N, H and W. Outputs are
    `probabilities`, float32 [N, classes], and `index`, int64 [N]; the same for every other label
    column. Labels, image size and card are in the file's metadata, see `convgraft.export.facts`.

    Args:
        layout: of the images, `nhwc` or `nchw`.
        optimize: have ONNX Runtime simplify the graph, see `onnx_graph.optimised`.
        pictures: what it is compared with the composite on; random pictures by default.

    Raises:
        UsageError: onnx, onnxscript or onnxruntime is not installed.
        RunError: the network cannot be translated, or the file does not agree with it; nothing is
            written then.
    """
    model = onnx_model(run, layout=layout, optimize=optimize)
    content = serialized(model)
    agreement = check_agreement(run, onnx_answers(content), layout=layout, pictures=pictures)
    write_whole(path, lambda part: part.write_bytes(content))
    return agreement


def onnx_model(run: Run, *, layout: str = "nhwc", optimize: bool = False) -> ModelProto:
    """A run as an ONNX model in memory, described; raises as `export_onnx` does."""
    need_onnx()
    whole = deployed(run, layout=layout, network=simplified(run.composite))
    program = captured(whole)
    try:
        model = translated(program, whole.outputs, dimensions(layout))
    except Exception as error:  # the exporter has many kinds
        raise not_exported(whole, error, _translate_alone) from error
    if optimize:
        model = optimised(model)
    return described(model, facts_of(run, layout=layout).texts())


def onnx_answers(
    model: bytes, *, threads: int | None = None
) -> Callable[[NDArray[np.uint8]], Sequence[NDArray[Any]]]:
    """An ONNX model as a function: uint8 images in its layout to all of its outputs."""
    options = session_options()
    if threads is not None:
        options.intra_op_num_threads = threads
    session = onnx_runtime().InferenceSession(model, options, providers=PROVIDERS)
    return lambda images: session.run(None, {"images": images})


def _translate_alone(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    import torch

    torch.onnx.export(capture(module, inputs), dynamo=True, verbose=False)
