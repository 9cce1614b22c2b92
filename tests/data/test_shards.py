"""Tar shards as an image set."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from convgraft.data import (
    BrokenImage,
    find_leaks,
    image_ids,
    open_images,
    read_split,
    split_images,
    write_split,
)
from convgraft.data import shard_index as kept
from convgraft.errors import DataError

Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVGRAFT_CACHE", str(tmp_path / "store"))
    return tmp_path / "store"


def test_pictures_and_labels_are_those_that_were_written(shards: Make, png: Make) -> None:
    images = open_images(shards(4, 3, 5))
    assert images.kind == "shards" and images.streams and images.target == "cls"
    assert images.classes == ("0", "1", "2")
    assert images.labels.tolist() == [row % 3 for row in range(12)]
    assert images.ids[4] == "a-001.tar#0004"
    assert [images.raw(row) for row in range(12)] == [png(row) for row in range(12)]
    assert images.layout is not None and images.layout.lengths == (4, 3, 5)
    assert images.layout.run_of([0, 3, 4, 11]).tolist() == [0, 0, 1, 2]


def test_one_shard_a_pattern_and_a_file_url_are_sets_too(shards: Make) -> None:
    folder = shards(4, 3, 5)
    assert len(open_images(folder / "a-002.tar")) == 5
    assert len(open_images(f"{folder}/a-{{000..001}}.tar")) == 7
    assert len(open_images(f"file://{folder}/a-{{001,002}}.tar")) == 8
    assert open_images(f"file://{folder}").fingerprint == open_images(folder).fingerprint
    with pytest.raises(DataError, match="names 1 files that are not there"):
        open_images(f"{folder}/a-{{000..003}}.tar")


def test_a_set_that_moved_is_the_same_set(shards: Make) -> None:
    before = open_images(shards(3, 3)).fingerprint
    assert open_images(shards(3, 3, root="elsewhere")).fingerprint == before
    assert open_images(shards(3, 4, root="another")).fingerprint != before


def test_labels_in_json(tmp_path: Path, png: Make, write_tar: Make) -> None:
    members = {}
    for row in range(6):
        fields = {"fine": row, "kind": "ab"[row % 2], "text": "x" * 300, "box": [1]}
        if row == 5:
            del fields["kind"]
        members |= {f"{row}.png": png(row), f"{row}.json": json.dumps(fields)}
    path = write_tar(tmp_path / "x.tar", members)
    with pytest.raises(DataError, match="several possible labels") as told:
        open_images(path)
    assert told.value.found == "fine, kind"
    assert open_images(path, target="fine").classes == tuple("012345")
    both = open_images(path, target=["fine", "kind"])
    assert both.others["kind"].labels.tolist() == [0, 1, 0, 1, 0, -1]
    alone = open_images(path, target="kind")
    with pytest.raises(BrokenImage, match=r"x\.tar#5 has no label"):
        alone.raw(5)
    with pytest.raises(DataError, match="no label column knd"):
        open_images(path, target="knd")


def test_numbers_are_sorted_as_numbers_and_names_as_names(
    tmp_path: Path, png: Make, write_tar: Make
) -> None:
    def shard(name: str, *labels: str) -> Path:
        members = {}
        for row, label in enumerate(labels):
            members |= {f"{row}.png": png(row), f"{row}.cls": label}
        return write_tar(tmp_path / name, members)

    assert open_images(shard("n.tar", "10", "9", " 2\n")).classes == ("2", "9", "10")
    assert open_images(shard("t.tar", "dog", "10", "9")).classes == ("10", "9", "dog")
    assert open_images(shard("z.tar", "007", "7")).classes == ("007", "7")


def test_class_names_beside_the_shards(shards: Make) -> None:
    folder = shards(6)
    (folder / "classes.txt").write_text("ant\nbee\ncat\ndog\n")
    images = open_images(folder)
    assert images.classes == ("ant", "bee", "cat", "dog")
    assert images.labels.tolist() == [0, 1, 2, 0, 1, 2]
    (folder / "classes.txt").write_text("ant\nbee\n")
    with pytest.raises(DataError, match=r"not in classes\.txt") as told:
        open_images(folder)
    assert told.value.found == "2"
    (folder / "classes.txt").write_text("ant\n\nbee\n")
    with pytest.raises(DataError, match="cannot be used"):
        open_images(folder)


def test_numbers_below_zero_are_not_counted_from_the_end(
    tmp_path: Path, png: Make, write_tar: Make
) -> None:
    write_tar(
        tmp_path / "s" / "x.tar", {"0.png": png(0), "0.cls": "-1", "1.png": png(1), "1.cls": "0"}
    )
    (tmp_path / "s" / "classes.txt").write_text("ant\nbee\n")
    with pytest.raises(DataError, match=r"not in classes\.txt") as told:
        open_images(tmp_path / "s")
    assert told.value.found == "-1"


def test_labels_in_cls_files_come_before_fields(tmp_path: Path, png: Make, write_tar: Make) -> None:
    members = {}
    for row in range(4):
        members |= {f"{row}.png": png(row), f"{row}.cls": "xy"[row % 2]}
        members[f"{row}.json"] = json.dumps({"label": row, "caption": "a picture"})
    path = write_tar(tmp_path / "x.tar", members)
    assert (open_images(path).target, open_images(path).classes) == ("cls", ("x", "y"))
    assert open_images(path, target="label").classes == tuple("0123")


def test_shards_of_one_name_in_two_folders_are_told_apart(shards: Make, png: Make) -> None:
    root = shards(2, root="p/one").parent
    shards(3, root="p/two")
    images = open_images(f"{root}/{{one,two}}/a-000.tar")
    assert images.ids[0] == "one/a-000.tar#0000" and images.ids[2] == "two/a-000.tar#0000"
    assert len(set(images.ids)) == 5
    assert images.raw(2) == png(0)
    with pytest.raises(DataError, match="is named twice"):
        open_images(f"{root}/one/a-{{000,000}}.tar")


def test_parts_by_prefix_and_by_folder(shards: Make) -> None:
    root = shards(6, name="train-{}.tar", root="p")
    shards(3, name="val-{}.tar", root="p")
    shards(3, name="test-{}.tar", root="p")
    by_name = open_images(root)
    assert by_name.parts == ("test",) * 3 + ("train",) * 6 + ("val",) * 3
    for part, length in (("train", 6), ("valid", 3), ("test", 3)):
        shards(length, root=f"f/{part}")
    by_folder = open_images(root.parent / "f")
    assert sorted(by_folder.parts or ()) == ["test"] * 3 + ["train"] * 6 + ["val"] * 3
    assert by_folder.ids[0] == "test/a-000.tar#0000"
    split = split_images(by_folder, seed=0)
    assert (len(split.train), len(split.val), len(split.test)) == (6, 3, 3)


def test_what_is_wrong_with_one_sample_is_told_of_that_one(
    tmp_path: Path, png: Make, write_tar: Make
) -> None:
    members = {
        "ok1.png": png(1), "ok1.cls": "0", "ok2.jpg": png(2), "ok2.cls": "1",
        "two.png": png(3), "two.jpg": png(3), "two.cls": "0",
        "alone.cls": "1", "bare.png": png(4),
        "said.png": png(5), "said.cls": "0", "dir/said.png": png(6), "dir/said.cls": "1",
        "bad.png": png(7), "bad.cls": b"\xff\xfe", "../up.png": png(8), "../up.cls": "0",
        "notes.txt": "passed over", "._ok1.png": b"", "list.png": png(9), "list.json": "[1]",
    }  # fmt: skip
    images = open_images(write_tar(tmp_path / "x.tar", members))
    faults = {}
    for row, name in enumerate(images.ids):
        try:
            images.raw(row)
        except BrokenImage as error:
            faults[name.removeprefix("x.tar#")] = error.reason
    assert faults == {
        "two": "has several images",
        "alone": "has no image",
        "bare": "has no label",
        "bad": "has a damaged file .cls",
        "../up": "has a name that leads out of its shard",
        "list": "has a damaged file .json",
    }
    good = [name for name in images.ids if name.removeprefix("x.tar#") not in faults]
    assert good == ["x.tar#ok1", "x.tar#ok2", "x.tar#said", "x.tar#dir/said"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["store", "x.tar"]


def test_the_index_is_kept_and_bound_to_the_shard(
    shards: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shards(4, 3)
    before = open_images(folder)
    passes: list[str] = []
    read = kept.read_samples
    monkeypatch.setattr(kept, "read_samples", lambda f, n: passes.append(n) or read(f, n))
    again = open_images(folder)
    assert passes == [] and again.ids == before.ids and again.fingerprint == before.fingerprint
    os.utime(folder / "a-001.tar", (1, 1))
    open_images(folder)
    assert passes == ["a-001.tar"]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_index_is_made_anew(shards: Make, own_store: Path, damage: str) -> None:
    folder = shards(5)
    before = open_images(folder)
    (index,) = (own_store / "shards").glob("*.index")
    data = index.read_bytes()
    place = data.index(b'"cls"') + 9
    flipped = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    index.write_bytes({"cut": data[:-9], "flip": flipped, "empty": b""}[damage])
    after = open_images(folder)
    assert after.labels.tolist() == before.labels.tolist()
    assert index.read_bytes() == data


def test_a_shard_that_changes_while_it_is_used_is_an_error(shards: Make) -> None:
    folder = shards(4, 3)
    images = open_images(folder)
    ids = image_ids(images, range(7))
    (shards(5, root="other") / "a-000.tar").replace(folder / "a-000.tar")
    with pytest.raises(DataError, match=r"a-000\.tar changed"):
        images.raw(0)
    assert images.raw(5)
    now = image_ids(images, range(7))
    assert ids is not None and now is not None
    assert (now != ids).tolist() == [True] * 4 + [False] * 3


def test_image_ids_are_those_of_the_samples(shards: Make) -> None:
    folder = shards(4, 3)
    first, again = (image_ids(open_images(folder), range(7)) for _ in range(2))
    assert first is not None and again is not None
    assert len(set(first.tolist())) == 7 and first.tolist() == again.tolist()


def test_splits_limits_and_leaks(shards: Make, tmp_path: Path, png: Make, write_tar: Make) -> None:
    images = open_images(shards(20, 20, 20))
    split = split_images(images, seed=1, limit=9)
    assert len(split.train) == 9
    write_split(tmp_path / "split.csv", images, split)
    assert read_split(tmp_path / "split.csv", images) == split
    assert find_leaks(images, split) == ()
    for name in ("train", "test"):
        members = {}
        for row in range(4):
            members |= {f"{row}.png": png(row, *((6, 5), (7, 7))[name == "test" and row > 0])}
            members |= {f"{row}.cls": str(row % 2)}
        write_tar(tmp_path / "leaky" / f"{name}-0.tar", members)
    leaky = open_images(tmp_path / "leaky")
    (leak,) = find_leaks(leaky, split_images(leaky, seed=0, val=0))
    assert [place for _, place in leak.places] == ["train-0.tar#0", "test-0.tar#0"]


def test_a_copy_for_a_worker_process_reads_the_same(shards: Make) -> None:
    images = open_images(shards(4, 3))
    images.raw(0)
    copy = pickle.loads(pickle.dumps(images.source))
    assert [copy(row) for row in range(7)] == [images.raw(row) for row in range(7)]


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "b.tar.bz2"])
def test_compressed_shards_are_not_passed_over(shards: Make, name: str) -> None:
    folder = shards(4)
    (folder / name).write_bytes(b"x")
    with pytest.raises(DataError, match="compressed shards"):
        open_images(folder)


def test_there_is_something_to_learn(tmp_path: Path, png: Make, write_tar: Make) -> None:
    with pytest.raises(DataError, match="no images in the 1 shards"):
        open_images(write_tar(tmp_path / "a.tar", {}))
    with pytest.raises(DataError, match="has no labels"):
        open_images(write_tar(tmp_path / "b.tar", {"0.png": png(0)}))
    with pytest.raises(DataError, match="only one class"):
        open_images(write_tar(tmp_path / "c.tar", {"0.png": png(0), "0.cls": "x"}))


def test_folders_of_classes_stay_folders(folder: Make, write_tar: Make) -> None:
    root = folder("cat/a.png", "dog/b.png")
    write_tar(root / "backup.tar", {})
    assert open_images(root).kind == "folder"


def test_pixels_are_those_of_the_file(shards: Make, png: Make, tmp_path: Path) -> None:
    images = open_images(shards(3))
    (tmp_path / "set" / "a").mkdir(parents=True)
    (tmp_path / "set" / "b").mkdir()
    (tmp_path / "set" / "a" / "x.png").write_bytes(png(2))
    (tmp_path / "set" / "b" / "y.png").write_bytes(png(0))
    assert torch.equal(images.read(2), open_images(tmp_path / "set").read(0))
