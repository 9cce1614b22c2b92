"""Pixels through the store are the pixels of `load_pixels`, decoded once."""

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from convgraft.cache import Cache, pixel_rows, writer
from convgraft.cache import pixels as module
from convgraft.cache.pixel_rows import pixel_entry
from convgraft.cache.pixels import cached_pixels, stream_pixels
from convgraft.data import BrokenImage, ImageSet, Pixels, load_pixels, open_images
from convgraft.errors import DataError

COUNT = 40
ROW = 3 * 8 * 8


@pytest.fixture
def root(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for number in range(COUNT):
        path = tmp_path / "set" / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (12, 10, 3), np.uint8)).save(path)
    return tmp_path / "set"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", limit=2**20)


@pytest.fixture(autouse=True)
def _short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RUN_BYTES", 7 * ROW)


class Counted:
    """An image set that notes which images are read."""

    def __init__(self, root: Path) -> None:
        opened = open_images(root)
        self.read: list[int] = []
        self.images: ImageSet = replace(
            opened, source=lambda index: self.read.append(index) or opened.source(index)
        )

    def taken(self) -> list[int]:
        """What was read since this was asked the last time, ascending."""
        read, self.read = sorted(self.read), []
        return read


def assert_same(one: Pixels, other: Pixels) -> None:
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.labels, other.labels)
    assert one.indices == other.indices
    assert [str(error) for error in one.broken] == [str(error) for error in other.broken]
    assert one.others.keys() == other.others.keys()


def spoil(root: Path, *names: str) -> None:
    for name in names:
        (root / name).write_bytes(b"")


def test_decoded_once_and_the_same(root: Path, cache: Cache):
    counted = Counted(root)
    plain = load_pixels(open_images(root), 8)
    assert_same(cached_pixels(counted.images, 8, cache), plain)
    assert counted.taken() == list(range(COUNT))
    assert pixel_entry(cache, 8).rows == COUNT
    assert_same(cached_pixels(counted.images, 8, cache), plain)
    assert counted.taken() == []


def test_parts_share_rows_and_keep_their_order(root: Path, cache: Cache):
    counted = Counted(root)
    cached_pixels(counted.images, 8, cache, indices=range(0, COUNT, 2))
    assert counted.taken() == list(range(0, COUNT, 2))
    asked = [39, 0, 7, 7, 38, 1, 0, 20]
    found = cached_pixels(counted.images, 8, cache, indices=asked)
    assert counted.taken() == [1, 7, 7, 39]
    assert_same(found, load_pixels(open_images(root), 8, indices=asked))
    assert pixel_entry(cache, 8).rows == COUNT // 2 + 3


def test_an_image_asked_for_often_is_stored_once(root: Path, cache: Cache):
    asked = [3] * 20 + [2] * 3
    found = cached_pixels(open_images(root), 8, cache, indices=asked)
    assert_same(found, load_pixels(open_images(root), 8, indices=asked))
    assert pixel_entry(cache, 8).rows == 2


def test_a_changed_file_is_decoded_again(root: Path, cache: Cache):
    counted = Counted(root)
    cached_pixels(counted.images, 8, cache)
    counted.taken()
    Image.new("RGB", (10, 12), "red").save(root / "b/01.png")
    os.utime(root / "b/01.png", ns=(0, 1))
    found = cached_pixels(counted.images, 8, cache)
    assert counted.taken() == [20]
    assert found.images[20].flatten(1).float().mean(1).tolist() == [255, 0, 0]


def test_a_file_that_changes_while_it_is_read_is_not_stored(root: Path, cache: Cache):
    opened = open_images(root)

    def source(index: int) -> object:
        data = opened.source(index)
        if index == 5:
            os.utime(root / opened.ids[5], ns=(0, 1))
        return data

    found = cached_pixels(replace(opened, source=source), 8, cache)  # type: ignore[arg-type]
    assert len(found) == COUNT
    assert pixel_entry(cache, 8).rows == COUNT - 1
    counted = Counted(root)
    cached_pixels(counted.images, 8, cache)
    assert counted.taken() == [5]


def test_sizes_do_not_mix(root: Path, cache: Cache):
    for size in (8, 6, 8, 6):
        assert_same(
            cached_pixels(open_images(root), size, cache), load_pixels(open_images(root), size)
        )
    assert pixel_entry(cache, 8).key != pixel_entry(cache, 6).key


def test_another_decoder_does_not_read_the_rows(
    root: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
):
    counted = Counted(root)
    cached_pixels(counted.images, 8, cache)
    counted.taken()
    monkeypatch.setattr("convgraft.cache.pixel_rows.DECODER", 10**6)
    cached_pixels(counted.images, 8, cache)
    assert len(counted.taken()) == COUNT


@pytest.mark.parametrize("library", ["pillow", "torchvision", "torch"])
def test_another_version_of_a_library_does_not_read_the_rows(
    cache: Cache, library: str, monkeypatch: pytest.MonkeyPatch
):
    before, known = pixel_entry(cache, 8).key, pixel_rows.version
    monkeypatch.setattr(pixel_rows, "version", lambda n: "0" if n == library else known(n))
    assert pixel_entry(cache, 8).key != before


def test_broken_images_are_tried_again(root: Path, cache: Cache):
    spoil(root, "b/01.png", "a/38.png", "a/00.png")
    counted = Counted(root)
    plain = load_pixels(open_images(root), 8)
    for _ in range(2):
        assert_same(cached_pixels(counted.images, 8, cache), plain)
        assert {0, 19, 20} <= set(counted.taken())
    assert pixel_entry(cache, 8).rows == COUNT - 3
    with pytest.raises(BrokenImage, match=r"a/00.png is empty"):
        cached_pixels(counted.images, 8, cache, strict=True)


def test_errors_are_those_of_load_pixels(root: Path, cache: Cache):
    images = open_images(root)
    for size, indices in ((0, None), (8, [COUNT]), (8, [-1])):
        with pytest.raises(DataError):
            cached_pixels(images, size, cache, indices=indices)
    spoil(root, "a/00.png", "a/02.png")
    with pytest.raises(DataError, match="none of the 2 images"):
        cached_pixels(images, 8, cache, indices=[1, 0])
    assert cached_pixels(images, 8, cache, indices=[]).images.shape == (0, 3, 8, 8)


def test_progress_counts_up_to_all(root: Path, cache: Cache):
    seen: list[tuple[int, int]] = []
    images = open_images(root)
    cached_pixels(images, 8, cache, indices=range(10))
    for _ in range(2):
        cached_pixels(images, 8, cache, on_progress=lambda *counts: seen.append(counts))
        assert [done for done, _ in seen] == sorted({done for done, _ in seen})
        assert seen[-1] == (COUNT, COUNT)
        seen.clear()


def test_without_a_cache_or_ids_nothing_is_stored(root: Path, cache: Cache):
    plain = load_pixels(open_images(root), 8)
    assert_same(cached_pixels(open_images(root), 8, None), plain)
    assert_same(cached_pixels(replace(open_images(root), stamps=None), 8, cache), plain)
    assert not cache.folder.exists()


def test_a_limit_that_is_too_small(root: Path, cache: Cache):
    counted = Counted(root)
    cached_pixels(counted.images, 8, cache, indices=range(5))
    small = replace(cache, limit=COUNT * ROW)  # and the index has no room
    counted.taken()
    assert_same(cached_pixels(counted.images, 8, small), load_pixels(open_images(root), 8))
    assert counted.taken() == list(range(5, COUNT))
    assert pixel_entry(cache, 8).rows == 5


def test_damaged_rows_are_decoded_anew(root: Path, cache: Cache):
    counted = Counted(root)
    plain = cached_pixels(counted.images, 8, cache)
    counted.taken()
    (rows,) = cache.folder.rglob("rows.bin")
    data = bytearray(rows.read_bytes())
    data[8 * ROW] ^= 1  # in the second run of seven
    rows.write_bytes(data)
    assert_same(cached_pixels(counted.images, 8, cache), plain)
    assert counted.taken() == list(range(7, 14))
    assert_same(cached_pixels(counted.images, 8, cache), plain)
    assert counted.taken() == []


def test_a_full_disk_costs_the_store_and_not_the_run(
    root: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
):
    written: list[int] = []

    def full(file: object, rows: object) -> None:
        written.append(1)
        if len(written) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(file, rows)  # type: ignore[arg-type]

    original = writer.write_all
    monkeypatch.setattr(writer, "write_all", full)
    with pytest.warns(UserWarning, match="not stored: the disk is full") as told:
        found = cached_pixels(open_images(root), 8, cache)
    assert (len(told), len(written)) == (1, 3)
    assert_same(found, load_pixels(open_images(root), 8))
    assert pixel_entry(cache, 8).rows == 14


def test_a_cache_folder_that_cannot_be_written(root: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="decoded and not stored"):
        found = cached_pixels(open_images(root), 8, Cache(tmp_path / "file", limit=2**20))
    assert_same(found, load_pixels(open_images(root), 8))


def test_digits(cache: Cache):
    digits = open_images("digits")
    for _ in range(2):
        found = cached_pixels(digits, 8, cache, indices=range(100))
        assert_same(found, load_pixels(digits, 8, indices=range(100)))


def gathered(batches: Iterator[tuple[tuple[int, ...], Tensor]]) -> tuple[list[int], Tensor]:
    indices: list[int] = []
    pixels: list[Tensor] = []
    for kept, images in batches:
        assert len(kept) == len(images)
        indices += kept
        pixels.append(images)
    return indices, torch.cat(pixels)


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_a_stream_is_in_the_order_asked_for(root: Path, cache: Cache, batch: int):
    counted = Counted(root)
    cached_pixels(counted.images, 8, cache, indices=range(0, COUNT, 3))
    counted.taken()
    order = [*np.random.default_rng(1).permutation(COUNT).tolist(), 0, 1]
    plain = load_pixels(open_images(root), 8, indices=order)
    indices, pixels = gathered(
        stream_pixels(counted.images, 8, cache, indices=order, batch=batch, workers=3)
    )
    assert indices == order
    assert torch.equal(pixels, plain.images)
    assert set(counted.taken()) == {index for index in range(COUNT) if index % 3}
    assert pixel_entry(cache, 8).rows == len(range(0, COUNT, 3))


def test_a_stream_without_a_cache_and_with_broken_images(root: Path):
    spoil(root, "a/00.png", "a/02.png", "a/04.png", "b/39.png")
    images = open_images(root)
    broken: list[BrokenImage] = []
    indices, pixels = gathered(
        stream_pixels(images, 8, None, indices=range(COUNT), batch=3, broken=broken)
    )
    plain = load_pixels(images, 8)
    assert indices == list(plain.indices) == list(range(3, COUNT - 1))
    assert torch.equal(pixels, plain.images)
    assert [str(e) for e in broken] == [str(e) for e in plain.broken]
    with pytest.raises(BrokenImage, match=r"a/00.png"):
        gathered(stream_pixels(images, 8, None, indices=range(COUNT), batch=9, strict=True))


def test_a_stream_is_only_a_little_ahead(root: Path):
    counted = Counted(root)
    batches = stream_pixels(counted.images, 8, None, indices=range(COUNT), batch=4)
    next(batches)
    assert len(counted.taken()) <= 12
    batches.close()  # type: ignore[attr-defined]
    assert next(batches, None) is None


def test_a_stream_passes_over_damaged_rows(root: Path, cache: Cache):
    images = open_images(root)
    plain = cached_pixels(images, 8, cache)
    (rows,) = cache.folder.rglob("rows.bin")
    rows.write_bytes(rows.read_bytes()[: 20 * ROW])
    _, pixels = gathered(stream_pixels(images, 8, cache, indices=range(COUNT), batch=16))
    assert torch.equal(pixels, plain.images)
