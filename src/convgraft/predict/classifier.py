"""What answers for images, whatever runs it: PyTorch or ONNX Runtime."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from convgraft.errors import ArtifactError, UsageError, near_miss

if TYPE_CHECKING:
    from convgraft.predict.onnx_engine import OnnxEngine

ENGINES = ("auto", "onnx", "torch")
EXPORTED = "model.onnx"


class Classifier(Protocol):
    """A trained network that is ready to be asked, from several threads at once if need be.

    Attributes:
        labels: class names, in the order of the probabilities.
        size: side in pixels of the images it takes.
        engine: what runs it, in words: "ONNX Runtime", "PyTorch".
        digest: SHA-256 of the file that it was read from, in hex.
    """

    labels: tuple[str, ...]
    size: int
    engine: str
    digest: str

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Images, uint8 [N, 3, size, size], to probabilities [N, classes]."""
        ...


def open_classifier(
    path: str | Path,
    *,
    engine: str = "auto",
    threads: int | None = None,
    trust_python: bool = False,
    prepare: bool = True,
) -> Classifier:
    """A run, or a file that `convgraft export` made of one, ready to be asked.

    Args:
        path: a run folder, or an `.onnx` file, which needs no run beside it.
        engine: `onnx`, `torch`, or `auto`: ONNX Runtime where it is installed and the folder has a
            `model.onnx` of the weights that lie there now; else PyTorch.
        threads: that one call works on; all cores by default. To make several calls side by side,
            one each is fastest.
        trust_python: allow a run to import `python:` sources, that is, to run their code.
        prepare: make a run fast first; it takes seconds, and pays from some 256 images on.

    Raises:
        ArtifactError: there is no whole run, or the exported file is none, or of other weights.
        UsageError: there is no such engine, or it is not installed.

    >>> open_classifier("runs/x").probabilities(images)     # doctest: +SKIP
    """
    path = Path(path)
    _check_engine(engine, path)
    if path.is_file():
        return _exported(path, threads)
    if engine == "onnx":
        return _exported_of(path, threads)
    if engine == "auto" and find_spec("onnxruntime") and (path / EXPORTED).is_file():
        with suppress(ArtifactError):
            return _exported_of(path, threads)
    from convgraft.predict.torch_engine import TorchEngine

    return TorchEngine(path, threads, trust_python=trust_python, prepare=prepare)


def _check_engine(engine: str, path: Path) -> None:
    if engine not in ENGINES:
        raise UsageError(
            f'there is no engine called "{engine}"',
            expected=", ".join(ENGINES),
            hint=near_miss(engine, ENGINES),
        )
    if path.is_file() and (engine == "torch" or path.suffix.lower() != ".onnx"):
        raise UsageError(
            f'"{path}" cannot be asked by {"PyTorch" if engine == "torch" else "any engine"}',
            expected="a run folder" if engine == "torch" else "a run folder or an .onnx file",
        )


def _exported(file: Path, threads: int | None) -> OnnxEngine:
    from convgraft.predict.onnx_engine import OnnxEngine

    return OnnxEngine(file, threads)


def _exported_of(folder: Path, threads: int | None) -> OnnxEngine:
    """What was exported of the weights that lie in the folder now."""
    export = f"convgraft export {folder} --format onnx"
    if not folder.is_dir():
        raise ArtifactError(f'there is no run at "{folder}"', expected="a run folder")
    if not (folder / EXPORTED).is_file():
        raise ArtifactError(f'"{folder}" has no {EXPORTED}', hint=export)
    exported = _exported(folder / EXPORTED, threads)
    if not exported.facts.is_of(folder):
        raise ArtifactError(
            f'"{folder / EXPORTED}" was exported from other weights than those beside it',
            hint=f"{export}, or name the file itself",
        )
    return exported
