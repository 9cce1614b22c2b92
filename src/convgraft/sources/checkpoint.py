"""`.pth` and `.pt` files: the state dict inside, by PyTorch's restricted unpickler alone.

`weights_only=True` makes tensors, numbers, texts and containers, and calls nothing else.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convgraft.errors import SourceError

CONTAINERS = ("state_dict", "model_state_dict", "model", "net")
_SAVE_IT = "save it with torch.save(model.state_dict(), ...) or as safetensors"


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name.

    Raises SourceError where it holds code, no state dict, or tensors that are more than the file.
    """
    _refuse_packed(path)
    loaded = _load(path)
    for key in CONTAINERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    is_state = isinstance(loaded, Mapping) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in loaded.items()
    )
    if not is_state:
        raise SourceError(
            f'the checkpoint "{path}" holds no state dict', expected="names to tensors"
        )
    for name, tensor in loaded.items():
        _check_tensor(path, name, tensor)
    return dict(loaded)


def _refuse_packed(path: Path) -> None:
    """PyTorch packs nothing; a file of strangers that is packed may unpack to any size."""
    try:
        with zipfile.ZipFile(path) as archive:
            packed = [one for one in archive.infolist() if one.compress_type != zipfile.ZIP_STORED]
            size = sum(one.file_size for one in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # the legacy format is no archive; what is neither is refused when it is loaded
    if packed or size > path.stat().st_size:
        raise SourceError(
            f'"{path}" is not as torch.save writes it',
            expected="tensors as they are, not compressed",
            found=f"{size:,} bytes in a file of {path.stat().st_size:,}",
            hint=_SAVE_IT,
        )


def _load(path: Path) -> Any:
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
                hint=_SAVE_IT,
            ) from first


def _check_tensor(path: Path, name: str, tensor: Tensor) -> None:
    """Plain numbers in memory, all of which are there: a stride of 0 makes one number into many."""
    is_plain = (
        tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_quantized
        and not tensor.is_complex()
    )
    if is_plain and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes():
        return
    raise SourceError(
        f'the checkpoint "{path}" has a tensor that is no plain one: {name}',
        expected="dense tensors of real numbers, each with as many numbers as its shape says",
        found=f"{tensor.dtype} {list(tensor.shape)}, {str(tensor.layout).removeprefix('torch.')}",
        hint=_SAVE_IT,
    )
