"""Several processes train one network: the same as one of them with the same batches."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_ranks import fitted, run_ranks, solved, start_ranks, streamed_answers
from PIL import Image

pytestmark = pytest.mark.slow
OPTIONS = {"epochs": 2, "batch_size": 32, "accelerator": "cpu", "seed": 1}
FROZEN = {"strategy": "parallel", "freeze": "heads-only"}
LEARNING = {"strategy": "parallel", "freeze": "all"}
TWO_LOSSES = {"strategy": "cross-skip", "freeze": "all", "loss": "co-learning"}
EXACT = OPTIONS | {"precision": "64-true", "optimiser": "sgd", "batch_size": 16}
FEW = {"options": EXACT | {"epochs": 1}, "limit": 50}
# a last batch of two images, of which a third rank has none
WORKS: dict[str, dict[str, Any]] = {
    "frozen sources": {"design": FROZEN, "options": OPTIONS, "limit": 98},
    "learning batch norm": {
        "design": LEARNING,
        "options": EXACT,
        "limit": 50,
        "known_labels": 900,  # of 1,797
    },
    "in float32": {
        "design": LEARNING,
        "options": OPTIONS
        | {"batch_size": 25, "lr": 1e-3, "epochs": 1, "augment": "digits", "optimiser": "sgd"},
        "limit": 75,
    },
    "losses balanced by gradients": FEW | {"design": TWO_LOSSES, "balance": "gradnorm"},
    "losses balanced by noise": FEW | {"design": TWO_LOSSES, "balance": "uncertainty"},
}
works = [("fitted", given) for given in WORKS.values()]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVGRAFT_CACHE", str(tmp_path_factory.mktemp("alone")))
        yield {name: fitted(**given) for name, given in WORKS.items()}


@pytest.fixture(scope="module", params=[2, 3], ids=["two ranks", "three ranks"])
def together(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, dict[str, Any]]]:
    """What each rank came to, by piece of work."""
    folder = tmp_path_factory.mktemp("together")
    found = run_ranks(request.param, works, folder / "told", folder / "store")
    return [dict(zip(WORKS, told, strict=True)) for told in found]


@pytest.mark.parametrize("name", list(WORKS))
def test_it_ends_as_one_process_does(
    name: str, alone: dict[str, dict[str, Any]], together: list[dict[str, dict[str, Any]]]
) -> None:
    whole = alone[name]
    for own in (rank[name] for rank in together):
        assert own["best"] == whole["best"]
        for ours, theirs in zip(own["curve"], whole["curve"], strict=True):
            assert ours["train_loss"] == pytest.approx(theirs["train_loss"], abs=1e-4)
            for answer, score in theirs["val"].items():
                assert ours["val"][answer] == pytest.approx(score, abs=1e-4)
        for weight, value in whole["weights"].items():
            torch.testing.assert_close(own["weights"][weight], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", list(WORKS))
def test_all_ranks_end_in_the_same_weights_bit_for_bit(
    name: str, together: list[dict[str, dict[str, Any]]]
) -> None:
    first, *others = (rank[name] for rank in together)
    for own in others:
        assert own["curve"] == first["curve"]
        for weight, value in first["weights"].items():
            assert torch.equal(own["weights"][weight], value), weight


@pytest.mark.parametrize("name", ["frozen sources", "in float32"])
def test_the_batches_are_those_of_one_process(
    name: str, alone: dict[str, dict[str, Any]], together: list[dict[str, dict[str, Any]]]
) -> None:
    world = len(together)
    batches = alone[name]["orders"]
    limit, size = WORKS[name]["limit"], WORKS[name]["options"]["batch_size"]
    epoch = batches[: -(-limit // size)]
    assert sorted(row for rows in epoch for row in rows) == list(range(limit))
    for rank, own in enumerate(together):
        assert own[name]["orders"] == [rows[rank::world] for rows in batches]


def test_every_image_goes_through_the_frozen_part_once(
    alone: dict[str, dict[str, Any]], together: list[dict[str, dict[str, Any]]]
) -> None:
    images = 98 + 33
    assert alone["frozen sources"]["computed"] == 2 * images  # of two sources
    assert {own["frozen sources"]["computed"] for own in together} == {2 * images}


def test_all_stream_where_one_has_no_room_to_keep_pixels(tmp_path: Path) -> None:
    given = FEW | {"design": LEARNING, "no_room_on": 1}
    found = run_ranks(2, [("fitted", given)], tmp_path / "told", tmp_path / "store")
    (one,), (other,) = found
    assert one["pixels"] == other["pixels"] == "Streamed"
    assert sorted(row for told in (one, other) for rows in told["orders"] for row in rows) == [
        *range(50)
    ]
    assert all(torch.equal(value, other["weights"][name]) for name, value in one["weights"].items())


def test_ridge_heads_are_solved_on_the_images_of_all_ranks(tmp_path: Path) -> None:
    alone = solved()
    for rank in run_ranks(2, [("solved", {})], tmp_path / "told", tmp_path / "store"):
        assert rank[0]["penalties"] == alone["penalties"]
        for name, weight in rank[0]["weights"].items():
            torch.testing.assert_close(weight, alone["weights"][name], atol=1e-4, rtol=1e-4)


def test_broken_images_that_are_streamed_have_no_answer_on_any_rank(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    with tarfile.open(folder / "a.tar", "w") as tar:
        for row in range(13):
            file = BytesIO()
            Image.fromarray(np.full((8, 8, 3), 9 * row, np.uint8)).save(file, "PNG")
            data = b"no picture" if row in (3, 8) else file.getvalue()
            for name, content in ((f"{row}.png", data), (f"{row}.cls", b"%d" % (row % 2))):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, BytesIO(content))
    alone = streamed_answers(str(folder))
    assert alone["broken"] == ["a.tar#3", "a.tar#8"] and len(alone["labels"]) == 11
    works = [("streamed_answers", {"shards": str(folder)})]
    for rank in run_ranks(2, works, tmp_path / "told", tmp_path / "store"):
        assert {name: rank[0][name] for name in ("indices", "broken")} == {
            name: alone[name] for name in ("indices", "broken")
        }
        assert torch.equal(rank[0]["labels"], alone["labels"])
        for name, logits in rank[0]["logits"].items():
            torch.testing.assert_close(logits, alone["logits"][name], atol=1e-4, rtol=1e-4)


def test_machines_that_do_not_share_a_disk_compute_what_each_lacks(
    alone: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    stores = [tmp_path / "one", tmp_path / "other", tmp_path / "one"]
    found = run_ranks(3, works[:1], tmp_path / "told", stores)
    images = 98 + 33
    for (own,) in found:
        assert own["computed"] == 2 * 2 * images
        assert own["curve"][-1]["train_loss"] == pytest.approx(
            alone["frozen sources"]["curve"][-1]["train_loss"], abs=1e-4
        )


@pytest.mark.parametrize("then", [1, 2, 3])
def test_a_rank_that_dies_ends_all_and_any_number_of_them_goes_on(
    then: int, alone: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVGRAFT_CACHE", str(tmp_path / "store"))
    given = WORKS["frozen sources"] | {"checkpoint": str(tmp_path / "x.ckpt")}
    given["options"] = OPTIONS | {"checkpoint_minutes": 1e-9}
    work = [("fitted", given | {"die_after": 7})]  # of eight steps
    died = start_ranks(2, work, tmp_path / "died", tmp_path / "store")
    for process in died:
        process.join(500)
    assert [process.exitcode for process in died] == [1, 9]
    state = torch.load(tmp_path / "x.ckpt", weights_only=True)["convgraft"]
    assert (state["epoch"], state["step"]) == (1, 2)
    if then == 1:
        again = [[fitted(**given)]]
    else:
        again = run_ranks(then, [("fitted", given)], tmp_path / "again", tmp_path / "store")
    for (own,) in again:
        assert len(own["orders"]) == 2  # of eight batches, two that nobody had trained on
        curve = alone["frozen sources"]["curve"]
        assert len(own["curve"]) == len(curve)
        for ours, theirs in zip(own["curve"], curve, strict=True):
            assert ours["train_loss"] == pytest.approx(theirs["train_loss"], abs=1e-4)
            assert ours["val"]["label"] == pytest.approx(theirs["val"]["label"], abs=1e-4)


def test_whoever_is_asked_to_stop_all_stop_at_the_same_step(tmp_path: Path) -> None:
    given = WORKS["frozen sources"] | {"stop_after": 6}
    found = run_ranks(2, [("fitted", given)], tmp_path / "told", tmp_path / "store")
    for (own,) in found:
        assert own["interrupted"]
        assert len(own["curve"]) == 1
        for weight, value in found[0][0]["weights"].items():
            assert torch.equal(own["weights"][weight], value)
    assert os.environ.get("WORLD_SIZE") is None
