from collections.abc import Callable
from pathlib import Path

import pytest

from convgraft.data.walk import images_below, is_image, subfolders, visible
from convgraft.errors import DataError

Folder = Callable[..., Path]


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.Png", "a.b.tif", "a.webp", "a.PGM"])
def test_image_names(name: str):
    assert is_image(name)


@pytest.mark.parametrize("name", ["a.txt", "jpg", "a.jpg.part", "a.svg", "a"])
def test_other_names(name: str):
    assert not is_image(name)


def test_images_at_any_depth_sorted_without_hidden_ones(folder: Folder):
    root = folder("c/b.png", "c/a/z.png", "c/a/.h.png", "c/.h/a.png", "c/A.png", "d/x.png")
    (root / "c/notes.txt").write_text("no image")
    found = images_below(root, root / "c")
    assert [file.id for file in found] == ["c/A.png", "c/a/z.png", "c/b.png"]
    assert [file.size for file in found] == [(root / f.id).stat().st_size for f in found]


def test_links_are_followed_but_not_in_circles(folder: Folder):
    root = folder("c/a.png", "d/b.png")
    (root / "c/other").symlink_to(root / "d", target_is_directory=True)
    (root / "c/back").symlink_to(root / "c", target_is_directory=True)
    (root / "c/gone.png").symlink_to(root / "nowhere.png")
    found = images_below(root, root / "c")
    assert [file.id for file in found] == ["c/a.png", "c/gone.png", "c/other/b.png"]
    assert found[1].size == -1


def test_subfolders_and_an_unlistable_folder(folder: Folder):
    root = folder("b/a.png", "a/a.png", ".c/a.png")
    assert [path.name for path in subfolders(root)] == ["a", "b"]
    with pytest.raises(DataError, match="cannot list"):
        visible(root / "missing")
