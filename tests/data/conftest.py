"""Small real image files, made on the spot, and the way to the shared real data."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

REPO = Path(__file__).parents[2]


def _encoded(pixels: Any, kind: str = "PNG", **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def encoded() -> Callable[..., bytes]:
    """A Pillow image or an array as the bytes of an image file: `encoded(pixels, "JPEG")`."""
    return _encoded


@pytest.fixture
def png() -> Callable[..., bytes]:
    """A PNG of random RGB pixels: `png(seed, height, width)`."""

    def make(seed: int, height: int = 6, width: int = 5) -> bytes:
        shape = (height, width, 3)
        return _encoded(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))

    return make


@pytest.fixture
def folder(tmp_path: Path, png: Callable[..., bytes]) -> Callable[..., Path]:
    """A folder with the named image files, all different: `folder("cat/a.png", ...)`."""

    def make(*names: str, root: str = "set") -> Path:
        for seed, name in enumerate(names):
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(seed))
        return tmp_path / root

    return make


@pytest.fixture
def write_parquet() -> Callable[..., Path]:
    """Write columns to a Parquet file, with ClassLabel metadata for `names`."""

    def write(
        path: Path,
        columns: Mapping[str, Any],
        names: Mapping[str, Sequence[str]] | None = None,
        rows_per_group: int = 3,
    ) -> Path:
        table = pa.table(dict(columns))
        if names is not None:
            features = {
                column: {"_type": "ClassLabel", "names": list(given)}
                for column, given in names.items()
            }
            text = json.dumps({"info": {"features": features}})
            table = table.replace_schema_metadata({"huggingface": text})
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, path, row_group_size=rows_per_group)
        return path

    return write


@pytest.fixture
def structs(png: Callable[..., bytes]) -> Callable[[int], list[dict[str, Any]]]:
    """The values of an image column as the hub has it: `structs(count)`."""
    return lambda count: [{"bytes": png(row), "path": f"{row}.png"} for row in range(count)]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of shared real data."""
    path = Path(os.environ.get("CONVGRAFT_DATA", REPO.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no real data at {path}; set CONVGRAFT_DATA")
    return path


@pytest.fixture
def write_tar() -> Callable[..., Path]:
    """Write members to a tar: `write_tar(path, {"0.png": bytes, "0.cls": "cat"})`."""

    def write(path: Path, members: Mapping[str, bytes | str], **options: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, options.pop("mode", "w"), **options) as tar:
            for name, data in members.items():
                content = data.encode() if isinstance(data, str) else data
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, BytesIO(content))
        return path

    return write


@pytest.fixture
def shards(
    tmp_path: Path, png: Callable[..., bytes], write_tar: Callable[..., Path]
) -> Callable[..., Path]:
    """A folder of shards of random pictures of classes 0..2: `shards(4, 3, 5)`."""

    def make(*lengths: int, root: str = "shards", name: str = "a-{:03d}.tar") -> Path:
        row = 0
        for number, length in enumerate(lengths):
            members: dict[str, bytes | str] = {}
            for _ in range(length):
                members |= {f"{row:04d}.png": png(row), f"{row:04d}.cls": str(row % 3)}
                row += 1
            write_tar(tmp_path / root / name.format(number), members)
        return tmp_path / root

    return make
