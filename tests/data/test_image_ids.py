import os
from collections.abc import Callable
from pathlib import Path
from time import process_time

import numpy as np
import pyarrow as pa
import pytest

from convgraft.cli.demo import pretraining_half
from convgraft.data import ImageSet, Split, image_ids, open_images
from convgraft.data.imageset import with_columns

Folder = Callable[..., Path]
Write = Callable[..., Path]


def ids_of(images: ImageSet) -> list[int]:
    ids = image_ids(images, range(len(images)))
    assert ids is not None
    assert (ids.dtype, ids.shape) == (np.uint64, (len(images),))
    return ids.tolist()


def later(path: Path) -> None:
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))


def test_equal_at_every_opening_and_all_different(folder: Folder):
    root = folder("a/1.png", "a/2.png", "b/1.png")
    ids = ids_of(open_images(root))
    assert ids == ids_of(open_images(root))
    assert len(set(ids)) == 3


def test_they_follow_the_indices(folder: Folder):
    images = open_images(folder("a/1.png", "a/2.png", "b/1.png"))
    ids = ids_of(images)
    asked = image_ids(images, np.array([2, 0, 0]))
    assert asked is not None and asked.tolist() == [ids[2], ids[0], ids[0]]
    none = image_ids(images, [])
    assert none is not None and none.shape == (0,)


def test_a_touched_file_and_one_rewritten_at_equal_size(folder: Folder):
    root = folder("a/1.png", "a/2.png", "b/1.png")
    images = open_images(root)
    before = ids_of(images)
    later(root / "a/1.png")
    data = bytearray((root / "b/1.png").read_bytes())
    data[-20] ^= 1
    (root / "b/1.png").write_bytes(data)
    later(root / "b/1.png")  # a clock may be too coarse to tell
    assert [old == new for old, new in zip(before, ids_of(images), strict=True)] == [
        False,
        True,
        False,
    ]


def test_another_size_at_the_old_time(folder: Folder):
    root = folder("a/1.png", "b/1.png")
    path = root / "a/1.png"
    before, state = ids_of(open_images(root)), path.stat()
    path.write_bytes(path.read_bytes() + b"x")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    after = ids_of(open_images(root))
    assert (before[0] != after[0], before[1] == after[1]) == (True, True)


def test_a_renamed_file_and_a_moved_set(folder: Folder, tmp_path: Path):
    root = folder("a/1.png", "a/2.png", "b/1.png")
    before = ids_of(open_images(root))
    (root / "a/2.png").rename(root / "a/3.png")
    renamed = ids_of(open_images(root))
    assert [old == new for old, new in zip(before, renamed, strict=True)] == [True, False, True]
    root.rename(tmp_path / "elsewhere")
    assert not set(renamed) & set(ids_of(open_images(tmp_path / "elsewhere")))


def test_an_added_file_leaves_the_others(folder: Folder):
    root = folder("a/1.png", "a/3.png", "b/1.png")
    before = ids_of(open_images(root))
    folder("a/2.png")
    after = ids_of(open_images(root))
    assert [after[0], after[2], after[3]] == before
    assert after[1] not in before


def test_the_place_as_typed_does_not_count(folder: Folder, monkeypatch: pytest.MonkeyPatch):
    root = folder("a/1.png", "b/1.png")
    monkeypatch.chdir(root.parent)
    assert ids_of(open_images(root.name)) == ids_of(open_images(root))


def test_a_file_that_is_gone(folder: Folder):
    root = folder("a/1.png", "b/1.png")
    images = open_images(root)
    before = ids_of(images)
    (root / "a/1.png").unlink()
    after = ids_of(images)
    assert (after[0] != before[0], after[1] == before[1]) == (True, True)


def test_labels_do_not_count(folder: Folder, tmp_path: Path):
    root = folder("cat/1.png", "dog/1.png", "car/1.png")
    (tmp_path / "map.yaml").write_text("alive: {cat: yes, dog: yes, car: no}")
    mapped = open_images(root, label_map=tmp_path / "map.yaml")
    assert ids_of(mapped) == ids_of(open_images(root))


def test_rows_of_parquet_whatever_the_target(tmp_path: Path, write_parquet: Write, structs):
    columns = {"img": structs(7), "fine": [0, 1, 2] * 2 + [0], "coarse": [0, 1] * 3 + [0]}
    path = write_parquet(tmp_path / "x.parquet", columns)
    images = open_images(path, target="fine")
    ids = ids_of(images)
    assert len(set(ids)) == 7
    assert ids == ids_of(open_images(path, target=("coarse", "fine")))
    later(path)
    assert not set(ids) & set(ids_of(open_images(path, target="fine")))


def test_a_parquet_file_that_changed_after_it_was_opened(
    tmp_path: Path, write_parquet: Write, structs
):
    """Its row groups may be the old ones, so they must not pass for those of the new file."""
    path = write_parquet(tmp_path / "x.parquet", {"img": structs(4), "label": [0, 1] * 2})
    images = open_images(path)
    old = ids_of(images)
    later(path)
    stale, new = ids_of(images), ids_of(open_images(path))
    assert len({*old, *stale, *new}) == 12


def test_a_picture_beside_a_parquet_file(folder: Folder, tmp_path: Path, write_parquet: Write):
    root = folder("1.png", "2.png")
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    paths = ["1.png", "2.png", "../x.png", None]
    values = [{"bytes": None, "path": path} for path in paths]
    whole = [{"bytes": (root / "1.png").read_bytes(), "path": "x.png"}] * 3
    file = write_parquet(
        root / "x.parquet", {"image": pa.array(values + whole, kind), "label": [0, 1] * 3 + [0]}
    )
    images = open_images(file)
    before = ids_of(images)
    assert len(set(before)) == 7
    later(root / "2.png")
    after = ids_of(images)
    assert [old == new for old, new in zip(before, after, strict=True)] == [
        row != 1 for row in range(7)
    ]


def test_nothing_is_said_where_the_footer_says_nothing(tmp_path: Path, structs):
    table = pa.table({"image": structs(4), "label": [0, 1] * 2})
    pa.parquet.write_table(table, tmp_path / "x.parquet", write_statistics=False)
    assert image_ids(open_images(tmp_path / "x.parquet"), [0]) is None


def test_digits_and_a_part_of_them():
    images = open_images("digits")
    ids = ids_of(images)
    assert len(set(ids)) == 1797
    split = Split(seed=0, train=(0, 5), val=(6,), test=(7,))
    half = pretraining_half(images, split, range(5, 10))
    kept = [images.ids.index(id) for id in half.ids]
    assert ids_of(half) == [ids[index] for index in kept]
    assert ids_of(with_columns(images, ())) == ids


def test_a_hundred_thousand_are_quick(folder: Folder):
    images = open_images(folder("a/1.png", "b/1.png"))
    started = process_time()
    image_ids(images, [0, 1] * 50_000)
    assert process_time() - started < 3
