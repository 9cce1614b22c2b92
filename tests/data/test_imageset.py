from collections.abc import Callable
from pathlib import Path

import pytest

from convgraft.data import BrokenImage, open_images
from convgraft.data.imageset import ImageSet

Folder = Callable[..., Path]
NAMES = ("a/1.png", "a/2.png", "b/1.png")


def test_raw_is_the_file_and_read_its_pixels(folder: Folder):
    root = folder(*NAMES)
    images = open_images(root)
    assert images.raw(1) == (root / "a/2.png").read_bytes()
    assert images.read(1).shape == (3, 6, 5)
    assert len(images) == 3


def test_labels_cannot_be_written(folder: Folder):
    with pytest.raises(ValueError, match="read-only"):
        open_images(folder(*NAMES)).labels[0] = 1


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_outside_is_refused(folder: Folder, index: int):
    with pytest.raises(IndexError):
        open_images(folder(*NAMES)).raw(index)


def test_a_file_that_went_away_is_broken(folder: Folder):
    root = folder(*NAMES)
    images = open_images(root)
    (root / "b/1.png").unlink()
    with pytest.raises(BrokenImage, match=r"b/1.png cannot be read"):
        images.raw(2)


def test_a_broken_file_is_named(folder: Folder):
    root = folder(*NAMES)
    (root / "b/1.png").write_bytes(b"<html>")
    with pytest.raises(BrokenImage, match=r"b/1.png is not an image \(starts with '<html>'\)"):
        open_images(root).read(2)


def added(root: Path) -> None:
    (root / "b/2.png").write_bytes(b"x")


def removed(root: Path) -> None:
    (root / "a/2.png").unlink()


def resized(root: Path) -> None:
    (root / "a/2.png").write_bytes((root / "a/2.png").read_bytes() + b"x")


def relabelled(root: Path) -> None:
    (root / "a/2.png").rename(root / "b/2.png")


def renamed_class(root: Path) -> None:
    (root / "b").rename(root / "c")


@pytest.mark.parametrize("change", [added, removed, resized, relabelled, renamed_class])
def test_the_fingerprint_changes_with(folder: Folder, change: Callable[[Path], None]):
    root = folder(*NAMES)
    before = open_images(root).fingerprint
    assert open_images(root).fingerprint == before
    assert len(before) == 64
    change(root)
    assert open_images(root).fingerprint != before


def test_the_fingerprint_does_not_change_with_the_place(folder: Folder):
    one, other = (open_images(folder(*NAMES, root=root)) for root in ("one", "other"))
    assert one.fingerprint == other.fingerprint
    assert one.location != other.location


def test_it_shows_in_one_line_however_large(folder: Folder):
    images = open_images(folder(*NAMES))
    assert isinstance(images, ImageSet)
    assert not any(word in repr(images) for word in ("source", "ids", "labels"))
