from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from convgraft.data import ImageSet, open_images
from convgraft.errors import DataError

Names = dict[str, list[str]]


@pytest.fixture
def opened(
    tmp_path: Path, write_parquet: Callable[..., Path], structs: Callable[[int], Any]
) -> Callable[..., ImageSet]:
    def make(names: Names | None = None, target: str | None = None, **columns: Any) -> ImageSet:
        count = len(next(iter(columns.values()))) if columns else 2
        table = {"img": structs(count), **columns}
        return open_images(write_parquet(tmp_path / "x.parquet", table, names), target=target)

    return make


@pytest.fixture
def error(opened: Callable[..., ImageSet]) -> Callable[..., DataError]:
    def make(*args: Any, **kwargs: Any) -> DataError:
        with pytest.raises(DataError) as caught:
            opened(*args, **kwargs)
        return caught.value

    return make


def test_class_label_names(opened: Callable[..., ImageSet]):
    images = opened({"kind": ["cat", "dog", "eel"]}, kind=[2, 0, 2], label=[5, 6, 7])
    assert (images.target, images.classes) == ("kind", ("cat", "dog", "eel"))
    assert images.labels.tolist() == [2, 0, 2]


@pytest.mark.parametrize("name", ["label", "labels", "class"])
def test_known_names_without_metadata(opened: Callable[..., ImageSet], name: str):
    assert opened(**{name: [0, 1], "other": [0, 1]}).target == name


def test_integers_without_names_are_sorted_as_numbers(opened: Callable[..., ImageSet]):
    images = opened(label=pa.array([10, 2, -1, 10], pa.int8()))
    assert (images.classes, images.labels.tolist()) == (("-1", "2", "10"), [2, 1, 0, 2])


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_strings_are_sorted(opened: Callable[..., ImageSet], kind: pa.DataType):
    images = opened(label=pa.array(["dog", "cat", "dog"], kind))
    assert (images.classes, images.labels.tolist()) == (("cat", "dog"), [1, 0, 1])


def test_dictionary_and_truth_values(opened: Callable[..., ImageSet]):
    images = opened(label=pa.array(["dog", "cat", "dog", "eel"]).dictionary_encode())
    assert (images.classes, images.labels.tolist()) == (("cat", "dog", "eel"), [1, 0, 1, 2])
    assert opened(label=[True, False]).classes == ("False", "True")


def test_the_target_wins(opened: Callable[..., ImageSet]):
    images = opened({"label": ["x", "y"]}, target="colour", label=[0, 1], colour=["red", "blue"])
    assert (images.target, images.classes) == ("colour", ("blue", "red"))


def test_several_candidates_are_listed_with_their_classes(error: Callable[..., DataError]):
    named = error({"fine": ["a", "b", "c"], "coarse": ["x", "y"]}, fine=[0, 1], coarse=[0, 1])
    assert named.found == "fine (3 classes), coarse (2 classes)"
    assert named.hint == "pass --target NAME"
    assert error(label=[0, 1, 2], **{"class": [0, 1, 1]}).found == (
        "label (3 classes), class (2 classes)"
    )


def test_no_candidate(error: Callable[..., DataError]):
    assert error(weight=[1, 2], colour=[1, 2]).found == "columns weight, colour"
    assert error().found == "no column besides the images"


def test_a_missing_target(error: Callable[..., DataError]):
    wrong = error(target="fine_lable", fine_label=[0, 1], other=[0, 1])
    assert wrong.expected == "one of fine_label, other"
    assert wrong.hint == "did you mean fine_label?"
    assert "no label column img" in error(target="img", label=[0, 1]).what


def test_missing_labels_are_counted(error: Callable[..., DataError]):
    assert "2 of 4 labels in label are missing" in error(label=[0, None, 1, None]).what


def test_labels_out_of_range(error: Callable[..., DataError]):
    wrong = error({"label": ["a", "b"]}, label=[0, 1, 2, -1, -1])
    assert "3 labels in label have no class name" in wrong.what
    assert (wrong.expected, wrong.found) == ("0..1, as there are 2 names", "-1, 2")


@pytest.mark.parametrize("values", [[0.5, 1.0], [[0], [1]]])
def test_columns_that_hold_no_classes(error: Callable[..., DataError], values: list[Any]):
    assert error(label=values).what.endswith("the column label does not hold classes")


def test_foreign_metadata_is_passed_over(
    tmp_path: Path, write_parquet: Callable[..., Path], structs: Callable[[int], Any]
):
    table = pa.table({"img": structs(2), "label": [3, 4]})
    for number, text in enumerate((b"not json", b"[]", b'{"info": {"features": {"label": 3}}}')):
        path = tmp_path / f"{number}.parquet"
        parquet.write_table(table.replace_schema_metadata({"huggingface": text}), path)
        assert open_images(path).classes == ("3", "4")


def test_files_that_name_their_classes_otherwise(
    tmp_path: Path, write_parquet: Callable[..., Path], structs: Callable[[int], Any]
):
    columns = {"img": structs(2), "label": [0, 1]}
    write_parquet(tmp_path / "a.parquet", columns, {"label": ["cat", "dog"]})
    write_parquet(tmp_path / "b.parquet", columns, {"label": ["dog", "cat"]})
    with pytest.raises(DataError, match=r"b.parquet names its classes otherwise than a.parquet"):
        open_images(tmp_path)
