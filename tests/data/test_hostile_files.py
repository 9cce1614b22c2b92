"""Files that are no pictures and tables that lie: named, and never waited for."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from convgraft.data import (
    BrokenImage,
    conflict_words,
    find_conflicts,
    image_digests,
    load_pixels,
    open_images,
    read_split,
    split_images,
    write_split,
)
from convgraft.data.decode import UNTOLD, claimed_size
from convgraft.data.file_bytes import file_bytes
from convgraft.errors import DataError

Folder = Callable[..., Path]


def test_pipes_devices_and_loops_are_named_and_left_out(folder: Folder):
    root = folder("a/1.png", "a/2.png", "b/1.png", "b/2.png")
    os.mkfifo(root / "a" / "pipe.jpg")
    (root / "a" / "device.jpg").symlink_to("/dev/zero")
    (root / "a" / "loop.jpg").symlink_to("loop.jpg")
    broken = load_pixels(open_images(root), 4).broken
    assert {image.id: image.reason for image in broken} == {
        "a/device.jpg": "is not an ordinary file",
        "a/loop.jpg": "cannot be read (Too many levels of symbolic links)",
        "a/pipe.jpg": "is not an ordinary file",
    }


def test_files_that_cannot_be(tmp_path: Path):
    for path, words in (
        (tmp_path, "is a folder"), ("a\0b", "null character"), ("x" * 300, "too long"),
    ):  # fmt: skip
        with pytest.raises(BrokenImage, match=words):
            file_bytes(path, id="it")


def test_a_link_to_a_folder_above_its_class_is_not_followed(folder: Folder):
    root = folder("a/1.png", "b/1.png")
    (root / "b" / "above").symlink_to("..", target_is_directory=True)
    assert open_images(root).ids == ("a/1.png", "b/1.png")


def test_a_carriage_return_in_a_name_stays_in_the_split(folder: Folder, tmp_path: Path):
    images = open_images(folder("a/1\r.png", "a/2.png", "b/1\r\n.png", "b/2.png"))
    split = split_images(images, seed=0)
    write_split(tmp_path / "split.csv", images, split)
    assert read_split(tmp_path / "split.csv", images) == split


def test_a_seed_beyond_any_is_no_split(folder: Folder, tmp_path: Path):
    images = open_images(folder("a/1.png", "b/1.png"))
    head = f"# convgraft split, seed {'9' * 5000}, images {images.fingerprint}\nid,part\n"
    (tmp_path / "split.csv").write_text(head)
    with pytest.raises(DataError, match="is not a split"):
        read_split(tmp_path / "split.csv", images)


def test_a_class_whose_name_is_no_text_is_refused(folder: Folder):
    root = folder("a/1.png", "b/1.png")
    (root / "b").rename(root / os.fsdecode(b"b\xff"))
    with pytest.raises(DataError, match="no UTF-8") as caught:
        open_images(root)
    assert caught.value.found == "b\\xff"


def test_the_message_of_a_broken_image_is_one_line_of_text():
    assert str(BrokenImage("a\n\x1b\udcff.png", "is empty")) == "a\\n\\x1b\\xff.png is empty"


def test_the_claimed_size(png: Callable[..., bytes]):
    assert claimed_size(png(0, 3, 7)) == (7, 3)
    assert claimed_size(b"nothing") is None
    huge = png(0).replace((5).to_bytes(4) + (6).to_bytes(4), b"\x7f\xff\xff\xff" * 2)
    assert claimed_size(huge) in (None, (UNTOLD, UNTOLD))


def test_one_picture_with_two_labels_is_told(folder: Folder):
    root = folder("a/1.png", "a/2.png", "b/1.png", "b/2.png")
    (root / "b" / "3.png").write_bytes((root / "a" / "1.png").read_bytes())
    (root / "b" / "4.png").write_bytes((root / "b" / "1.png").read_bytes())  # no conflict
    images = open_images(root)
    (found,) = find_conflicts(images, image_digests(images, range(len(images))))
    assert found.places == (("a", "a/1.png"), ("b", "b/3.png"))
    assert conflict_words([found]) == (
        f"1 picture has several labels, of which one at most is right:\n  {found}"
    )
    assert len(found.digest) == 64
    assert str(found) == f"sha256 {found.digest[:12]}: a a/1.png, b b/3.png"
    assert conflict_words([found] * 5).endswith("\n  and 2 more") and not conflict_words([])


def write(path: Path, table: pa.Table, **noted: str) -> Path:
    parquet.write_table(table.replace_schema_metadata(noted), path)
    return path


def refused(path: Path, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load_pixels(open_images(path), 4)


def test_tables_that_lie(tmp_path: Path, structs: Callable):
    path, image = tmp_path / "t.parquet", pa.array(structs(4))
    for labels, words in (
        (pa.array([1, 2**64 - 1] * 2, pa.uint64()), "too large"),
        (pa.array([b"\xff", b"a"] * 2).view(pa.string()), "cannot be read"),
    ):
        refused(write(path, pa.table({"image": image, "label": labels})), words)
    twice = pa.Table.from_arrays([image, image, pa.array([0, 1] * 2)], ["image", "image", "label"])
    refused(write(path, twice), "several columns with one name")
    for odd in ({"bytes": "text"}, {"path": 3}):
        refused(write(path, pa.table({"image": [odd] * 4, "label": [0, 1] * 2})), "no image column")
    names = {"info": {"features": {"label": {"_type": "ClassLabel", "names": ["a", "a"]}}}}
    table = pa.table({"image": image, "label": [0, 1] * 2})
    refused(write(path, table, huggingface=json.dumps(names)), "have one name")
    assert len(open_images(write(path, table, huggingface="[" * 100_000))) == 4


def test_a_name_that_claims_any_number_of_shards(tmp_path: Path, structs: Callable):
    table = pa.table({"image": structs(2), "label": [0, 1]})
    write(tmp_path / "train-00000-of-99999999999.parquet", table)
    refused(tmp_path, "lacks 99999999998 of its Parquet files")
