from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from convgraft.data import open_images
from convgraft.errors import DataError

Folder = Callable[..., Path]


def error(root: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        open_images(root)
    return caught.value


def test_class_folders(folder: Folder):
    images = open_images(folder("dog/2.PNG", "cat/deep/1.png", "dog/10.png", ".git/x.png"))
    assert (images.kind, images.target, images.parts) == ("folder", None, None)
    assert images.classes == ("cat", "dog")
    assert images.ids == ("cat/deep/1.png", "dog/10.png", "dog/2.PNG")
    assert images.labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_parts_above_the_classes(folder: Folder, val: str):
    root = folder("train/a/1.png", "train/b/1.png", f"{val}/b/1.png", "test/a/1.png")
    images = open_images(root)
    assert images.classes == ("a", "b")
    assert images.parts == ("train", "train", "val", "test")
    assert images.labels.tolist() == [0, 1, 1, 0]
    assert images.ids[2:] == (f"{val}/b/1.png", "test/a/1.png")


def test_train_and_test_can_be_classes(folder: Folder):
    assert open_images(folder("train/1.png", "test/1.png")).classes == ("test", "train")
    images = open_images(folder("train/1.png", "plane/old/1.png", root="vehicles"))
    assert (images.classes, images.parts) == (("plane", "train"), None)


def test_no_class_folders(folder: Folder):
    wrong = error(folder("1.png", "2.png"))
    assert wrong.what.endswith("has no class folders")
    assert wrong.found == "2 images directly in it"


def test_all_empty_class_folders_are_named(folder: Folder):
    root = folder("a/1.png", "b/1.png")
    for name in ("empty", "notes"):
        (root / name).mkdir()
    (root / "notes/x.txt").write_text("no image")
    assert error(root).what.endswith("has class folders without images: empty, notes")


def test_no_images_at_all_says_what_is_there(folder: Folder):
    root = folder("a/1.heic", "b/1.heic", "b/2.heic")
    wrong = error(root)
    assert wrong.what.startswith("there are no images in")
    assert wrong.found == "3 x .heic"


def test_one_class_only(folder: Folder):
    assert error(folder("a/1.png")).found == "a"
    wrapped = error(folder("all/a/1.png", "all/b/1.png", root="zip"))
    assert wrapped.hint is not None
    assert "zip/all" in wrapped.hint


def test_a_class_that_train_does_not_know(folder: Folder):
    wrong = error(folder("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png"))
    assert wrong.what.endswith("test has classes that train does not: c")


def test_a_class_may_be_missing_from_test(folder: Folder):
    images = open_images(folder("train/a/1.png", "train/b/1.png", "test/a/1.png"))
    assert images.classes == ("a", "b")


def test_split_folders_that_cannot_be_used(folder: Folder):
    mixed = error(folder("train/a/1.png", "test/a/1.png", "extra/1.png", root="mixed"))
    assert mixed.what.endswith("mixes split folders with others: extra")
    headless = error(folder("val/a/1.png", "test/a/1.png", root="headless"))
    assert headless.found == "test, val"
    twice = error(folder("train/a/1.png", "val/a/1.png", "valid/a/1.png", root="twice"))
    assert twice.found == "train, val, valid"


def test_natural_images(real_data: Path):
    images = open_images(real_data / "natural_images")
    counts = Counter(images.classes[label] for label in images.labels)
    assert counts == {
        "airplane": 727,
        "car": 968,
        "cat": 885,
        "dog": 702,
        "flower": 843,
        "fruit": 1000,
        "motorbike": 788,
        "person": 986,
    }
    assert images.ids[0] == "airplane/airplane_0000.jpg"


def test_cifar10_small(real_data: Path):
    images = open_images(real_data / "cifar10_small")
    assert len(images.classes) == 10
    assert images.parts is not None
    assert Counter(images.parts) == {"train": 5000, "test": 1000}
