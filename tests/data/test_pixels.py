from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from convgraft.data import BrokenImage, ImageSet, load_pixels, open_images, pixels
from convgraft.errors import DataError, RunError


@pytest.fixture
def root(folder: Callable[..., Path]) -> Path:
    return folder(*(f"{name}/{number:03}.png" for name in "ab" for number in range(70)))


@pytest.fixture
def images(root: Path) -> ImageSet:
    return open_images(root)


def test_rows_are_the_images_resized_one_by_one(images: ImageSet):
    loaded = load_pixels(images, 4)
    assert (loaded.images.dtype, loaded.images.shape) == (torch.uint8, (140, 3, 4, 4))
    for row in (0, 69, 139):
        naive = functional.resize(images.read(row), [4, 4], antialias=True)
        assert (loaded.images[row] == naive).all()
    assert loaded.labels.tolist() == [0] * 70 + [1] * 70
    assert (loaded.indices, loaded.broken) == (tuple(range(140)), ())


def test_an_image_of_that_size_is_untouched():
    digits = open_images("digits")
    loaded = load_pixels(digits, 8, indices=range(50))
    assert all((loaded.images[row] == digits.read(row)).all() for row in range(50))


def test_workers_do_not_change_the_result_or_the_threads(images: ImageSet):
    threads = torch.get_num_threads()
    results = [load_pixels(images, 7, workers=workers).images for workers in (0, 1, 4)]
    assert all((result == results[0]).all() for result in results)
    assert torch.get_num_threads() == threads


def test_the_order_of_indices_is_kept(images: ImageSet):
    loaded = load_pixels(images, 4, indices=[100, 3, 3, 20])
    whole = load_pixels(images, 4)
    assert loaded.indices == (100, 3, 3, 20)
    assert (loaded.images == whole.images[[100, 3, 3, 20]]).all()
    assert loaded.labels.tolist() == [1, 0, 0, 0]


def test_no_indices_no_rows(images: ImageSet):
    assert load_pixels(images, 4, indices=[]).images.shape == (0, 3, 4, 4)


def spoil(root: Path) -> None:
    (root / "a/069.png").write_bytes(b"")
    (root / "a/002.png").write_bytes(b"<html>")


def test_broken_images_are_left_out_and_listed(root: Path):
    whole = load_pixels(open_images(root), 4)
    spoil(root)
    loaded = load_pixels(open_images(root), 4)
    kept = [row for row in range(140) if row not in (2, 69)]
    assert loaded.indices == tuple(kept)
    assert (loaded.images == whole.images[kept]).all()
    assert (loaded.labels == whole.labels[kept]).all()
    assert [error.id for error in loaded.broken] == ["a/002.png", "a/069.png"]
    assert loaded.broken[1].reason == "is empty"


@pytest.mark.parametrize("workers", [1, 3])
def test_strict_raises_the_first(root: Path, workers: int):
    spoil(root)
    with pytest.raises(BrokenImage, match=r"a/002.png is not an image"):
        load_pixels(open_images(root), 4, strict=True, workers=workers)


def test_everything_broken(folder: Callable[..., Path]):
    root = folder("a/1.png", "b/1.png")
    for name in "ab":
        (root / name / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of the 2 images") as caught:
        load_pixels(open_images(root), 4)
    assert caught.value.found == "a/1.png is empty"


def test_progress_counts_up_to_all(images: ImageSet):
    seen: list[tuple[int, int]] = []
    load_pixels(images, 4, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(64, 140), (128, 140), (140, 140)]


def test_large_sets_live_in_a_file_that_has_no_name(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    spoil(root)
    images = open_images(root)
    small = load_pixels(images, 4)
    monkeypatch.setattr(pixels, "IN_MEMORY_BYTES", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    mapped: list[object] = []
    original = np.memmap
    monkeypatch.setattr(np, "memmap", lambda *a, **k: mapped.append(1) or original(*a, **k))
    large = load_pixels(images, 4)
    assert mapped
    assert (large.images == small.images).all()
    assert not list((tmp_path / "scratch").iterdir())


def test_a_disk_that_is_too_small(images: ImageSet, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(RunError, match="do not fit"):
        load_pixels(images, 2_000_000)


@pytest.mark.parametrize(("size", "indices"), [(0, None), (4, [-1]), (4, [140])])
def test_arguments_out_of_range(images: ImageSet, size: int, indices: list[int] | None):
    with pytest.raises(DataError):
        load_pixels(images, size, indices=indices)


def test_real_images(real_data: Path):
    images = open_images(real_data / "natural_images")
    loaded = load_pixels(images, 30, indices=range(0, 6899, 100))
    assert loaded.images.shape == (69, 3, 30, 30)
    assert loaded.broken == ()
