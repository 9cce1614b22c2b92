from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from convgraft.data import (
    BrokenImage,
    decode,
    open_images,
    read_split,
    split_images,
    write_split,
)
from convgraft.errors import DataError

Write = Callable[..., Path]
Structs = Callable[[int], list[dict[str, object]]]


def error(location: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        open_images(location)
    return caught.value


def test_one_file_as_the_hub_has_it(tmp_path: Path, write_parquet: Write, structs: Structs):
    columns = {"image": structs(4), "label": [1, 0, 1, 1]}
    path = write_parquet(tmp_path / "train.parquet", columns, {"label": ["cat", "dog"]})
    images = open_images(path)
    assert (images.kind, images.target, images.parts) == ("parquet", "label", None)
    assert images.classes == ("cat", "dog")
    assert images.labels.tolist() == [1, 0, 1, 1]
    assert images.ids[3] == "train.parquet#3"
    assert (images.read(3) == decode(structs(4)[3]["bytes"])).all()  # type: ignore[arg-type]


def test_shards_below_data_are_joined_and_give_parts(
    tmp_path: Path, write_parquet: Write, structs: Structs
):
    all_structs = structs(6)
    for number, name in enumerate(
        ("test-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002")
    ):
        rows = slice(2 * number, 2 * number + 2)
        columns = {"img": all_structs[rows], "label": [0, 1]}
        write_parquet(tmp_path / "data" / f"{name}.parquet", columns)
    images = open_images(tmp_path)
    assert images.parts == ("test", "test", "train", "train", "train", "train")
    assert images.ids[4] == "train-00001-of-00002.parquet#0"
    assert [images.raw(row) for row in range(6)] == [value["bytes"] for value in all_structs]


def test_files_of_one_name_in_several_folders_are_told_apart(
    tmp_path: Path, write_parquet: Write, structs: Structs
):
    broken = [{"bytes": None, "path": None}, *structs(5)]
    for folder, values in (("a", structs(6)), ("b", broken)):
        write_parquet(tmp_path / folder / "0.parquet", {"img": values, "label": [0, 1] * 3})
    images = open_images(f"{tmp_path}/{{a,b}}/0.parquet")
    assert images.ids == tuple(f"{folder}/0.parquet#{row}" for folder in "ab" for row in range(6))
    with pytest.raises(BrokenImage, match=r"b/0.parquet#0 is empty"):
        images.raw(6)
    split = split_images(images, seed=0)
    write_split(tmp_path / "split.csv", images, split)
    assert read_split(tmp_path / "split.csv", images) == split


def test_a_missing_shard_is_named(tmp_path: Path, write_parquet: Write, structs: Structs):
    columns = {"img": structs(2), "label": [0, 1]}
    write_parquet(tmp_path / "train-00000-of-00002.parquet", columns)
    assert error(tmp_path).expected == "train-00001-of-00002.parquet"


@pytest.mark.parametrize("names", [("train", "more"), ("train_1", "train_2")])
def test_parts_need_every_name_and_two_of_them(
    tmp_path: Path, write_parquet: Write, structs: Structs, names: tuple[str, str]
):
    for name in names:
        write_parquet(tmp_path / f"{name}.parquet", {"img": structs(2), "label": [0, 1]})
    assert open_images(tmp_path).parts is None


def test_validation_is_val(tmp_path: Path, write_parquet: Write, structs: Structs):
    for name in ("train", "validation"):
        write_parquet(tmp_path / f"{name}.parquet", {"img": structs(2), "label": [0, 1]})
    assert open_images(tmp_path).parts == ("train", "train", "val", "val")


def test_plain_binary_and_the_known_name_first(
    tmp_path: Path, write_parquet: Write, png: Callable[..., bytes]
):
    one, other = [png(0), png(1)], [png(2), png(3)]
    columns = {"mask": other, "img": one, "label": ["b", "a"]}
    assert open_images(write_parquet(tmp_path / "a.parquet", columns)).raw(0) == one[0]
    columns = {"photo": one, "label": ["b", "a"]}
    assert open_images(write_parquet(tmp_path / "b.parquet", columns)).raw(1) == one[1]


def test_the_image_column_cannot_be_told(tmp_path: Path, write_parquet: Write, structs: Structs):
    several = {"left": structs(2), "right": structs(2), "label": [0, 1]}
    wrong = error(write_parquet(tmp_path / "several.parquet", several))
    assert (wrong.found, "several" in wrong.what) == ("left, right", True)
    none = error(write_parquet(tmp_path / "none.parquet", {"text": ["x"], "label": [0]}))
    assert "no image column" in none.what
    assert none.found == "text (string), label (int64)"


def test_a_corrupt_file_is_named(tmp_path: Path, write_parquet: Write, structs: Structs):
    path = write_parquet(tmp_path / "x.parquet", {"img": structs(4), "label": [0, 1, 0, 1]})
    path.write_bytes(path.read_bytes()[:-20])
    assert error(path).what == f"{path} is not a readable Parquet file"
    path.write_bytes(b"")
    assert error(path).what == f"{path} is not a readable Parquet file"


def test_files_with_other_columns(tmp_path: Path, write_parquet: Write, structs: Structs):
    write_parquet(tmp_path / "a.parquet", {"img": structs(2), "label": [0, 1]})
    write_parquet(tmp_path / "b.parquet", {"img": structs(2), "label": ["0", "1"]})
    assert error(tmp_path).what.endswith("b.parquet has other columns than a.parquet")


def test_no_rows_and_one_class(tmp_path: Path, write_parquet: Write, structs: Structs):
    rows = {"img": structs(2), "label": [0, 0]}
    assert "only one class" in error(write_parquet(tmp_path / "one.parquet", rows)).what
    empty = {"img": structs(0), "label": []}
    assert "no rows" in error(write_parquet(tmp_path / "none.parquet", empty)).what


def test_the_fingerprint_knows_target_and_size(
    tmp_path: Path, write_parquet: Write, structs: Structs
):
    columns = {"img": structs(2), "a": [0, 1], "b": [0, 1]}
    path = write_parquet(tmp_path / "x.parquet", columns)
    seen = {open_images(path, target=target).fingerprint for target in ("a", "b")}
    columns["img"][0]["path"] = "another.png"
    write_parquet(path, columns)
    seen.add(open_images(path, target="a").fingerprint)
    assert len(seen) == 3


def test_cifar100(real_data: Path):
    wrong = error(real_data / "cifar100")
    assert wrong.found == "fine_label (100 classes), coarse_label (20 classes)"
    assert wrong.hint == "pass --target NAME"
    images = open_images(real_data / "cifar100", target="fine_label")
    assert (len(images.classes), images.classes[0]) == (100, "apple")
    assert images.parts is not None
    assert Counter(images.parts) == {"train": 50000, "test": 10000}
    assert images.read(59_999).shape == (3, 32, 32)


def test_mnist_has_one_label_column(real_data: Path):
    images = open_images(real_data / "mnist10k" / "all.parquet")
    assert (len(images), images.target, images.parts) == (10000, "label", None)
    assert images.classes == tuple("0123456789")
