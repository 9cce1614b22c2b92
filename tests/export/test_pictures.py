"""The images that an export is checked on, and those that whole numbers are measured with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers_runs import Case, run_of
from PIL import Image
from torch import Tensor

from convgraft.data import open_images, split_images, write_split
from convgraft.errors import DataError
from convgraft.export import Run
from convgraft.export.held_out import held_out
from convgraft.export.pictures import pictures_for, random_pictures, spread


@pytest.fixture
def run(real_images: Tensor, tmp_path: Path) -> Run:
    """A run on the digits, with its split."""
    images = open_images("digits")
    write_split(tmp_path / "split.csv", images, split_images(images, seed=3, limit=60))
    made = run_of(Case("probe"), real_images, count=1)
    labels = tuple(reversed(images.classes))
    return replace(made, folder=tmp_path, metrics={"data": {"location": "digits"}}, labels=labels)


def test_its_own_images_are_of_the_validation_part(run: Run) -> None:
    images = open_images("digits")
    validation = split_images(images, seed=3, limit=60).val
    shown = pictures_for(run)
    assert len(shown) == 100 and shown.images.shape[1:] == (3, 16, 16)
    assert set(shown.names) <= {images.ids[index] for index in validation}
    assert shown.told == "digits, validation part"


def test_images_of_a_folder_come_first_and_broken_ones_are_left_out(
    run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures" / "deep"
    folder.mkdir(parents=True)
    Image.new("RGB", (30, 20), (200, 10, 10)).save(folder / "red.png")
    (folder / "broken.png").write_bytes(b"no picture")
    shown = pictures_for(run, tmp_path / "pictures")
    assert len(shown) == 1 and shown.names == (str(folder / "red.png"),)
    assert (shown.images[0, 0] == 200).all()
    (folder / "red.png").unlink()
    with pytest.raises(DataError, match="no image"):
        pictures_for(run, tmp_path / "pictures")


def test_random_ones_stand_in_where_nothing_else_is_there(run: Run) -> None:
    for told in ({}, {"data": {"location": "gone/away"}}):
        shown = pictures_for(replace(run, metrics=told))
        assert shown.told == "random pictures"
        assert torch.equal(shown.images, random_pictures(16).images)
    (run.folder / "split.csv").unlink()
    assert pictures_for(run).told == "random pictures"


def test_spread_takes_the_first_and_goes_to_the_end() -> None:
    assert spread(range(10), 4) == [0, 2, 5, 7]
    assert spread("ab", 4) == ["a", "b"]


def test_held_out_images_are_none_that_calibrate_and_no_test_images(run: Run) -> None:
    images = open_images("digits")
    split = split_images(images, seed=3, limit=60)
    found = held_out(run, "digits", calibration=25)
    assert len(found.calibration) == 25 and len(found.images) == len(split.val)
    assert found.told == "digits, validation part of the run's split"
    expected = [9 - int(images.labels[index]) for index in split.val]  # classes in reverse
    assert sorted(found.labels.tolist()) == sorted(expected)
    chosen = {tuple(image.flatten().tolist()) for image in found.calibration}
    assert not chosen & {tuple(image.flatten().tolist()) for image in found.images}


def test_other_images_are_split_anew(run: Run) -> None:
    (run.folder / "split.csv").unlink()
    assert held_out(run, "digits").told.startswith("digits, validation part of a new split")
    assert "may have learned from some" in held_out(run, "digits").told


def test_classes_that_the_run_does_not_know_are_refused(run: Run) -> None:
    with pytest.raises(DataError, match='class "0"'):
        held_out(replace(run, labels=("cat", "dog")), "digits")
