"""Writing safetensors files: what the disk says comes as the error that it is."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from convgraft.durable.on_disk import put_in_place


def write_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Write contiguous CPU tensors that share no memory, and notes, to a file.

    The library writes beside a file, under a random name that a kill would leave there for ever; so
    it gets a folder of its own, which the next writing of the same file begins anew.

    Raises OSError where it cannot be written, e.g. on a full disk. The library wraps that in an
    error of its own, which only says so in words.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    own = path.with_name(f"{path.name}.new")
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir()
    try:
        save_file(dict(tensors), own / path.name, dict(notes))
        put_in_place(own / path.name, path)
    except SafetensorError as error:
        if (told := re.search(r"os error (\d+)", str(error))) is None:
            raise
        number = int(told[1])
        raise OSError(number, os.strerror(number), str(path)) from error
    finally:
        shutil.rmtree(own, ignore_errors=True)
