"""The rows say what the paper prints, and every one of them can be run at every scale."""

from __future__ import annotations

from dataclasses import replace

import pytest

from convgraft.errors import UsageError
from convgraft.studies.paper import read_material, read_rows, read_scale, rows_of

# model 1, model 2, pretrained on, retrained on, accuracy: copied from the paper once more
TABLE_2 = [
    ("Inception V3", "SqueezeNet", "-", "-", "CIFAR-100", 52.18),
    ("Inception V3", "SqueezeNet", "-", "-", "MNIST", 97.21),
    ("Inception V3", "SqueezeNet", "-", "-", "Natural Images", 89.57),
    ("Inception V3", "custom", "-", "MNIST", "CIFAR-100", 45.62),
    ("custom", "SqueezeNet", "Natural Images", "-", "CIFAR-100", 43.28),
    ("custom", "SqueezeNet", "MNIST", "-", "Natural Images", 60.82),
    ("custom", "Inception V3", "CIFAR-100", "-", "Natural Images", 73.23),
    ("custom 1", "custom 2", "MNIST", "CIFAR-100", "Natural Images", 62.23),
    ("custom 1", "custom 2", "CIFAR-100", "CIFAR-100", "Natural Images", 68.48),
]
TABLE_3 = [
    ("MNIST", "CIFAR-100", "Natural Images", 52.86, 55.15, 62.23),
    ("Natural Images", "MNIST", "CIFAR-100", 35.58, 34.29, 38.17),
    ("CIFAR-100", "CIFAR-100", "Natural Images", 42.15, 38.46, 68.48),
]
ROWS = read_rows()
SCALES = ("smoke", "cpu", "full")


def test_the_figures_are_the_papers() -> None:
    told = [row.printed for row in rows_of([2])]
    assert [(*x.models, *x.pretrained, x.retrained, x.accuracy) for x in told] == TABLE_2
    told = [row.printed for row in rows_of([3])]
    assert [(*x.pretrained, x.retrained, *x.transfer, x.accuracy) for x in told] == TABLE_3


def test_networks_and_images_are_those_that_the_paper_names() -> None:
    material = read_material()
    for row in ROWS.values():
        assert material.images[row.data].name == row.printed.retrained
        for text, called, before in zip(
            row.models, row.printed.models, row.printed.pretrained, strict=True
        ):
            architecture, _, learned = text.partition("@")
            assert material.networks[architecture].name.startswith(called.rstrip(" 12"))
            if before == "-":
                assert learned == "imagenet"
            else:
                assert material.images[material.pretraining[learned].data].name == before
        assert len(set(row.models)) == 2  # the same network twice would teach nothing


def test_every_row_has_the_arms_of_its_networks() -> None:
    for row in ROWS.values():
        arms = [(arm.name, arm.strategy, arm.options.start) for arm in row.study.arms]
        small = all(network.startswith("custom") for network in row.printed.models)
        assert arms == [
            ("cross-skip-raw", "cross-skip", "one"),
            ("cross-skip-zero", "cross-skip", "zero"),
            ("ladder", "ladder", ""),
            ("parallel", "parallel", ""),
            *([("co-learning", "parallel", "")] if small else []),
        ]
        assert row.study.baselines == ("probe", "finetune")


def test_rows_that_are_run_once_are_the_same_study() -> None:
    shared = [row for row in ROWS.values() if row.printed.same_as]
    assert [(row.name, row.run_as) for row in shared] == [
        ("table2-8", "table3-1"),
        ("table2-9", "table3-3"),
    ]
    for row in shared:
        assert replace(row.study, name=row.run_as) == ROWS[row.run_as].study
        assert row.printed.accuracy == ROWS[row.run_as].printed.accuracy


@pytest.mark.parametrize("name", SCALES)
def test_a_scale_has_amounts_and_sizes_for_every_row(name: str) -> None:
    scale, material = read_scale(name), read_material()
    assert set(scale.sizes) == set(material.networks)
    for row in ROWS.values():
        assert scale.tables[row.printed.table].amounts[row.data].epochs >= 1
    for earlier in material.pretraining.values():
        assert scale.pretraining[earlier.data].epochs >= 1


def test_table_3_has_five_seeds_where_figures_mean_something() -> None:
    assert [read_scale(name).tables[3].seeds for name in ("cpu", "full")] == [5, 5]


def test_some_rows_are_chosen_by_name() -> None:
    assert [row.name for row in rows_of([2, 3], ["table3-2", "table2-1"])] == [
        "table2-1",
        "table3-2",
    ]
    with pytest.raises(UsageError, match="no row") as told:
        rows_of([2], ["table2-10"])
    assert "table2-1" in (told.value.hint or "")
    with pytest.raises(UsageError):
        rows_of([2], ["table3-1"])


def test_an_unknown_scale_is_told() -> None:
    with pytest.raises(UsageError, match="no scale") as told:
        read_scale("cpus")
    assert told.value.hint == "did you mean cpu?"
