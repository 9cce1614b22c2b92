"""Streamed images: what is decoded on the way is what `load_pixels` keeps."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from convgraft.data import BrokenImage, Streamed, decoded, load_pixels, open_images
from convgraft.errors import DataError

Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVGRAFT_CACHE", str(tmp_path / "store"))


def damaged(folder: Path, member: str) -> None:
    """Overwrite one picture in a shard with zeros, so that its headers stay as they are."""
    path = folder / "a-000.tar"
    data = bytearray(path.read_bytes())
    start = data.index(member.encode()) + 512
    data[start : start + 40] = bytes(40)
    path.write_bytes(data)


def test_it_stands_for_pixels(shards: Make) -> None:
    images = open_images(shards(9, 8))
    rows = [1, 4, 5, 12, 16]
    streamed, kept = Streamed(images, 7, indices=rows), load_pixels(images, 7, indices=rows)
    assert len(streamed) == len(streamed.images) == 5
    assert streamed.images.shape == kept.images.shape
    assert streamed.indices == kept.indices and streamed.broken == ()
    assert torch.equal(streamed.labels, kept.labels)
    for key in (slice(0, 3), slice(None), torch.tensor([4, 0, 0, 2]), 3, slice(2, 2)):
        assert torch.equal(streamed.images[key], kept.images[key])


def test_batches_are_those_of_the_pixels_in_that_order(shards: Make) -> None:
    images = open_images(shards(9, 8))
    streamed, kept = Streamed(images, 6), load_pixels(images, 6)
    shares = [torch.tensor(rows) for rows in ([3, 16, 0], [1], [], [8, 2, 5, 7])]
    shares[2] = torch.empty(0, dtype=torch.int64)
    made = list(streamed.batches(shares))
    assert len(made) == 4
    for rows, ((pixels,), labels) in zip(shares, made, strict=True):
        assert torch.equal(pixels, kept.images[rows])
        assert torch.equal(labels[""], kept.labels[rows])


def test_a_broken_image_leaves_its_batch_smaller_and_is_left_out_from_then_on(
    shards: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shards(6, 6)
    damaged(folder, "0002.png")
    images = open_images(folder)
    streamed = Streamed(images, 6)
    kept = load_pixels(images, 6)
    assert len(streamed) == 12 and len(kept) == 11
    first, second = streamed.batches([torch.arange(0, 4), torch.arange(4, 12)])
    assert len(first[0][0]) == len(first[1][""]) == 3
    assert torch.equal(torch.cat([first[0][0], second[0][0]]), kept.images)
    assert torch.equal(torch.cat([first[1][""], second[1][""]]), kept.labels)
    assert [one.id for one in streamed.broken] == ["a-000.tar#0002"]
    assert streamed.indices == kept.indices and torch.equal(streamed.labels, kept.labels)
    assert len(streamed) == 11 and len(streamed.images) == len(streamed.rows) == 12
    read: list[int] = []
    raw = type(images).raw
    monkeypatch.setattr(type(images), "raw", lambda self, i: read.append(i) or raw(self, i))
    assert torch.equal(streamed.batch(torch.arange(12))[0][0], kept.images)
    assert 2 not in read and len(read) == 11


def test_strict_stops_at_the_first_of_a_batch(shards: Make) -> None:
    folder = shards(6, 6)
    damaged(folder, "0001.png")
    damaged(folder, "0004.png")
    streamed = Streamed(open_images(folder), 6, strict=True)
    with pytest.raises(BrokenImage, match=r"a-000\.tar#0001"):
        streamed.batch(torch.arange(12))


def test_strict_stops_at_a_broken_image(shards: Make) -> None:
    folder = shards(6)
    damaged(folder, "0004.png")
    streamed = Streamed(open_images(folder), 6, strict=True)
    with pytest.raises(BrokenImage, match="#0004"):
        streamed.batch(torch.arange(6))


def test_known_broken_images_are_no_rows(shards: Make) -> None:
    streamed = Streamed(open_images(shards(5)), 6, skip=["a-000.tar#0003"])
    assert streamed.indices == (0, 1, 2, 4) and len(streamed.images) == 4


def test_nothing_readable_is_an_error(shards: Make) -> None:
    folder = shards(3)
    for row in range(3):
        damaged(folder, f"000{row}.png")
    with pytest.raises(DataError, match="none of the 3 images"):
        Streamed(open_images(folder), 6).batch(torch.arange(3))


def test_few_batches_are_in_memory(shards: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    begin = decoded._begin
    monkeypatch.setattr(decoded, "_begin", lambda *a: begun.append(1) or begin(*a))
    streamed = Streamed(open_images(shards(40)), 6)
    for done, _ in enumerate(streamed.batches(list(torch.arange(40).split(2)))):
        assert len(begun) - done <= decoded.AHEAD + 1
    assert len(begun) == 20
    gc.collect()


def test_an_epoch_that_is_left_early_leaves_no_thread(shards: Make) -> None:
    import threading

    batches = Streamed(open_images(shards(40)), 6).batches(list(torch.arange(40).split(2)))
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert not [one for one in threading.enumerate() if one.name.startswith("decode")]


def test_row_groups_stay_while_a_shuffled_epoch_reads_them(
    tmp_path: Path, write_parquet: Make, structs: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from convgraft.data import pages, parquet_rows

    monkeypatch.setattr(pages, "CACHE_BYTES", 1)
    columns = {"img": structs(40), "label": [row % 2 for row in range(40)]}
    images = open_images(write_parquet(tmp_path / "x.parquet", columns, rows_per_group=5))
    read: list[int] = []
    inner = parquet_rows.ParquetRows._read
    images.source._pages._read = lambda n: read.append(n) or inner(images.source, n)  # type: ignore[attr-defined]
    assert images.layout is not None and images.layout.lengths == (5,) * 8
    streamed = Streamed(images, 6, workers=1)
    order = streamed.order(0, 1)
    assert sorted(order.tolist()) == list(range(40))
    list(streamed.batches(list(order.split(40))))
    assert sorted(read) == list(range(8))
