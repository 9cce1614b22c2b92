"""What is missing is told at once; stand-ins are told by name; amounts are kept to."""

from __future__ import annotations

from pathlib import Path

import pytest

from convgraft.errors import UsageError
from convgraft.studies.paper import Amount, Places, count_images, read_rows, read_scale, rows_of

SCALE = read_scale("cpu")
FILES = ("squeezenet1_1-imagenet.safetensors", "mobilenet_v2-imagenet.safetensors")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).touch()
    return tmp_path


def test_everything_missing_is_told_together(few_pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as told:
        Places(tmp_path / "d", tmp_path / "w", tmp_path).check(rows_of([2]), SCALE)
    expected = told.value.expected or ""
    for name in ("natural_images", "cifar100", "mnist10k/all.parquet"):
        assert f"{name} in {tmp_path / 'd'}" in expected
    assert f"squeezenet1_1-imagenet.safetensors in {tmp_path / 'w'}" in expected
    assert expected.count("inception_v3-imagenet.safetensors or mobilenet_v2") == 1
    assert "CONVGRAFT_DATA" in (told.value.hint or "")
    with pytest.raises(UsageError) as told:
        Places(None, None, tmp_path).check(rows_of([3]), SCALE)
    assert "a folder of data" in (told.value.expected or "")
    assert "imagenet" not in (told.value.expected or "")


def test_rows_of_our_own_networks_need_no_weights(few_pictures: Path, tmp_path: Path) -> None:
    places = Places(few_pictures, None, tmp_path / "out")
    places.check(rows_of([3]), SCALE)
    one, other = places.models(read_rows()["table3-3"], SCALE)
    assert one.weights == tmp_path / "out" / "pretrained" / "custom16-cifar100"
    assert other.spec.endswith("custom16-cifar100-2")
    assert (one.name, one.size) == ("custom", SCALE.sizes["custom16"])


def test_mobilenet_stands_in_for_inception_and_says_so(weights: Path, tmp_path: Path) -> None:
    row = read_rows()["table2-4"]
    places = Places(None, weights, tmp_path)
    first, second = places.models(row, SCALE)
    assert first.name == "MobileNetV2 in place of Inception V3"
    assert (first.architecture, first.size) == ("torchvision/mobilenet_v2", 64)
    assert second.name == "custom"
    (weights / "inception_v3-imagenet.safetensors").touch()
    first, _ = places.models(row, SCALE)
    assert (first.name, first.asked) == ("Inception V3", first.architecture)


def test_studies_that_are_the_same_share_a_folder(tmp_path: Path) -> None:
    places, rows = Places(None, None, tmp_path), read_rows()
    assert places.study(rows["table2-8"]) == places.study(rows["table3-1"])
    assert places.study(rows["table2-1"]) == tmp_path / "table2" / "table2-1"


def test_an_amount_takes_that_much_and_tests_on_the_same_images(few_pictures: Path) -> None:
    images = Places(few_pictures, None, few_pictures).images("natural_images")
    few, more = Amount(9, 4, 8, 1), Amount(24, None, 8, 1)
    split, larger = few.split(images, 3), more.split(images, 3)
    assert [len(part) for part in (split.train, split.val, split.test)] == [9, 4, 8]
    assert (len(larger.train), len(larger.val)) == (24, 6)
    assert split.test == larger.test
    assert not {*split.test} & {*larger.train, *larger.val}
    assert split.test != few.split(images, 4).test
    whole = Amount(10**6, None, None, 1).split(images, 0)  # at most what there is
    assert sum(map(len, (whole.train, whole.val, whole.test))) == len(images) == 60


def test_images_are_counted_and_copies_are_seen(few_pictures: Path) -> None:
    places = Places(few_pictures, None, few_pictures)
    counts = count_images("natural_images", places.images("natural_images"))
    assert counts.classes == {"blue": 20, "green": 20, "red": 20}
    assert (counts.copies, counts.side, counts.parts) == (1, 16, {})
    assert counts.printed["airplane"] == 727 and sum(counts.printed.values()) == 6899
    counts = count_images("cifar100", places.images("cifar100"))
    assert counts.parts == {"train": 60, "test": 15}
    assert (counts.copies, counts.leaks, counts.printed) == (0, 0, {})
