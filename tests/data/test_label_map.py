from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convgraft.data import ImageSet, open_images
from convgraft.errors import DataError, PlanError

FOLDERS = ("car/1.png", "car/2.png", "cat/1.png", "dog/1.png", "flower/1.png")
KINDS = "kind: {car: vehicle, dog: animal, cat: animal}\nalive: {dog: yes, cat: yes, car: no}\n"


@pytest.fixture
def mapped(folder: Callable[..., Path], tmp_path: Path) -> Callable[..., ImageSet]:
    def make(text: str, location: str | Path | None = None, **options: Any) -> ImageSet:
        file = tmp_path / "kinds.yaml"
        file.write_text(text)
        return open_images(location or folder(*FOLDERS), label_map=file, **options)

    return make


@pytest.fixture
def problems(mapped: Callable[..., ImageSet]) -> Callable[..., list[str]]:
    def make(*args: Any, **options: Any) -> list[str]:
        with pytest.raises(PlanError) as caught:
            mapped(*args, **options)
        return [str(problem) for problem in caught.value.problems]

    return make


def test_columns_from_class_folders(mapped: Callable[..., ImageSet]):
    images = mapped(KINDS)
    assert images.classes == ("car", "cat", "dog", "flower")
    assert list(images.others) == ["kind", "alive"]
    kind, alive = images.others.values()
    assert (kind.name, kind.classes) == ("kind", ("animal", "vehicle"))
    assert kind.labels.tolist() == [1, 1, 0, 0, -1]
    assert alive.classes == ("no", "yes")
    assert alive.labels.tolist() == [0, 0, 1, 1, -1]


def test_columns_from_digits(mapped: Callable[..., ImageSet]):
    text = "parity:\n" + "".join(f"  {d}: {'odd' if d % 2 else 'even'}\n" for d in range(10))
    images = mapped(text, "digits", target="label")
    parity = images.others["parity"]
    assert parity.classes == ("even", "odd")
    assert (parity.labels == images.labels % 2).all()


def test_columns_after_those_of_a_file(
    mapped: Callable[..., ImageSet],
    write_parquet: Callable[..., Path],
    structs: Callable[[int], Any],
    tmp_path: Path,
):
    columns = {"img": structs(4), "a": ["x", None, "y", "z"], "b": [0, 1, None, 0]}
    path = write_parquet(tmp_path / "x.parquet", columns)
    text = "label: {x: one, z: 2}"
    images = mapped(text, path, target=["a", "b"])
    assert list(images.others) == ["b", "label"]
    assert images.others["label"].classes == ("2", "one")
    assert images.others["label"].labels.tolist() == [1, -1, -1, 0]
    # a map alone lets labels be missing, too
    assert mapped(text, path, target="a").labels.tolist() == [0, -1, 1, 2]


def test_the_fingerprint_changes_with_the_map_and_not_with_its_layout(
    mapped: Callable[..., ImageSet], folder: Callable[..., Path]
):
    plain = open_images(folder(*FOLDERS)).fingerprint
    one = mapped("kind: {car: thing, cat: animal}").fingerprint
    again = mapped("kind:\n  cat: animal\n  car: thing\n").fingerprint
    other = mapped("kind: {car: thing, dog: animal}").fingerprint
    assert one == again
    assert len({plain, one, other}) == 3


def test_values_are_the_text_that_stands_there(mapped: Callable[..., ImageSet]):
    images = mapped('x: {car: On, cat: 01, dog: 1.0, flower: "null"}')
    assert images.others["x"].classes == ("01", "1.0", "On", "null")


def test_all_problems_are_reported_with_their_places(problems: Callable[..., list[str]]):
    text = "kind:\n  caar: vehicle\n  cat: [animal]\n  dog: ~\nlabel: {cat: a, dog: b}\nx: {cat: a}"
    found = problems(text)
    starts = ["kinds.yaml:2:3:", "kinds.yaml:3:8:", "kinds.yaml:4:8:", "kinds.yaml:5:1:"]
    assert [line.split(" ")[0] for line in found] == [*starts, "kinds.yaml:6:1:"]
    assert 'has no class "caar"' in found[0]
    assert "did you mean car" in found[0]
    assert "expected: car, cat, dog, flower" in found[0]
    assert "the name of a class is expected here" in found[1]
    assert "found: nothing" in found[2]
    assert 'have a label column "label" already' in found[3]
    assert '"x" needs two classes or more' in found[4]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "the file is empty"),
        ("{}", "the label map has no column"),
        ("[kind]", "a mapping (key: value) is expected here"),
        ("kind: car", "a mapping (key: value) is expected here"),
        ("kind: {}", '"kind" needs two classes or more'),
        ("kind: {cat: a, cat: b}", '"cat" stands here twice'),
        ("kind: {cat: !!str a}", "tags are not allowed here"),
    ],
)
def test_what_is_no_label_map(problems: Callable[..., list[str]], text: str, what: str):
    found = problems(text)
    assert what in found[0]
    assert found[0].startswith("kinds.yaml:1:")
    assert len(found) == 1 or "twice" in what


def test_a_column_without_a_single_label(
    problems: Callable[..., list[str]],
    write_parquet: Callable[..., Path],
    structs: Callable[[int], Any],
    tmp_path: Path,
):
    columns = {"img": structs(2), "label": [0, 1]}
    path = write_parquet(tmp_path / "x.parquet", columns, {"label": ["a", "b", "c", "d"]})
    assert 'no image has a label in "kind"' in problems("kind: {c: x, d: y}", path)[0]


def test_a_file_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(DataError, match=r"none.yaml cannot be read"):
        open_images("digits", label_map=tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"bytes.yaml cannot be read"):
        open_images("digits", label_map=tmp_path / "bytes.yaml")
