"""Weights from a file or a run: looked at first, loaded later, never unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convgraft.errors import SourceError, near_miss

WRAPPERS = ("module.", "_orig_mod.")  # DistributedDataParallel, torch.compile
CONTAINERS = ("state_dict", "model_state_dict", "model", "net")
RUN_WEIGHTS = "model.safetensors"


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

    @cached_property
    def _checkpoint(self) -> dict[str, Tensor]:
        return _unwrap(_load_checkpoint(self.path))

    @cached_property
    def metadata(self) -> Mapping[str, str]:
        """A safetensors file's own metadata; empty for other files."""
        if self.path.suffix != ".safetensors":
            return {}
        with _open_safetensors(self.path) as file:
            return file.metadata() or {}

    def _header_shapes(self) -> dict[str, tuple[int, ...]]:
        with _open_safetensors(self.path) as file:
            names = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        return {own: names[stored] for stored, own in self._own_names(names).items()}

    def _safetensors(self) -> dict[str, Tensor]:
        with _open_safetensors(self.path) as file:
            return {
                own: file.get_tensor(name) for name, own in self._own_names(file.keys()).items()
            }

    def _own_names(self, stored: Any) -> dict[str, str]:
        """Stored name to the network's own name, for the tensors of this network."""
        prefix = "" if self.source is None else f"sources.{self._run_source()}."
        chosen = {name: name.removeprefix(prefix) for name in stored if name.startswith(prefix)}
        own_names = _unwrapped(list(chosen.values()))
        return dict(zip(chosen, own_names, strict=True))

    def _run_source(self) -> str:
        names = list(json.loads(self.metadata.get("sources", "{}")))
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
            hint=near_miss(path.name, siblings),
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


def _open_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise SourceError(
            f'"{path}" cannot be read as safetensors',
            found=str(error),
            hint="a whole, undamaged file",
        ) from error


def _load_checkpoint(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as first:
        try:  # files of the legacy format cannot be memory-mapped
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception:
            raise SourceError(
                f'"{path}" cannot be loaded safely (weights_only=True)',
                expected="a state dict of tensors",
                found=str(first).splitlines()[0] if str(first) else type(first).__name__,
                hint="save it with torch.save(model.state_dict(), ...) or as safetensors",
            ) from first


def _unwrap(loaded: Any) -> dict[str, Tensor]:
    """The state dict inside a checkpoint, its names without wrappers."""
    for key in CONTAINERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise SourceError("the checkpoint holds no state dict", expected="names to tensors")
    return dict(zip(_unwrapped(list(loaded)), loaded.values(), strict=True))


def _unwrapped(names: list[str]) -> list[str]:
    """Names without the wrappers that all of them carry."""
    while names and all(name.startswith(WRAPPERS) for name in names):
        names = [name.split(".", 1)[1] for name in names]
    return names


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
