"""Data sets of the library `datasets`: objects, and what they saved to disk."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convgraft.data import Streamed, image_ids, open_images, split_images
from convgraft.errors import DataError, UsageError

datasets = pytest.importorskip("datasets")
Png = Callable[..., bytes]


@pytest.fixture
def rows(png: Png) -> Callable[..., Any]:
    """A `Dataset` of some pictures: `rows(9)`."""

    def make(count: int, first: int = 0) -> Any:
        features = datasets.Features({
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["ant", "bee", "cat"]),
            "kind": datasets.Value("string"),
        })  # fmt: skip
        numbers = range(first, first + count)
        return datasets.Dataset.from_dict(
            {
                "image": [{"bytes": png(row), "path": None} for row in numbers],
                "label": [row % 3 for row in numbers],
                "kind": [("even", "odd", None)[row % 3] for row in numbers],
            },
            features=features,
        )

    return make


def test_an_object_is_a_set(rows: Callable[..., Any], png: Png) -> None:
    images = open_images(rows(600))
    assert images.kind == "datasets" and images.target == "label" and images.parts is None
    assert images.classes == ("ant", "bee", "cat")
    assert images.labels.tolist() == [row % 3 for row in range(600)]
    assert [images.raw(row) for row in (0, 255, 256, 599)] == [png(r) for r in (0, 255, 256, 599)]
    assert images.stamps is None  # it lies in memory alone
    assert images.layout is not None and images.layout.lengths == (256, 256, 88)
    assert len(Streamed(images, 6).images[250:260]) == 10


def test_what_was_saved_is_the_same_set(rows: Callable[..., Any], tmp_path: Path, png: Png) -> None:
    rows(9).save_to_disk(str(tmp_path / "saved"))
    images = open_images(f"hf:{tmp_path / 'saved'}")
    assert [images.raw(row) for row in range(9)] == [png(row) for row in range(9)]
    ids = image_ids(images, range(9))
    again = open_images(f"hf:{tmp_path / 'saved'}")
    other = image_ids(again, range(9))
    assert ids is not None and other is not None and ids.tolist() == other.tolist()
    assert len(set(ids.tolist())) == 9 and again.fingerprint == images.fingerprint
    copy = pickle.loads(pickle.dumps(images.source))
    assert [copy(row) for row in range(9)] == [png(row) for row in range(9)]


def test_rows_that_were_chosen_and_turned_round(rows: Callable[..., Any], png: Png) -> None:
    images = open_images(rows(9).select([7, 2, 4]))
    assert [images.raw(row) for row in range(3)] == [png(row) for row in (7, 2, 4)]
    assert images.labels.tolist() == [1, 2, 1]


def test_parts(rows: Callable[..., Any], tmp_path: Path, png: Png) -> None:
    parts = {"train": rows(12), "validation": rows(3, 20), "test": rows(6, 30)}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    images = open_images(f"hf:{tmp_path / 'saved'}")
    split = split_images(images, seed=0)
    assert (len(split.train), len(split.val), len(split.test)) == (12, 3, 6)
    assert images.raw(split.val[0]) == png(20) and images.ids[12] == "validation#0"
    with pytest.raises(DataError, match="parts of the data set cannot be told"):
        open_images(datasets.DatasetDict({"train": rows(3), "extra": rows(3)}))


def test_columns(rows: Callable[..., Any]) -> None:
    both = open_images(rows(9), target=["label", "kind"])
    assert set(both.others) == {"kind"}
    named = rows(9).cast_column("kind", datasets.ClassLabel(names=["even", "odd"]))
    with pytest.raises(DataError, match="2 label columns"):
        open_images(named)
    with pytest.raises(DataError, match="no label column kin"):
        open_images(rows(9), target="kin")
    with pytest.raises(DataError, match="no image column"):
        open_images(rows(9).remove_columns("image"))


def test_what_is_no_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="is no folder"):
        open_images("hf:nowhere")
    with pytest.raises(DataError, match="cannot be read"):
        open_images(f"hf:{tmp_path}")
    with pytest.raises(DataError, match="is no set of images"):
        open_images([1, 2])  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match="needs datasets") as told:
        open_images(f"hf:{tmp_path}")
    assert told.value.hint == "pip install convgraft[datasets]"
