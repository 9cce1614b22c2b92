import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from convgraft.data import ImageSet, load_pixels, open_images, split_images
from convgraft.errors import DataError
from convgraft.training.task import Task

Opened = Callable[..., ImageSet]
DIGITS = "0f20cff705830c7e19aa2bc1a87ecc74d93644b87d5e9d8a3d5c9d1fd00efb97"


@pytest.fixture
def opened(
    tmp_path: Path, write_parquet: Callable[..., Path], structs: Callable[[int], Any]
) -> Opened:
    """Open columns, all by default: `opened({"b": ["x", "y"]}, a=[0, 1], b=[1, None])`."""

    def make(names: Any = None, target: Any = None, **columns: Any) -> ImageSet:
        table = {"img": structs(len(next(iter(columns.values())))), **columns}
        path = write_parquet(tmp_path / "x.parquet", table, names)
        return open_images(path, target=target or list(columns))

    return make


def error(opened: Opened, *args: Any, **kwargs: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        opened(*args, **kwargs)
    return caught.value


def test_the_first_column_is_the_main_one_and_the_rest_keep_their_order(opened: Opened):
    columns = {"a": [0, 1, 1], "b": ["x", "y", "x"], "c": [True, False, False], "d": [7, 8, 9]}
    images = opened(target=("c", "d", "b"), **columns)
    assert (images.target, images.classes) == ("c", ("False", "True"))
    assert images.labels.tolist() == [1, 0, 0]
    assert list(images.others) == ["d", "b"]
    assert images.others["d"].classes == ("7", "8", "9")
    assert images.others["b"].labels.tolist() == [0, 1, 0]
    assert images.others["b"].name == "b"


def test_nulls_are_missing_in_every_column(opened: Opened):
    names = {"fine": ["cat", "car", "dog"]}
    images = opened(names, fine=[2, None, 0, 1], coarse=["animal", "thing", None, None])
    assert (images.classes, images.labels.tolist()) == (("cat", "car", "dog"), [2, -1, 0, 1])
    coarse = images.others["coarse"]
    assert (coarse.classes, coarse.labels.tolist()) == (("animal", "thing"), [0, 1, -1, -1])
    assert (coarse.labels.dtype, coarse.labels.flags.writeable) == (np.int64, False)


@pytest.mark.parametrize(
    "values",
    [
        pa.array([5, None, -1, 5], pa.int8()),
        pa.array(["b", None, "a", "b"], pa.string_view()),
        pa.array(["b", None, "a", "b"]).dictionary_encode(),
        pa.array([True, None, False, True]),
    ],
)
def test_every_kind_of_column_may_have_nulls(opened: Opened, values: pa.Array):
    column = opened(a=[0, 1, 0, 1], b=values).others["b"]
    assert (len(column.classes), column.labels.tolist()) == (2, [1, -1, 0, 1])


def test_minus_one_is_missing_where_classes_have_names(opened: Opened):
    images = opened({"b": ["x", "y"]}, a=[-1, 0, 1], b=[1, -1, 0])
    assert images.others["b"].labels.tolist() == [1, -1, 0]
    assert images.classes == ("-1", "0", "1")
    assert (
        "1 labels in b have no class name" in error(opened, {"b": ["x"]}, a=[0, 1], b=[0, 1]).what
    )


@pytest.mark.parametrize("values", [[None, None], pa.array([None, None], pa.string())])
def test_a_column_that_is_missing_everywhere(opened: Opened, values: Any):
    assert error(opened, a=[0, 1], b=values).what.endswith("all 2 labels in b are missing")
    assert error(opened, b=values, a=[0, 1]).what.endswith("all 2 labels in b are missing")
    marked = error(opened, {"b": ["x", "y"]}, a=[0, 1], b=[-1, -1])
    assert marked.what.endswith("all 2 labels in b are missing")


def test_one_column_alone_needs_every_label(opened: Opened):
    for target in ("b", ["b"]):
        wrong = error(opened, target=target, a=[0, 1], b=[0, None])
        assert "1 of 2 labels in b are missing" in wrong.what


def test_columns_that_cannot_be_used(opened: Opened):
    assert error(opened, target=["a", "bb"], a=[0, 1], b=[0, 1]).expected == "one of a, b"
    assert error(opened, target=["a", "b", "a"], a=[0, 1], b=[0, 1]).found == "a, b, a"
    single = error(opened, a=[0, 1], b=["x", "x"]).what
    assert single.endswith("the column b has only one class")


def test_the_fingerprint_of_one_column_is_what_it_was(opened: Opened, tmp_path: Path):
    seen = {opened(target=t, a=[0, 1], b=[0, 1]).fingerprint for t in ("a", ["a"])}
    size = (tmp_path / "x.parquet").stat().st_size
    ids = ["x.parquet#0", "x.parquet#1"]
    facts = ["parquet", "a", ["0", "1"], ids, [0, 1], [["x.parquet", size]]]
    assert seen == {hashlib.sha256(json.dumps(facts).encode()).hexdigest()}
    assert open_images("digits").fingerprint == DIGITS


def test_the_fingerprint_changes_with_other_columns(opened: Opened):
    def of(target: list[str], b: list[str], c: list[int]) -> str:
        return opened(target=target, a=[0, 1, 1], b=b, c=c).fingerprint

    b, c = ["x", "x", "y"], [0, 1, 1]
    seen = [
        of(["a"], b, c),
        of(["a", "b"], b, c),
        of(["a", "b"], ["x", "y", "y"], c),
        of(["a", "b"], ["w", "w", "y"], c),
        of(["a", "c"], b, c),
        of(["a", "b", "c"], b, c),
        of(["a", "c", "b"], b, c),
    ]
    assert len(set(seen)) == len(seen)
    assert of(["a", "b"], b, c) == seen[1]


def test_pixels_and_tasks_have_all_columns(opened: Opened):
    images = opened(a=[0, 1, 0, 1, 0, 1], b=["x", None, "y", "z", None, "x"])
    pixels = load_pixels(images, 4, indices=[3, 1, 0])
    assert pixels.labels.tolist() == [1, 1, 0]
    assert pixels.others["b"].tolist() == [2, -1, 0]
    assert list(pixels.columns) == ["", "b"]
    task = Task(images, split_images(images, seed=0), size=4)
    assert task.columns == {"": ("0", "1"), "b": ("x", "y", "z")}
    assert task.classes == ("0", "1")


def test_broken_images_leave_every_column(opened: Opened, png: Callable[..., bytes]):
    images = opened(target=["a", "b"], a=[0, 1, 1], b=["x", "y", "z"], img=[png(0), b"", png(1)])
    pixels = load_pixels(images, 4)
    assert (pixels.labels.tolist(), pixels.others["b"].tolist()) == ([0, 1], [0, 2])


def test_cifar100_fine_and_coarse(shared_data: Path):
    start = time.process_time()  # whatever else the machine does
    images = open_images(
        shared_data / "cifar100" / "train.parquet", target=["fine_label", "coarse_label"]
    )
    assert time.process_time() - start < 6
    coarse = images.others["coarse_label"]
    assert (len(images), len(images.classes), len(coarse.classes)) == (50000, 100, 20)
    for fine in range(100):
        assert len(set(coarse.labels[images.labels == fine].tolist())) == 1
    apple = coarse.labels[images.labels == images.classes.index("apple")]
    assert coarse.classes[apple[0]] == "fruit_and_vegetables"
