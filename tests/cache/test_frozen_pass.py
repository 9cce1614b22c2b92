"""The frozen pass stores what the network gives, once for each image, whatever stops it."""

from __future__ import annotations

import errno
import itertools
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_cache import started
from helpers_frontier import cut_of, held
from PIL import Image
from torch import Tensor, nn

from convgraft.cache import Cache, keeper, one_pass, writer
from convgraft.cache.frontier import Frontier
from convgraft.cache.frozen_pass import FrozenPass
from convgraft.cache.split import front_of
from convgraft.cache.values import Value, companions, cut_values
from convgraft.data import BrokenImage, ImageSet, image_ids, load_pixels, open_images
from convgraft.errors import RunError
from convgraft.sources import source
from helpers import small

COUNT, SIZE = 40, 32


@pytest.fixture(scope="module")
def frontier() -> Frontier:
    """Of two frozen networks under a joint head."""
    return cut_of(held({"a": small(0), "b": small(1)}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for number in range(COUNT):
        path = tmp_path / "set" / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (12, 10, 3), np.uint8)).save(path)
    return tmp_path / "set"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", limit=2**24)


@pytest.fixture(autouse=True)
def _short_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_pass, "BATCH", 8)
    monkeypatch.setattr(keeper, "COMMIT_BYTES", 1)


def over(images: ImageSet, cache: Cache, **options: object) -> FrozenPass:
    """A pass over all images."""
    indices = tuple(range(len(images)))
    ids = image_ids(images, indices)
    assert ids is not None
    return FrozenPass(images, indices, ids, SIZE, cache, **options)  # type: ignore[arg-type]


def stored(through: FrozenPass, values: tuple[Value, ...]) -> list[Tensor]:
    """What is stored of all images."""
    entries = [through.entry(value) for value in values]
    return [entry.read(entry.slots(through.ids)) for entry in entries]


def expected(frontier: Frontier, root: Path, values: tuple[Value, ...]) -> tuple[Tensor, ...]:
    with torch.inference_mode():
        return front_of(frontier, values)(load_pixels(open_images(root), SIZE).images)


def assert_close(found: list[Tensor], wanted: tuple[Tensor, ...]) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("few", [one_pass.FEW, 1])
def test_values_are_those_of_the_network(
    frontier: Frontier, root: Path, cache: Cache, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_pass, "FEW", few)
    cut = cut_values(frontier)
    values = (*cut, *companions(frontier, cut))
    assert len(values) > 6
    seen: list[tuple[int, int]] = []
    through = over(open_images(root), cache, on_progress=lambda *counts: seen.append(counts))
    notes = through.store(frontier, cut)
    assert notes.computed == {"a": COUNT, "b": COUNT}
    assert seen[-1] == (COUNT, COUNT)
    assert_close(stored(through, values), expected(frontier, root, values))
    again = over(open_images(root), cache).store(frontier, values)
    assert again.computed == {}


def test_what_is_stored_of_one_network_is_not_computed_for_two(
    frontier: Frontier, root: Path, cache: Cache
) -> None:
    alone = cut_of(held({"x": small(1)}))
    assert over(open_images(root), cache).store(alone, cut_values(alone)).computed == {"x": COUNT}
    notes = over(open_images(root), cache).store(frontier, cut_values(frontier))
    assert notes.computed == {"a": COUNT}


def test_only_what_is_missing_is_computed(frontier: Frontier, root: Path, cache: Cache) -> None:
    images, cut = open_images(root), cut_values(frontier)
    some = tuple(range(0, COUNT, 4))
    ids = image_ids(images, some)
    assert ids is not None
    FrozenPass(images, some, ids, SIZE, cache).store(frontier, cut)
    Image.new("RGB", (10, 12), "red").save(root / "a/00.png")
    os.utime(root / "a/00.png", ns=(0, 1))
    through = over(open_images(root), cache)
    missing = COUNT - len(some) + 1
    assert through.store(frontier, cut).computed == {"a": missing, "b": missing}
    assert_close(stored(through, cut), expected(frontier, root, cut))


def test_no_image_goes_twice_where_values_lack_others(
    frontier: Frontier, root: Path, cache: Cache
) -> None:
    images, (first, second) = open_images(root), cut_values(frontier)
    for value, rows in ((first, range(10)), (second, range(5, 20))):
        ids = image_ids(images, rows)
        assert ids is not None
        FrozenPass(images, rows, ids, SIZE, cache).store(frontier, [value])
    notes = over(open_images(root), cache).store(frontier, [first, second])
    assert notes.computed == {"a": COUNT - 10, "b": COUNT - 15}


def test_broken_images_are_left_out_and_told(frontier: Frontier, root: Path, cache: Cache) -> None:
    (root / "b/01.png").write_bytes(b"")
    cut = cut_values(frontier)
    for computed in (COUNT - 1, 0):
        through = over(open_images(root), cache)
        notes = through.store(frontier, cut)
        assert [image.id for image in notes.broken] == ["b/01.png"]
        assert notes.computed == ({"a": computed, "b": computed} if computed else {})
        slots = through.entry(cut[0]).slots(through.ids)
        assert np.flatnonzero(slots < 0).tolist() == [COUNT // 2]
        assert not len(through.missing(cut[0]))  # it is not tried again
    with pytest.raises(BrokenImage, match=r"b/01.png"):
        over(open_images(root), cache, strict=True).store(frontier, cut)


def test_a_file_that_changes_while_it_is_read_is_not_stored(
    frontier: Frontier, root: Path, cache: Cache
) -> None:
    opened, times = open_images(root), itertools.count(2**40)

    def changing(index: int) -> object:
        data = opened.source(index)
        if index == 5:
            os.utime(root / opened.ids[5], ns=(0, next(times)))
        return data

    images = replace(opened, source=changing)  # type: ignore[arg-type]
    cut = cut_values(frontier)
    through = over(images, cache)
    notes = through.store(frontier, cut)
    assert [str(image) for image in notes.broken] == ["a/10.png changed while it was read"]
    slots = through.entry(cut[0]).slots(through.ids)
    assert np.flatnonzero(slots < 0).tolist() == [5]
    with pytest.raises(BrokenImage, match="changed"):
        over(images, cache, strict=True).store(frontier, cut)
    assert over(opened, cache).store(frontier, cut).computed == {"a": 1, "b": 1}


def stop_after(images: int) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        if done >= images:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize("commit", [1, 2**30])
def test_stopped_it_goes_on_where_it_was(
    frontier: Frontier, root: Path, cache: Cache, commit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "COMMIT_BYTES", commit)
    cut = cut_values(frontier)
    with pytest.raises(KeyboardInterrupt):
        over(open_images(root), cache, on_progress=stop_after(16)).store(frontier, cut)
    through = over(open_images(root), cache)
    assert through.store(frontier, cut).computed == {"a": COUNT - 16, "b": COUNT - 16}
    assert_close(stored(through, cut), expected(frontier, root, cut))


def test_stopped_it_ends_in_the_same_bits(
    frontier: Frontier, root: Path, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_pass, "FEW", COUNT)  # the rest is fewer
    cut = cut_values(frontier)
    whole = over(open_images(root), Cache(tmp_path / "whole", limit=2**24))
    whole.store(frontier, cut)
    with pytest.raises(KeyboardInterrupt):
        over(open_images(root), cache, on_progress=stop_after(16)).store(frontier, cut)
    through = over(open_images(root), cache)
    through.store(frontier, cut)
    pairs = zip(stored(through, cut), stored(whole, cut), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def die_after(images: int) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        if done >= images:
            os.kill(os.getpid(), signal.SIGKILL)

    return report


def _store(
    frontier: Frontier, root: Path, cache: Cache, told: Path | None, images: int | None
) -> None:
    torch.set_num_threads(1)
    through = over(open_images(root), cache, on_progress=die_after(images) if images else None)
    notes = through.store(frontier, cut_values(frontier))
    if told:
        told.write_text(str(sum(notes.computed.values())))


def test_killed_it_goes_on_at_its_last_commit(frontier: Frontier, root: Path, cache: Cache) -> None:
    process = started(_store, frontier, root, cache, None, 24)
    process.join(300)
    assert process.exitcode == -signal.SIGKILL
    cut, through = cut_values(frontier), over(open_images(root), cache)
    assert through.store(frontier, cut).computed == {"a": COUNT - 24, "b": COUNT - 24}
    assert_close(stored(through, cut), expected(frontier, root, cut))


def test_two_processes_compute_each_image_once(
    frontier: Frontier, root: Path, cache: Cache, tmp_path: Path
) -> None:
    told = [tmp_path / name for name in ("one", "two")]
    both = [started(_store, frontier, root, cache, path, None) for path in told]
    for process in both:
        process.join(300)
    assert [process.exitcode for process in both] == [0, 0]
    assert sum(int(path.read_text()) for path in told) == 2 * COUNT
    assert over(open_images(root), cache).store(frontier, cut_values(frontier)).computed == {}


def test_damaged_rows_are_computed_anew(frontier: Frontier, root: Path, cache: Cache) -> None:
    cut = cut_values(frontier)
    first = over(open_images(root), cache)
    first.store(frontier, cut)
    rows = first.entry(cut[1]).folder / "rows.bin"
    data = bytearray(rows.read_bytes())
    data[9 * first.entry(cut[1]).row.row_bytes] ^= 1  # in the second batch of eight
    rows.write_bytes(data)
    through = over(open_images(root), cache)
    assert through.store(frontier, cut).computed == {"b": 8}
    assert_close(stored(through, cut), expected(frontier, root, cut))


def test_a_full_disk_stops_it_with_whole_batches_stored(
    frontier: Frontier, root: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = cut_values(frontier)
    written: list[int] = []

    def full(file: object, rows: object) -> None:
        written.append(1)
        if len(written) > 2 * (2 + len(companions(frontier, cut))):
            raise OSError(errno.ENOSPC, "No space left on device")
        original(file, rows)  # type: ignore[arg-type]

    original = writer.write_all
    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_all", full)
        with pytest.raises(RunError, match="the disk is full"):
            over(open_images(root), cache).store(frontier, cut)
    through = over(open_images(root), cache)
    assert {through.entry(value).rows for value in cut} == {16}
    assert through.store(frontier, cut).computed == {"a": COUNT - 16, "b": COUNT - 16}
    assert_close(stored(through, cut), expected(frontier, root, cut))


def test_the_limit_holds_with_what_is_stored_beside(
    frontier: Frontier, root: Path, cache: Cache
) -> None:
    cut = cut_values(frontier)
    bytes_of_cut = COUNT * frontier.bytes
    tight = replace(cache, limit=bytes_of_cut + 4096)
    assert over(open_images(root), tight).has_room(cut)
    over(open_images(root), tight).store(frontier, cut)
    assert len(tight.entries()) == len(cut)
    assert not over(open_images(root), replace(cache, limit=bytes_of_cut // 2)).has_room(
        cut_values(frontier, "another view")
    )


def test_views_are_other_entries(frontier: Frontier, root: Path, cache: Cache) -> None:
    flipped = over(open_images(root), cache, augment=lambda image_id, image: image.flip(-1))
    flipped.store(frontier, (cut := cut_values(frontier, "flipped 0")), "flipped 0")
    plain = over(open_images(root), cache)
    assert plain.store(frontier, cut_values(frontier)).computed == {"a": COUNT, "b": COUNT}
    pixels = load_pixels(open_images(root), SIZE).images.flip(-1)
    with torch.inference_mode():
        assert_close(stored(flipped, cut), front_of(frontier, cut)(pixels))


class Vectors(nn.Module):
    """Writes over a vector that a side head reads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.tanh, self.relu = nn.Conv2d(3, 32, 3), nn.Tanh(), nn.ReLU(inplace=True)
        self.middle, self.fc = nn.Linear(32, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.tanh(self.middle(self.conv(x).mean((2, 3))))
        return self.fc(self.relu(x))


def test_what_is_stored_beside_is_what_its_key_says(root: Path, cache: Cache) -> None:
    probe = cut_of(held({"a": source(Vectors(), size=SIZE)}, "probe"))
    cut, through = cut_values(probe), over(open_images(root), cache)
    through.store(probe, cut)
    for value in (*cut, *companions(probe, cut)):
        assert_close(stored(through, (value,)), expected(probe, root, (value,)))


def test_what_is_cleared_while_a_pass_waits_is_computed_as_well(
    frontier: Frontier, root: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, cut = open_images(root), cut_values(frontier)
    ids = image_ids(images, range(COUNT // 2))
    assert ids is not None
    FrozenPass(images, range(COUNT // 2), ids, SIZE, cache).store(frontier, cut)
    through = over(images, cache)
    run = FrozenPass._run

    def clearing(self: FrozenPass, *arguments: object) -> int:
        if not cleared:
            cleared.append(cache.clear())
        return run(self, *arguments)  # type: ignore[arg-type]

    cleared: list[int] = []
    monkeypatch.setattr(FrozenPass, "_run", clearing)
    through.store(frontier, cut)
    assert cleared[0] > 0
    assert all((through.entry(value).slots(through.ids) >= 0).all() for value in cut)


def test_values_that_keep_going_away_are_told(
    frontier: Frontier, root: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    through = over(open_images(root), cache)
    monkeypatch.setattr(FrozenPass, "_run", lambda self, *arguments: 1)
    with pytest.raises(RunError, match="go away"):
        through.store(frontier, cut_values(frontier))


def test_a_value_that_two_networks_share_has_one_writer(
    frontier: Frontier, root: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks with the same weights give values of the same key; two writers damaged its rows."""
    values = cut_values(frontier)
    wrote: list[tuple[str, bytes]] = []
    commit = keeper._commit

    def noted(ids: np.ndarray, place: tuple, column: list[Tensor]) -> None:
        wrote.append((place[0].key, ids.tobytes()))
        commit(ids, place, column)

    monkeypatch.setattr(keeper, "_commit", noted)
    through = over(open_images(root), cache)
    through.store(frontier, (*values, *values))
    assert len(wrote) == len(set(wrote)) > 0
    assert all(len(value) == COUNT for value in stored(through, values))
