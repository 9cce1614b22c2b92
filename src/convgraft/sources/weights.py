"""Weights from a file or a run: looked at first, loaded later, never unpickled."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from convgraft.errors import SourceError, near_miss
from convgraft.sources.checkpoint import read_checkpoint

Value = TypeVar("Value")

WRAPPERS = ("module.", "_orig_mod.")  # DistributedDataParallel, torch.compile
RUN_WEIGHTS = "model.safetensors"
MAX_CLASSES = 250_000  # more are a damaged or hostile file: a layer of them fills the memory


@dataclass(frozen=True)
class Noted:
    """What a run noted of a source: its classes, and how it wants its images."""

    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int | None


@dataclass(frozen=True)
class WeightsFile:
    """A state dict on disk: `.safetensors`, `.pth`/`.pt`, or one source of a convgraft run.

    Attributes:
        path: the file with the tensors.
        source: for a run, which of its sources; "" for the only one, None for a plain file.
    """

    path: Path
    source: str | None = None

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Tensor names and shapes; a safetensors file is not read beyond its header."""
        if self.path.suffix == ".safetensors":
            return {name: shape for name, shape in self._header_shapes().items() if shape}
        return {name: tuple(tensor.shape) for name, tensor in self.tensors().items()}

    def tensors(self) -> dict[str, Tensor]:
        """The tensors, named as the network names them."""
        if self.path.suffix == ".safetensors":
            return self._safetensors()
        return dict(self._checkpoint)

    def finite_tensors(self) -> dict[str, Tensor]:
        """As `tensors`; raises SourceError where one holds NaN or an infinity."""
        tensors = self.tensors()
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise SourceError(
                    f'the weights in "{self.path}" are not finite',
                    found=f"{tensor[~tensor.isfinite()][0].item()} in {name}",
                    hint="weights of a training that went well",
                )
        return tensors

    @cached_property
    def _checkpoint(self) -> dict[str, Tensor]:
        tensors = read_checkpoint(self.path)
        return dict(zip(_unwrapped(list(tensors)), tensors.values(), strict=True))

    @cached_property
    def noted(self) -> Noted | None:
        """What a convgraft run noted of this source; None for other files."""
        if self.source is None:
            return None
        notes = self._notes()
        return _read_note(notes.get(self.source) or next(iter(notes.values())), self.path)

    @cached_property
    def metadata(self) -> Mapping[str, str]:
        """A safetensors file's own metadata; empty for other files."""
        if self.path.suffix != ".safetensors":
            return {}
        return _reading(self.path, lambda file: file.metadata() or {})

    def _header_shapes(self) -> dict[str, tuple[int, ...]]:
        names = _reading(
            self.path,
            lambda file: {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()},  # noqa: SIM118
        )
        return {own: names[stored] for stored, own in self._own_names(names).items()}

    def _safetensors(self) -> dict[str, Tensor]:
        return _reading(
            self.path,
            lambda file: {
                own: file.get_tensor(name) for name, own in self._own_names(file.keys()).items()
            },
        )

    def _own_names(self, stored: Any) -> dict[str, str]:
        """Stored name to the network's own name, for the tensors of this network."""
        prefix = "" if self.source is None else f"sources.{self._run_source()}."
        chosen = {name: name.removeprefix(prefix) for name in stored if name.startswith(prefix)}
        own_names = _unwrapped(list(chosen.values()))
        return dict(zip(chosen, own_names, strict=True))

    def _run_source(self) -> str:
        names = list(self._notes())
        if self.source in names:
            return str(self.source)
        if self.source == "" and len(names) == 1:
            return names[0]
        raise SourceError(
            f'run {self.path.parent} has no source "{self.source}"'
            if self.source
            else f"run {self.path.parent} has several sources",
            expected=f"ARCH@{self.path.parent}#SOURCE with SOURCE one of: {', '.join(names)}",
            hint=near_miss(self.source or "", names),
        )

    def _notes(self) -> dict[str, Any]:
        """Notes by source; raises SourceError where convgraft did not write them."""
        try:
            notes = json.loads(self.metadata.get("sources", "{}"))
        except (ValueError, RecursionError) as error:
            raise _not_noted(self.path, str(error)) from error
        if not isinstance(notes, dict) or not notes:
            raise _not_noted(self.path, "no sources")
        return notes


def open_weights(text: str) -> WeightsFile:
    """Find the weights that a spec names: a file, or `RUN` / `RUN#SOURCE`.

    Raises SourceError where there is no such file, or its kind is not one that loads safely.
    """
    location, _, source = text.partition("#")
    path = Path(location).expanduser()
    if path.is_dir():
        return _open_run(path, source)
    if not path.exists():
        siblings = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
        raise SourceError(
            f'there are no weights at "{text}"',
            expected="a .safetensors or .pth file, a run folder, or DEFAULT",
            hint=near_miss(path.name, siblings)
            or "ARCH@DEFAULT downloads the library's own; ARCH alone begins with random weights",
        )
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise SourceError(
            f'"{path}" is not a kind of weights file that convgraft reads',
            expected=".safetensors, .pth or .pt",
            found=path.suffix or "no suffix",
        )
    return WeightsFile(path)


def _open_run(path: Path, source: str) -> WeightsFile:
    weights = path / RUN_WEIGHTS
    if not weights.exists():
        raise SourceError(
            f'"{path}" is a folder and not a finished run', expected=f"{RUN_WEIGHTS} in it"
        )
    plain = WeightsFile(weights)
    return WeightsFile(weights, source) if "sources" in plain.metadata else plain


def _reading(path: Path, read: Callable[[Any], Value]) -> Value:
    """What is read of a safetensors file; raises SourceError where it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return read(file)
    except (SafetensorError, OSError, ValueError, RuntimeError, MemoryError) as error:
        raise SourceError(
            f'"{path}" cannot be read as safetensors',
            found=str(error),
            hint="a whole, undamaged file",
        ) from error


def _read_note(note: Any, path: Path) -> Noted:
    try:
        size, classes = note["size"], note["classes"]
        mean, std = (tuple(map(float, note[key])) for key in ("mean", "std"))
    except (KeyError, TypeError, ValueError) as error:
        raise _not_noted(path, f"{type(error).__name__}: {error}") from error
    is_size = size is None or (type(size) is int and size >= 1)
    if type(classes) is not int or not 1 <= classes <= MAX_CLASSES or not is_size:
        raise _not_noted(path, f"classes {classes}, size {size}")
    return Noted(classes, mean, std, size)


def _not_noted(path: Path, found: str) -> SourceError:
    return SourceError(
        f'"{path}" has notes that convgraft did not write',
        found=found,
        hint="a whole copy of the run",
    )


def _unwrapped(names: list[str]) -> list[str]:
    """Names without the wrappers that all of them carry."""
    while names and all(name.startswith(WRAPPERS) for name in names):
        names = [name.split(".", 1)[1] for name in names]
    return names


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's weights and buffers by name."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def compare_shapes(
    file: Mapping[str, tuple[int, ...]], network: Mapping[str, tuple[int, ...]]
) -> tuple[list[str], list[str], list[str]]:
    """Names missing in the file, names unknown to the network, names of another shape.

    Scalars (counters such as `num_batches_tracked`) are not compared.
    """
    ours = {name: shape for name, shape in network.items() if shape}
    theirs = {name: shape for name, shape in file.items() if shape}
    missing = [name for name in ours if name not in theirs]
    unknown = [name for name in theirs if name not in ours]
    differing = [n for n, shape in ours.items() if n in theirs and theirs[n] != shape]
    return missing, unknown, differing
