"""The same picture in two parts is named by hash and by both ids."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from convgraft.data import ImageSet, Split, find_leaks, image_digests, leak_words, open_images


def pictures(folder: Path, names: list[str]) -> ImageSet:
    """A class folder for each first letter; every picture another one."""
    rng = np.random.default_rng(0)
    for name in names:
        path = folder / name[0] / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(path)
    return open_images(str(folder))


def copy(folder: Path, of: str, to: str) -> str:
    """Put one picture's bytes in another one's place; their sha256."""
    data = (folder / f"{of}.png").read_bytes()
    (folder / f"{to}.png").write_bytes(data)
    return hashlib.sha256(data).hexdigest()


NAMES = ["a1", "a2", "a3", "b1", "b2", "b3"]  # indices 0 to 5
SPLIT = Split(train=(0, 3), val=(1, 4), test=(2, 5), seed=0)


def test_pictures_that_differ_are_no_leak(tmp_path: Path) -> None:
    images = pictures(tmp_path, NAMES)
    assert find_leaks(images, SPLIT) == ()
    assert leak_words(()) == ""


def test_a_planted_leak_is_named_by_hash_and_both_ids(tmp_path: Path) -> None:
    images = pictures(tmp_path, NAMES)
    digest = copy(tmp_path, "a/a1", "b/b3")
    (leak,) = find_leaks(images, SPLIT)
    assert (leak.digest, leak.tested) == (digest, True)
    assert leak.places == (("train", "a/a1.png"), ("test", "b/b3.png"))
    assert leak_words([leak]).splitlines() == [
        "1 picture is in more than one part of the split, 1 of them in the test part:",
        f"  sha256 {digest[:12]}: train a/a1.png, test b/b3.png",
    ]


def test_copies_within_a_part_and_out_of_the_split_are_no_leak(tmp_path: Path) -> None:
    images = pictures(tmp_path, NAMES)
    copy(tmp_path, "a/a1", "b/b1")
    assert find_leaks(images, SPLIT) == ()
    copy(tmp_path, "a/a1", "b/b3")
    assert find_leaks(images, Split((0, 3), (1, 4), (2,), 0)) == ()
    (leak,) = find_leaks(images, SPLIT)
    assert [part for part, _ in leak.places] == ["train", "train", "test"]


def test_a_copy_between_training_and_validation_is_a_leak_that_is_not_tested(
    tmp_path: Path,
) -> None:
    images = pictures(tmp_path, NAMES)
    copy(tmp_path, "a/a1", "a/a2")
    (leak,) = find_leaks(images, SPLIT)
    assert not leak.tested
    assert "0 of them in the test part" in leak_words([leak])


def test_files_that_are_empty_or_gone_are_no_copies_of_each_other(tmp_path: Path) -> None:
    images = pictures(tmp_path, NAMES)
    for name in ("a/a1", "b/b3"):
        (tmp_path / f"{name}.png").write_bytes(b"")
    (tmp_path / "a" / "a2.png").unlink()
    assert find_leaks(images, SPLIT) == ()
    assert sorted(image_digests(images, range(6))) == [2, 3, 4]


def test_what_was_read_before_is_not_read_again(tmp_path: Path) -> None:
    images = pictures(tmp_path, NAMES)
    copy(tmp_path, "a/a1", "b/b3")
    known = image_digests(images, range(6))
    for name in NAMES:
        (tmp_path / name[0] / f"{name}.png").unlink()
    assert len(find_leaks(images, SPLIT, known=known)) == 1


def test_the_digits_are_all_different() -> None:
    digits = open_images("digits")
    assert len(set(image_digests(digits, range(len(digits))).values())) == len(digits)


def test_many_leaks_are_counted_and_a_few_named(tmp_path: Path) -> None:
    names = [f"{letter}{number}" for letter in "ab" for number in range(5)]
    images = pictures(tmp_path, names)
    for number in range(5):
        copy(tmp_path, f"a/a{number}", f"b/b{number}")
    told = leak_words(find_leaks(images, Split(tuple(range(5)), (), tuple(range(5, 10)), 0)))
    assert told.startswith("5 pictures are in more than one part")
    assert told.count("sha256") == 3 and told.endswith("and 2 more")
