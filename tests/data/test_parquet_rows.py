from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from convgraft.data import BrokenImage, load_pixels, open_images, pages
from convgraft.errors import DataError

Write = Callable[..., Path]
Structs = Callable[[int], list[dict[str, object]]]
Png = Callable[..., bytes]


def labels(count: int) -> list[int]:
    return [row % 2 for row in range(count)]


def test_rows_of_all_groups_in_any_order_from_threads(
    tmp_path: Path, write_parquet: Write, structs: Structs
):
    values = structs(10)
    path = write_parquet(tmp_path / "x.parquet", {"img": values, "label": labels(10)})
    images = open_images(path)
    order = [9, 0, 5, 2, 3, 8, 1, 4, 7, 6] * 3
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(images.raw, order)) == [values[row]["bytes"] for row in order]


def test_memory_is_bounded_by_row_groups(
    tmp_path: Path, write_parquet: Write, structs: Structs, monkeypatch: pytest.MonkeyPatch
):
    values = structs(9)
    path = write_parquet(tmp_path / "x.parquet", {"img": values, "label": labels(9)})
    monkeypatch.setattr(pages, "CACHE_BYTES", 1)
    images = open_images(path)
    assert [images.raw(row) for row in range(9)] == [value["bytes"] for value in values]
    assert len(images.source._pages) == 1  # type: ignore[attr-defined]


def test_opening_reads_no_image(tmp_path: Path, write_parquet: Write, structs: Structs):
    path = write_parquet(tmp_path / "x.parquet", {"img": structs(4), "label": labels(4)})
    data = bytearray(path.read_bytes())
    data[4:60] = bytes(56)  # the image column comes first, just after the magic number
    path.write_bytes(data)
    images = open_images(path)
    assert images.labels.tolist() == [0, 1, 0, 1]
    with pytest.raises(DataError, match=r"x.parquet is a damaged Parquet file"):
        load_pixels(images, 4)


def test_a_path_is_read_beside_the_file(tmp_path: Path, write_parquet: Write, png: Png):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/1.png").write_bytes(png(1))
    paths = ["sub/1.png", "sub/2.png", "../x.png", "sub\\..\\..\\x", "/etc/passwd", "C:\\x", None]
    (tmp_path.parent / "x.png").write_bytes(png(2))
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    column = pa.array([{"bytes": None, "path": path} for path in paths], kind)
    file = write_parquet(tmp_path / "x.parquet", {"image": column, "label": labels(7)})
    images = open_images(file)
    assert images.raw(0) == png(1)
    reasons = []
    for row in range(1, 7):
        with pytest.raises(BrokenImage) as caught:
            images.raw(row)
        assert caught.value.id == f"x.parquet#{row}"
        reasons.append(caught.value.reason)
    assert reasons[0] == "cannot be read (No such file or directory)"
    assert all(r.startswith("has a path that leads out of its folder") for r in reasons[1:5])
    assert reasons[5] == "is empty (no bytes and no path)"


def test_a_null_image_is_broken(tmp_path: Path, write_parquet: Write, png: Png):
    columns = {"image": [png(0), None], "label": [0, 1]}
    images = open_images(write_parquet(tmp_path / "x.parquet", columns))
    with pytest.raises(BrokenImage, match=r"x.parquet#1 is empty"):
        images.read(1)
