"""ONNX files as values: what PyTorch translates, with nothing in it but what a reader needs.

Everything here imports onnx and ONNX Runtime inside functions; `need_onnx` says what is missing.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from convgraft.errors import RunError, UsageError
from convgraft.export.onnx_pools import pools_as_means, translations

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch.export import ExportedProgram

OPSET = 18  # the first in which Resize can antialias; later ones bring nothing that is needed here
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
STANDARD = ("", "ai.onnx")
PROVIDERS = ["CPUExecutionProvider"]
LARGEST = 2**31 - 1  # bytes of a protocol buffer


def need_onnx(packages: Iterable[str] = PACKAGES) -> None:
    """Raise UsageError, with the extra that brings them, where packages are missing."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            "ONNX files need packages that are not installed",
            found=f"no {', no '.join(missing)}",
            hint='pip install "convgraft[onnx]"',
        )


def onnx_runtime() -> Any:
    """The module `onnxruntime`, of which type checkers know too little."""
    import onnxruntime

    return onnxruntime


def translated(
    program: ExportedProgram, outputs: Sequence[str], dimensions: Mapping[int, str]
) -> ModelProto:
    """A captured program as an ONNX model with the input `images` and outputs of these names.

    Args:
        dimensions: names of those of the input that may change, by place.
    """
    made = torch.onnx.export(
        pools_as_means(program),
        input_names=["images"],
        output_names=list(outputs),
        opset_version=OPSET,
        dynamo=True,
        custom_translation_table=translations(),
        external_data=False,
        verbose=False,
    )
    assert made is not None
    model = made.model_proto
    _strip(model)
    _name_dimensions(model, dimensions)
    return model


def described(model: ModelProto, texts: dict[str, str]) -> ModelProto:
    """The same model, its metadata these texts alone."""
    import convgraft

    del model.metadata_props[:]
    for key, value in texts.items():
        model.metadata_props.add(key=key, value=value)
    model.producer_name, model.producer_version = "convgraft", convgraft.__version__
    model.doc_string = ""
    return model


def serialized(model: ModelProto) -> bytes:
    """The model as the bytes of its file; raises RunError where it is larger than such may be."""
    if model.ByteSize() > LARGEST:
        raise RunError(
            "the network is too large for one ONNX file",
            expected="2 GiB at most",
            found=f"{model.ByteSize() / 2**30:.1f} GiB",
            hint="--format pt2",
        )
    return model.SerializeToString()


def optimised(model: ModelProto) -> ModelProto:
    """The model as ONNX Runtime simplifies it without knowing the machine.

    Constants are folded, idle nodes left out, batch norms and scalings put into convolutions. All
    of what remains is standard ONNX, so that the file runs anywhere. The fused and reordered
    kernels of its higher levels are for one machine: ONNX Runtime makes them when it opens a file.
    """
    import onnx

    runtime = onnx_runtime()
    with tempfile.TemporaryDirectory(prefix="convgraft-") as folder:
        path = Path(folder) / "model.onnx"
        options = session_options()
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        runtime.InferenceSession(serialized(model), options, providers=PROVIDERS)
        made = onnx.load(path)
    strange = {node.domain for node in made.graph.node} - set(STANDARD)
    if strange:  # a later ONNX Runtime may fuse more on this level
        return model
    kept = [one for one in made.opset_import if one.domain in STANDARD]
    del made.opset_import[:]
    made.opset_import.extend(kept)
    _strip(made)
    return made


def session_options() -> Any:
    """Options of a session that says nothing but errors."""
    options = onnx_runtime().SessionOptions()
    options.log_severity_level = 3
    return options


def _name_dimensions(model: ModelProto, dimensions: Mapping[int, str]) -> None:
    """Give dimensions that may change a name that means something, wherever they are."""
    graph = model.graph
    (images,) = graph.input
    lengths = images.type.tensor_type.shape.dim
    names = {lengths[place].dim_param: name for place, name in dimensions.items()}
    for value in (images, *graph.output):
        for length in value.type.tensor_type.shape.dim:
            if length.dim_param:
                length.dim_param = names.get(length.dim_param, length.dim_param)


def _strip(model: ModelProto) -> None:
    """Take out notes of the exporter: they hold stack traces, and with them paths of this machine.

    Nodes keep their names, weights those of the composite.
    """
    graph = model.graph
    del graph.metadata_props[:]
    parts = (graph.node, graph.initializer, graph.input, graph.output, graph.value_info)
    for part in (one for group in parts for one in group):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    graph.doc_string = ""
