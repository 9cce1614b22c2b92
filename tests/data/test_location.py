from collections.abc import Callable
from pathlib import Path

import pytest

from convgraft.data import open_images
from convgraft.errors import DataError

Folder = Callable[..., Path]


def error(location: str | Path, target: str | list[str] | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        open_images(location, target=target)
    return caught.value


def test_the_location_is_kept_as_typed(folder: Folder, monkeypatch: pytest.MonkeyPatch):
    root = folder("a/1.png", "b/1.png")
    monkeypatch.chdir(root.parent)
    assert open_images("./set").location == "./set"


def test_digits_is_a_word_and_a_path_can_still_name_a_folder(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(folder("a/1.png", "b/1.png", root="digits").parent)
    assert open_images("digits").kind == "digits"
    assert open_images("./digits").kind == "folder"
    assert open_images(Path("digits")).kind == "folder"


def test_a_missing_path_shows_its_near_misses(folder: Folder):
    root = folder("a/1.png", "b/1.png", root="natural_images")
    wrong = error(root.parent / "natural_image")
    assert wrong.hint == "did you mean natural_images?"
    deep = error(root.parent / "natural_image" / "train")
    assert deep.found == f"{root.parent} has no natural_image"
    assert deep.hint == "did you mean natural_images?"


def test_no_location():
    assert error("").what == "no location of images is given"


def test_a_file_is_not_a_set(folder: Folder):
    root = folder("a/1.png", "b/1.png")
    assert error(root / "a/1.png").what.endswith("is a single image")
    (root / "list.csv").write_text("id")
    assert error(root / "list.csv").what.endswith("is a file of another kind")


def test_a_target_is_for_parquet_only(folder: Folder):
    assert "has no label column fine" in error(folder("a/1.png", "b/1.png"), "fine").what
    assert "has no label column fine" in error("digits", "fine").what


def test_folders_and_digits_have_one_column_named_label(folder: Folder):
    root = folder("a/1.png", "b/1.png")
    for location in (root, "digits"):
        plain, named = open_images(location), open_images(location, target=["label"])
        assert (named.target, named.others) == (None, {})
        assert named.fingerprint == plain.fingerprint
        wrong = error(location, ["label", "kind"])
        assert "has no label column kind" in wrong.what
        assert wrong.hint is not None
        assert "label map" in wrong.hint


def test_columns_that_cannot_be_told_apart():
    assert error("digits", ["label", "label"]).found == "label, label"
    assert "cannot be told apart" in error("digits", [""]).what
