"""An exported network by ONNX Runtime; no PyTorch takes part."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convgraft.errors import ArtifactError, UsageError
from convgraft.export.facts import read_facts
from convgraft.export.onnx_content import refuse_external_data
from convgraft.predict.halving import in_halves

PROBABILITIES = "probabilities"
EXPORT = "convgraft export RUN --format onnx"


class OnnxEngine:
    """An `.onnx` file that `convgraft export` wrote; what it needs to know is in its metadata.

    Calls may come from several threads at once: they share one session and its weights.

    Attributes:
        facts: what the file says of itself.
        path: of the file.

    Args:
        path: of the file.
        threads: that one call works on; all cores by default.

    Raises:
        ArtifactError: the file is damaged, or something else wrote it.
        UsageError: ONNX Runtime is not installed.
    """

    engine = "ONNX Runtime"

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.path = path
        refuse_external_data(path)
        self._session = _open_session(path, threads)
        texts = self._session.get_modelmeta().custom_metadata_map
        self.facts = read_facts(texts, name=f'"{path}"')
        self.labels, self.size = self.facts.labels, self.facts.image_size
        self._input = _only_input(self._session, path, self.facts.layout)
        with path.open("rb") as file:
            self.digest = hashlib.file_digest(file, "sha256").hexdigest()

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Images, uint8 [N, 3, size, size], to probabilities [N, classes]."""
        return in_halves(self._ask, images)

    def _ask(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        laid_out = images.transpose(0, 2, 3, 1) if self.facts.layout == "nhwc" else images
        given = {self._input: np.ascontiguousarray(laid_out)}
        try:
            found = self._session.run([PROBABILITIES], given)[0]
        # Its errors share no class but this one.
        except Exception as error:
            raise ArtifactError(
                f'"{self.path}" failed on {len(images)} images',
                found=_first_line(error),
                hint=EXPORT,
            ) from error
        wanted = (len(images), len(self.labels))
        if getattr(found, "shape", None) != wanted or found.dtype != np.float32:
            raise ArtifactError(
                f'"{self.path}" answers otherwise than it says of itself',
                expected=f"float32 {list(wanted)}, a probability for each label",
                found=f"{getattr(found, 'dtype', type(found).__name__)} "
                f"{list(getattr(found, 'shape', ()))}",
                hint=EXPORT,
            )
        return found


def _open_session(path: Path, threads: int | None) -> Any:
    """ONNX Runtime's session of a file, on the CPU."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(
            f'"{path}" needs ONNX Runtime, which is not installed',
            hint='pip install "convgraft[onnx]", or --engine torch on a run folder',
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # nothing: errors are raised
    options.intra_op_num_threads = threads or 0  # 0: as many as cores
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    # Its errors share no class but this one.
    except Exception as error:
        raise ArtifactError(
            f'"{path}" cannot be read by ONNX Runtime', found=_first_line(error), hint=EXPORT
        ) from error


def _only_input(session: Any, path: Path, layout: str) -> str:
    """The name of the one input, images; raises ArtifactError for other inputs and outputs."""
    taken, given = session.get_inputs(), [one.name for one in session.get_outputs()]
    colours = layout.index("c")
    if (
        len(taken) == 1
        and taken[0].type == "tensor(uint8)"
        and len(taken[0].shape) == 4
        and taken[0].shape[colours] in (3, None)
        and PROBABILITIES in given
    ):
        return taken[0].name
    shapes = [f"{one.name}: {one.type} {one.shape}" for one in taken]
    raise ArtifactError(
        f'"{path}" does not take images and give probabilities',
        expected=f"one input of tensor(uint8), {layout}, and an output {PROBABILITIES}",
        found=f"{'; '.join(shapes) or 'no input'}; outputs {', '.join(given)}",
        hint=EXPORT,
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
