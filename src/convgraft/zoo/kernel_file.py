"""Kernels of your own from a file: NumPy, text or safetensors. Nothing is unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from convgraft.errors import SourceError, near_miss

MAX_BYTES = 64_000_000
SHAPES = "one kernel [k, k], several [n, k, k], or several over three colours [n, 3, k, k], k odd"


def read_kernels(file: str = "") -> Tensor:
    """The kernels in a file, [n, k, k] or [n, 3, k, k]; a text file holds one.

    Raises SourceError where there is no such file, or it holds something else.
    """
    path = Path(file).expanduser()
    if path.suffix not in _READERS:
        raise SourceError(
            f'"{file}" is not a kind of file that kernels are read from'
            if file
            else "filters/kernels does not say where the kernels are",
            expected=", ".join(_READERS),
            found=path.suffix or None,
            hint="filters/kernels:file=PATH",
        )
    if not path.is_file():
        siblings = [other.name for other in path.parent.glob("*")]
        raise SourceError(
            f'there are no kernels at "{file}"',
            expected=f"a {path.suffix} file",
            hint=near_miss(path.name, siblings),
        )
    try:
        _refuse_large(path)
        kernels = _READERS[path.suffix](path)
    # damaged archives, headers and numbers: these errors share no class but this one
    except Exception as error:
        raise SourceError(
            f'the kernels in "{file}" cannot be read',
            expected=SHAPES,
            found=str(error) or type(error).__name__,
            hint="numpy.save of an array of numbers",
        ) from error
    return _checked(kernels, file)


def _refuse_large(path: Path) -> None:
    """Raise ValueError for a file that is, or unpacks to, more than kernels can be."""
    size = path.stat().st_size
    if path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            size = max(size, sum(one.file_size for one in archive.infolist()))
    if size > MAX_BYTES:
        raise ValueError(f"{size:,} bytes, where kernels take {MAX_BYTES:,} at most")


def _checked(kernels: Tensor, file: str) -> Tensor:
    shape = tuple(kernels.shape)
    is_square = len(shape) in (2, 3, 4) and shape[-1] == shape[-2] and shape[-1] % 2 == 1
    if not is_square or shape[0] == 0 or (len(shape) == 4 and shape[1] != 3):
        raise SourceError(
            f'"{file}" does not hold kernels', expected=SHAPES, found=f"shape {list(shape)}"
        )
    if not kernels.isfinite().all():
        raise SourceError(f'"{file}" holds numbers that are not finite')
    return kernels[None] if kernels.dim() == 2 else kernels


def _read_numpy(path: Path) -> Tensor:
    """A `.npy` file, or a `.npz` file of one array."""
    if path.suffix == ".npy":  # mapped: a header that promises more than follows is refused
        return torch.tensor(np.load(path, "r", allow_pickle=False).astype(np.float64))
    with path.open("rb") as file:
        loaded = np.load(file, allow_pickle=False)
        arrays = dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else {"": loaded}
    return _only({name: torch.tensor(array.astype(np.float64)) for name, array in arrays.items()})


def _read_text(path: Path) -> Tensor:
    """A line of numbers for every row, between commas in a `.csv` file, between spaces else."""
    delimiter = "," if path.suffix == ".csv" else None
    return torch.tensor(np.loadtxt(path, delimiter=delimiter, ndmin=2))


def _read_safetensors(path: Path) -> Tensor:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return _only({name: tensor.double() for name, tensor in load_file(path).items()})
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _only(tensors: Mapping[str, Tensor]) -> Tensor:
    if len(tensors) != 1:
        raise ValueError(f"{len(tensors)} arrays where one is expected")
    return next(iter(tensors.values()))


_READERS: Mapping[str, Callable[[Path], Tensor]] = {
    ".npy": _read_numpy,
    ".npz": _read_numpy,
    ".csv": _read_text,
    ".txt": _read_text,
    ".safetensors": _read_safetensors,
}
