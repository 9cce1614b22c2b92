"""An exported network by ONNX Runtime; no PyTorch takes part."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convgraft.errors import ArtifactError, UsageError
from convgraft.export.facts import read_facts

PROBABILITIES = "probabilities"


class OnnxEngine:
    """An `.onnx` file that `convgraft export` wrote; what it needs to know is in its metadata.

    Calls may come from several threads at once: they share one session and its weights.

    Attributes:
        facts: what the file says of itself.

    Args:
        path: of the file.
        threads: that one call works on; all cores by default.

    Raises:
        ArtifactError: the file is damaged, or something else wrote it.
        UsageError: ONNX Runtime is not installed.
    """

    engine = "ONNX Runtime"

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self._session = _open_session(path, threads)
        texts = self._session.get_modelmeta().custom_metadata_map
        self.facts = read_facts(texts, name=f'"{path}"')
        self.labels, self.size = self.facts.labels, self.facts.image_size
        self._input = self._session.get_inputs()[0].name
        with path.open("rb") as file:
            self.digest = hashlib.file_digest(file, "sha256").hexdigest()

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Images, uint8 [N, 3, size, size], to probabilities [N, classes]."""
        laid_out = images.transpose(0, 2, 3, 1) if self.facts.layout == "nhwc" else images
        given = {self._input: np.ascontiguousarray(laid_out)}
        return self._session.run([PROBABILITIES], given)[0]


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
    options.log_severity_level = 3  # errors alone
    options.intra_op_num_threads = threads or 0  # 0: as many as cores
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    # Its errors share no class but this one.
    except Exception as error:
        raise ArtifactError(
            f'"{path}" cannot be read by ONNX Runtime', found=str(error).splitlines()[0]
        ) from error
