from collections.abc import Callable
from pathlib import Path

import pytest

from convgraft.data import ImageSet, open_images, read_split, split_images, write_split
from convgraft.errors import DataError


@pytest.fixture
def images(folder: Callable[..., Path]) -> ImageSet:
    return open_images(folder(*(f"{name}/{n}, odd\n.png" for name in "ab" for n in range(8))))


def test_it_comes_back_as_written(images: ImageSet, tmp_path: Path):
    split = split_images(images, seed=5, limit=6)
    path = tmp_path / "run" / "split.csv"
    write_split(path, images, split)
    assert read_split(path, images) == split
    lines = path.read_text().splitlines()
    assert lines[0] == f"# convgraft split, seed 5, images {images.fingerprint}"
    assert lines[1] == "id,part"
    assert [p.name for p in path.parent.iterdir()] == ["split.csv"]


def test_it_replaces_whole_files_only(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "split.csv"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(DataError, match="cannot write"):
        write_split(path, images, split_images(images, seed=0))
    assert path.read_text() == "old"
    assert {p.name for p in tmp_path.iterdir()} == {"split.csv", "set"}


def test_names_that_are_not_unicode(folder: Callable[..., Path], tmp_path: Path):
    root = folder("a/1.png", "a/2.png", "b/1.png")
    odd = b"b/\xff.png".decode("utf-8", "surrogateescape")
    (root / odd).write_bytes(b"x")
    images = open_images(root)
    assert odd in images.ids
    split = split_images(images, seed=0)
    write_split(tmp_path / "split.csv", images, split)
    assert read_split(tmp_path / "split.csv", images) == split


def test_other_images_are_refused(images: ImageSet, tmp_path: Path, folder: Callable[..., Path]):
    path = tmp_path / "split.csv"
    write_split(path, images, split_images(images, seed=0))
    other = open_images(folder("a/1.png", "b/1.png", root="other"))
    with pytest.raises(DataError) as caught:
        read_split(path, other)
    assert "belongs to other images" in caught.value.what
    assert caught.value.found == f"fingerprint {images.fingerprint[:12]}"


@pytest.mark.parametrize(
    "line", ["z/1.png,train", '"a/0, odd\n.png",tset', "a", '"a/1, odd\n.png",val']
)
def test_lines_that_do_not_fit(images: ImageSet, tmp_path: Path, line: str):
    head = f"# convgraft split, seed 5, images {images.fingerprint}\nid,part\n"
    path = tmp_path / "split.csv"
    path.write_text(head + '"a/1, odd\n.png",train\n')
    assert read_split(path, images).train == (1,)
    path.write_text(head + '"a/1, odd\n.png",train\n' + line + "\n")
    with pytest.raises(DataError, match=r"line 4 of .* does not fit"):
        read_split(path, images)


@pytest.mark.parametrize("text", ["", "id,part\n", "# convgraft split, seed x\nid,part\n"])
def test_what_is_no_split(images: ImageSet, tmp_path: Path, text: str):
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(DataError, match="is not a split"):
        read_split(tmp_path / "split.csv", images)


def test_a_missing_file(images: ImageSet, tmp_path: Path):
    with pytest.raises(DataError, match="cannot read the split"):
        read_split(tmp_path / "none.csv", images)
