"""Training on images that are decoded on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from convgraft.data import ImageSet, PixelDataset, Streamed, augmentation, load_pixels, open_images
from convgraft.data import split_images as split_of
from convgraft.sources import source
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.training import PRESETS, FitOptions, Task, evaluate, fit, loaders
from convgraft.training.epochs import Batch
from convgraft.training.loaders import loader
from convgraft.training.ranks import Ranks
from convgraft.training.views import AS_THEY_ARE, views_of

Write = Callable[..., Path]
SHOTS = 12  # pictures of a shard


def picture(row: int) -> bytes:
    """Dark or light noise: two classes that are quickly told apart."""
    low = (row % 2) * 128
    pixels = np.random.default_rng(row).integers(low, low + 128, (8, 8, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.setenv("CONVGRAFT_CACHE", str(tmp_path / "store"))

    def make(*lengths: int, broken: tuple[int, ...] = ()) -> Path:
        (tmp_path / "shards").mkdir()
        row = 0
        for number, length in enumerate(lengths):
            with tarfile.open(tmp_path / "shards" / f"a-{number}.tar", "w") as tar:
                for _ in range(length):
                    data = b"no picture" if row in broken else picture(row)
                    labels = json.dumps({"label": row % 2, "row": row}).encode()
                    for name, content in ((f"{row}.png", data), (f"{row}.json", labels)):
                        member = tarfile.TarInfo(name)
                        member.size = len(content)
                        tar.addfile(member, BytesIO(content))
                    row += 1
        return tmp_path / "shards"

    return make


@pytest.fixture
def small_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three shards at a time, so that orders differ from those of a set that fits in memory."""
    from convgraft.data import shard_order

    monkeypatch.setattr(shard_order.shard_order, "__kwdefaults__", {"buffer": 30, "most": 3})


def opened(folder: Path) -> ImageSet:
    return open_images(folder, target=["label", "row"])


def rows_of(batches: list[Batch], images: ImageSet) -> list[int]:
    names = images.others["row"].classes
    return [int(names[label]) for _, labels in batches for label in labels["row"].tolist()]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more than this machine's cores
@pytest.mark.usefixtures("small_buffer")
def test_every_image_comes_once_an_epoch_with_any_number_of_workers(write: Write) -> None:
    images = opened(write(*[SHOTS] * 8))
    orders: list[list[int]] = []
    for workers in (0, 1, 2, 4):
        options = FitOptions(batch_size=16, workers=workers)
        drawn = loader(Streamed(images, 8), options, shuffle=True, seed=3)
        for epoch in (0, 1):
            orders.append(rows_of(list(drawn.epoch(epoch)), images))
            assert orders[-1] == drawn.order(epoch).tolist()
            assert sorted(orders[-1]) == list(range(8 * SHOTS))
    assert orders[0::2] == [orders[0]] * 4 and orders[1::2] == [orders[1]] * 4
    assert orders[0] != orders[1]


@pytest.mark.usefixtures("small_buffer")
@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_each_batch(write: Write, world: int) -> None:
    images = opened(write(*[SHOTS] * 3, 1))  # the last batch has five images
    options = FitOptions(batch_size=16)
    whole = list(loader(Streamed(images, 8), options, shuffle=True, seed=1).epoch(2))
    for rank in range(world):
        ranks = Ranks(rank, world)
        drawn = loader(Streamed(images, 8), options, shuffle=True, seed=1, ranks=ranks)
        for ((own,), labels), ((pixels,), known) in zip(drawn.epoch(2), whole, strict=True):
            assert torch.equal(own, pixels[rank::world])
            assert torch.equal(labels["row"], known["row"][rank::world])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_rank_without_an_image_gets_an_empty_batch(write: Write, workers: int) -> None:
    options = FitOptions(batch_size=16, workers=workers)
    streamed = Streamed(opened(write(34)), 8)
    drawn = loader(streamed, options, shuffle=True, seed=1, ranks=Ranks(2, 3))
    batches = list(drawn.epoch(0))
    assert len(batches) == drawn.steps == 3
    assert batches[-1][0][0].shape == (0, 3, 8, 8)


@pytest.mark.usefixtures("small_buffer")
@pytest.mark.parametrize("augment", ["none", "light"])
@pytest.mark.parametrize("workers", [0, 2])
def test_views_are_those_of_images_that_are_kept(write: Write, workers: int, augment: str) -> None:
    images = opened(write(*[SHOTS] * 4))
    options = FitOptions(batch_size=16, workers=workers, augment=augment)
    drawn = loader(Streamed(images, 8), options, shuffle=True, seed=5)
    kept = load_pixels(images, 8)
    views = PixelDataset(kept, range(len(kept)), augment=augmentation(augment, 8), seed=5)
    before = torch.random.get_rng_state()
    shown = torch.cat([pixels for (pixels,), _ in drawn.epoch(3)])
    assert torch.equal(torch.random.get_rng_state(), before)
    naive = torch.stack([views[3, row][0] for row in drawn.order(3).tolist()])
    assert torch.equal(shown, naive)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_goes_on_in_the_middle(write: Write, workers: int) -> None:
    images = opened(write(*[SHOTS] * 6))
    options = FitOptions(batch_size=16, workers=workers, augment="light")
    drawn = loader(Streamed(images, 8), options, shuffle=True, seed=1)
    whole, rest = list(drawn.epoch(1)), list(drawn.epoch(1, 3))
    assert len(rest) == len(whole) - 3 == 2
    for ((one,), _), ((other,), _) in zip(whole[3:], rest, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_images_leave_their_batches_smaller(write: Write, workers: int) -> None:
    images = opened(write(30, 30, broken=(7, 8, 40)))
    streamed = Streamed(images, 8)
    options = FitOptions(batch_size=16, workers=workers)
    drawn = loader(streamed, options, shuffle=True, seed=1)
    for epoch in (0, 1):
        batches = list(drawn.epoch(epoch))
        assert len(batches) == drawn.steps == 4
        order = [row for row in drawn.order(epoch).tolist() if row not in (7, 8, 40)]
        assert rows_of(batches, images) == order
    assert [one.id for one in streamed.broken] == ["a-0.tar#7", "a-0.tar#8", "a-1.tar#40"]


def test_a_batch_that_broken_images_emptied_is_passed_over(write: Write) -> None:
    images = opened(write(8, broken=(0, 1, 2, 3)))
    options = FitOptions(batch_size=2)
    drawn = loader(Streamed(images, 8), options, shuffle=True, seed=0)
    batches = list(drawn.epoch(0))
    assert all(len(pixels) == 2 for (pixels,), _ in batches)
    shared = loader(Streamed(images, 8), options, shuffle=True, seed=0, ranks=Ranks(0, 2))
    assert len(list(shared.epoch(0))) == drawn.steps == 4


def test_validation_is_in_order(write: Write) -> None:
    images = opened(write(20, 20))
    drawn = loader(Streamed(images, 8), FitOptions(batch_size=4), shuffle=False, seed=0)
    batches = list(drawn.epoch(0))
    assert rows_of(batches, images) == list(range(40))
    assert [len(pixels) for (pixels,), _ in batches] == [16, 16, 8]


def network(task: Task) -> tuple[object, Ingredients]:
    given = Ingredients({"a": source("cifar_resnet20")}, 8, 2)
    return STRATEGIES["finetune"].write(given), given


def trained(task: Task, options: FitOptions) -> tuple[dict[str, Tensor], float]:
    from convgraft.compose import compose

    plan, given = network(task)
    made = compose(plan, given.sources, seed=0)  # type: ignore[arg-type]
    result = fit(made, task, PRESETS["all"], options)
    state = dict(result.composite.state_dict())
    return state, evaluate(result.composite, task.pixels("test"))["label"].top1


@pytest.mark.parametrize("broken", [(), (3, 50)])
def test_a_streamed_fit_is_the_fit_on_kept_pixels_in_that_order(
    write: Write, broken: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = open_images(write(*[SHOTS] * 8, broken=broken), target="label")
    split = split_of(images, seed=0)
    options = FitOptions(epochs=2, batch_size=16, augment="light")
    streamed = Task(images, split, 8, cache=None)
    ours, top1 = trained(streamed, options)
    assert isinstance(streamed.pixels("train"), Streamed)
    assert {one.id for one in streamed.broken} == {f"a-{row // SHOTS}.tar#{row}" for row in broken}
    if broken:  # rows count otherwise where broken images are known beforehand
        return
    kept = Task(images, split, 8, cache=None)
    monkeypatch.setattr(Task, "streams", lambda self, part: False)
    drawn = loader(streamed.pixels("train"), options, shuffle=True, seed=0)
    monkeypatch.setattr(loaders.Epochs, "order", _order(drawn.order))
    theirs, same = trained(kept, options)
    assert not isinstance(kept.pixels("train"), Streamed)
    assert top1 == same and ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def _order(shuffled: Callable[[int], Tensor]) -> Callable[..., Tensor]:
    def order(self: loaders.Epochs, number: int) -> Tensor:
        return shuffled(number) if self._shuffle else torch.arange(self._count)

    return order


def test_frozen_parts_are_stored_and_read_as_ever(write: Write, tmp_path: Path) -> None:
    from convgraft.compose import compose

    images = open_images(write(*[SHOTS] * 8, broken=(5,)), target="label")
    split = split_of(images, seed=0)
    found = []
    for stream in (False, True):
        task = Task(images, split, 8, stream=stream)
        plan = STRATEGIES["probe"].write(Ingredients({"a": source("cifar_resnet20")}, 8, 2))
        made = compose(plan, {"a": source("cifar_resnet20")}, seed=0)
        options = FitOptions(epochs=1, batch_size=16)
        fit(made, task, PRESETS["heads-only"], options)
        found.append(sum(task.computed.values()))
        assert [one.id for one in task.broken] == ["a-0.tar#5"]
    known = len(split.train) + len(split.val) - 1
    assert found == [known, 0]


def test_views_beside_stored_values_are_of_the_right_images(write: Write) -> None:
    images = opened(write(9, broken=(2,)))
    streamed, kept = Streamed(images, 8), load_pixels(images, 8)
    list(streamed.batches([torch.arange(9)]))  # from now on one is known to be broken
    assert streamed.indices == kept.indices == (0, 1, 3, 4, 5, 6, 7, 8)
    names = [images.ids[index] for index in kept.indices]
    read = views_of(streamed, np.array(kept.indices), names, AS_THEY_ARE)
    assert torch.equal(read(torch.arange(8), 0), kept.images)


def test_a_task_streams_where_decoded_images_have_no_room(
    digits_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    from convgraft.data import pixels

    task = Task(digits_task.images, digits_task.split, 8, cache=None)
    assert not task.streams("train")
    monkeypatch.setattr(pixels, "IN_MEMORY_BYTES", 0)
    assert not task.streams("train")
    monkeypatch.setattr(pixels, "_free", lambda: 1000)
    assert task.streams("train") and isinstance(task.pixels("train"), Streamed)


CHILD = """
import json, sys
from convgraft.data import Streamed, open_images
from convgraft.training import FitOptions
from convgraft.training.loaders import loader

images = open_images(sys.argv[1], target=["label", "row"])
names = images.others["row"].classes
drawn = loader(Streamed(images, 8), FitOptions(batch_size=4), shuffle=True, seed=1)
for step, (_, labels) in enumerate(drawn.epoch(2, int(sys.argv[2])), int(sys.argv[2])):
    print(json.dumps([step, [int(names[label]) for label in labels["row"].tolist()]]), flush=True)
    if step == 5 and sys.argv[2] == "0":
        sys.stdin.read()
"""


def told(process: subprocess.Popen[str]) -> Iterator[tuple[int, list[int]]]:
    assert process.stdout is not None
    for line in process.stdout:
        step, rows = json.loads(line)
        yield step, rows


@pytest.mark.slow
def test_an_epoch_goes_on_after_a_kill(write: Write) -> None:
    folder = write(*[SHOTS] * 5)

    def start(first: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", CHILD, str(folder), str(first)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    seen: list[int] = []
    done = 0
    with start(0) as process:
        for step, rows in told(process):
            seen, done = seen + rows, step + 1
            if done == 6:
                os.kill(process.pid, signal.SIGKILL)
                break
    with start(done) as process:
        for _, rows in told(process):
            seen += rows
    assert sorted(seen) == list(range(5 * SHOTS))
