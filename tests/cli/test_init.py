"""`convgraft init` looks at images and writes a study that can be run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers_cli import convgraft, write_pictures
from PIL import Image

from convgraft.cli.init_look import Look
from convgraft.cli.init_words import epochs, image_size, limits
from convgraft.studies.study_file import read_study


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pictures", 12)


def seen(**other: object) -> Look:
    plain = {
        "images": 2000,
        "counts": {"cat": 1900, "dog": 100},
        "sizes": [(80, 60), (60, 90), (300, 200)],
        "broken": (),
        "copies": 0,
        "conflicts": (),
        "parts": (1400, 200, 400),
        "own_parts": False,
    }
    return Look(**{**plain, **other})  # type: ignore[arg-type]


def test_the_study_that_it_writes_can_be_compared(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.yaml"
    models = ("--models", "cifar_resnet20", "cifar_resnet20")
    outcome = convgraft("init", pictures, *models, "--out", out)
    assert outcome.code == 0, outcome.err
    assert f"next: convgraft compare {out} --out studies/mine" in outcome.err
    study = read_study(out)
    assert study.data == str(pictures)
    assert dict(study.models) == {"a": "cifar_resnet20", "b": "cifar_resnet20"}
    assert study.image_size == 32
    shorter = out.read_text().replace("seeds: 5", "seeds: 1").replace("all: 40", "all: 1")
    out.write_text(shorter)
    ran = convgraft("compare", out, "--only", "ladder", "--out", tmp_path / "study")
    assert ran.code == 0, ran.err


def test_what_is_odd_is_told(pictures: Path, tmp_path: Path) -> None:
    folders = sorted(path for path in pictures.iterdir() if path.is_dir())
    first = sorted(folders[0].iterdir())[0]
    (folders[0] / "again.png").write_bytes(first.read_bytes())
    (folders[1] / "elsewhere.png").write_bytes(first.read_bytes())
    (folders[0] / "broken.png").write_bytes(b"<html>")
    for number in range(200):
        pixels = np.full((40, 50, 3), number, np.uint8)
        Image.fromarray(pixels).save(folders[0] / f"many{number}.png")
    outcome = convgraft("init", pictures, "--out", tmp_path / "study.yaml")
    assert outcome.code == 0, outcome.err
    for told in (
        "classes are unequal",
        "copies of other images, byte for byte: 2",
        "the same picture in several classes: 1, first blue/00.png, ",
        "broken, and left out:",
        "broken.png",
        "may be chance",
        "--models A B",
    ):
        assert told in outcome.err


def test_the_next_command_can_be_copied(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "my study.yaml"
    told = convgraft("init", pictures, "--out", out).err
    assert f"next: convgraft compare '{out}' --models A B --out 'studies/my study'" in told
    assert "torchvision/resnet18@DEFAULT" in told
    assert "image_size: 32  # 100 for networks of ImageNet" in out.read_text()
    models = ("--models", "cifar_resnet20", "cifar_resnet20")
    assert (
        "where A and B" not in convgraft("init", pictures, *models, "--out", out, "--overwrite").err
    )
    assert "for networks of ImageNet" not in out.read_text()


def test_json_says_the_same(pictures: Path, tmp_path: Path) -> None:
    outcome = convgraft("init", pictures, "--out", tmp_path / "study.yaml", "--json")
    told = json.loads(outcome.out)
    assert sum(told["classes"].values()) == told["images"] == sum(told["parts"].values())
    assert told["study"] == str(tmp_path / "study.yaml")


def test_a_file_is_not_lost(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "study.yaml"
    out.write_text("mine")
    outcome = convgraft("init", pictures, "--out", out)
    assert outcome.code == 2
    assert "--overwrite" in outcome.err
    assert out.read_text() == "mine"
    assert convgraft("init", pictures, "--out", out, "--overwrite").code == 0
    assert read_study(out).arms


def test_the_image_size_suits_pictures_and_networks() -> None:
    assert image_size(seen(), []) == 64
    assert image_size(seen(), [32, 32]) == 32
    assert image_size(seen(), [224, 299]) == 100
    assert image_size(seen(sizes=[(500, 400)]), [224, 224]) == 224
    assert image_size(seen(sizes=[(500, 400)]), [299]) == 224
    assert image_size(seen(sizes=[]), []) == 32


def test_limits_leave_room_for_every_class() -> None:
    assert limits(seen()) == [100, 400, 1000, None]
    assert limits(seen(parts=(450, 50, 100))) == [100, None]
    many = {str(number): 14 for number in range(100)}
    assert limits(seen(counts=many)) == [400, 1000, None]


def test_few_images_take_more_epochs() -> None:
    assert [epochs(count) for count in (20, 1000, 10**6)] == [40, 10, 5]


def test_what_is_missing_is_told_with_what_can_stand_in_its_place(
    pictures: Path, tmp_path: Path
) -> None:
    outcome = convgraft("init", tmp_path / "nowhere" / "at" / "all")
    assert outcome.code == 2 and "try: the word digits" in outcome.err
    models = ("--models", "cifar_resnet20@none.safetensors", "cifar_resnet20")
    outcome = convgraft("fit", pictures, *models, "--out", tmp_path / "run")
    assert outcome.code == 2 and "try: ARCH@DEFAULT downloads" in outcome.err
