"""Files to answers: what came of every file, in order, and how much is in work at a time."""

from __future__ import annotations

import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_predict import Colours, expected, png, write_pictures
from numpy.typing import NDArray

from convgraft.data import BrokenImage, read_resized
from convgraft.predict import Answers, answer_files
from convgraft.predict.pace import BATCH_BYTES, ROUNDS, SIZES, Pace
from convgraft.predict.pipeline import AHEAD
from convgraft.predict.reading import read_images


def joined(found: Iterator[Answers]) -> Answers:
    parts = list(found)
    return Answers(
        sum((part.files for part in parts), ()),
        sum((part.errors for part in parts), ()),
        np.concatenate([part.probabilities for part in parts]),
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write_pictures(tmp_path_factory.mktemp("pictures"), 150)


@pytest.mark.parametrize(("workers", "batch"), [(1, None), (3, None), (3, 7), (2, 1000)])
def test_every_file_has_its_own_answer_in_order(
    pictures: list[str], workers: int, batch: int | None
) -> None:
    found = joined(answer_files(pictures, Colours(), workers=workers, batch=batch))
    assert found.files == tuple(pictures)
    assert set(found.errors) == {None} and found.failed == 0
    wanted = np.stack([expected(index) for index in range(150)])
    np.testing.assert_allclose(found.probabilities, wanted, rtol=1e-6)


def test_pixels_are_those_of_training(shared_data: Path) -> None:
    files = sorted((shared_data / "natural_images" / "cat").iterdir())[:6]
    pixels, errors = read_images([str(file) for file in files], 24)
    naive = [read_resized(file.read_bytes(), 24) for file in files]
    assert torch.equal(torch.from_numpy(pixels), torch.stack(naive))
    assert errors == (None,) * 6


def bomb(image: bytes) -> bytes:
    """A picture whose header says 20000 by 20000 pixels."""
    header = image[12:16] + struct.pack(">II", 20_000, 20_000) + image[24:29]
    return image[:12] + header + struct.pack(">I", zlib.crc32(header)) + image[33:]


def hostile(folder: Path) -> dict[str, str | None]:
    """Files that are none, by what should be said of them; None: they are all right."""
    good = png((9, 9, 9))
    contents = {
        "empty.png": (b"", "is empty"),
        "text.png": (b"<html>no", "is not an image"),
        "torn.png": (good[: len(good) // 2], "is"),
        "two\nlines.png": (good, None),
        "\U0001f408 caf\u00e9.png": (good, None),
        os.fsdecode(b"caf\xe9.png"): (good, None),
        "-rf.png": (good, None),
    }
    said: dict[str, str | None] = {}
    for name, (data, error) in contents.items():
        (folder / name).write_bytes(data)
        said[str(folder / name)] = error
    (folder / "bomb.png").write_bytes(bomb(good))
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    (folder / "dangling.png").symlink_to(folder / "gone.png")
    with (folder / "huge.png").open("wb") as file:
        file.truncate(2**30 + 1)
    return said | {
        str(folder / "bomb.png"): "is larger than",
        str(folder / "folder.png"): "is a folder",
        str(folder / "pipe.png"): "is not an ordinary file",
        str(folder / "dangling.png"): "cannot be read (No such file",
        str(folder / "huge.png"): "is larger than 1024 MiB",
        str(folder / ("x" * 300)): "cannot be read (File name too long",
        "null\0.png": "cannot be read (a null character",
        "": "is a folder",
    }


def test_what_is_no_image_is_an_answer_too(tmp_path: Path) -> None:
    said = hostile(tmp_path)
    found = joined(answer_files(list(said), Colours(), batch=4))
    assert found.files == tuple(said)
    for file, error, row in zip(found.files, found.errors, found.probabilities, strict=True):
        wanted = said[file]
        assert (error is None) == (wanted is None), (file, error)
        assert error is None or error.startswith(str(wanted)), (file, error)
        assert np.isnan(row).all() if error else np.allclose(row, 1 / 3)


def test_strict_stops_at_the_first_that_is_broken(pictures: list[str], tmp_path: Path) -> None:
    names = [*pictures[:20], str(tmp_path / "one.png"), str(tmp_path / "two.png"), *pictures]
    found = answer_files(names, Colours(), batch=8, strict=True)
    assert [next(found).files for _ in range(2)] == [tuple(names[:8]), tuple(names[8:16])]
    with pytest.raises(BrokenImage, match=r"one\.png"):
        next(found)


def test_no_files_no_answers() -> None:
    assert list(answer_files([], Colours())) == []


def test_names_are_taken_as_they_are_needed(pictures: list[str]) -> None:
    taken: list[str] = []

    def endless() -> Iterator[str]:
        while True:
            taken.append(pictures[len(taken) % 10])
            yield taken[-1]

    found = answer_files(endless(), Colours(), workers=3, batch=5)
    for number in range(1, 20):
        next(found)
        time.sleep(0.001)
        assert len(taken) <= 5 * (number + AHEAD * 3)
    found.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name.startswith("predict")]


def test_no_more_than_cores_ask_at_a_time(
    pictures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convgraft.predict.pipeline.streams_on", lambda device: 2)
    lock, inside, most, asked = threading.Lock(), [0], [0], [0]
    both = threading.Barrier(2, timeout=120)

    class Watched(Colours):
        def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            with lock:
                inside[0] += 1
                asked[0] += 1
                most[0], first = max(most[0], inside[0]), asked[0] <= 2
            if first:
                both.wait()  # breaks where nobody else asks meanwhile
            time.sleep(0.01)
            with lock:
                inside[0] -= 1
            return super().probabilities(images)

    list(answer_files(pictures, Watched(), workers=6, batch=5))
    assert most[0] == 2


def test_a_worker_that_fails_ends_the_work_and_threads_are_as_before(pictures: list[str]) -> None:
    class Failing(Colours):
        def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            raise RuntimeError("no answer")

    with pytest.raises(RuntimeError, match="no answer"):
        list(answer_files(pictures, Failing(), workers=2))
    assert torch.get_num_threads() == 1
    assert not [t for t in threading.enumerate() if t.name.startswith("predict")]


def test_the_pace_is_that_of_the_fastest_size() -> None:
    pace = Pace(8)
    seconds = {8: 0.9, 16: 0.5, 32: 0.7, 64: 1.2}  # per image; the first call is slow
    sizes = [pace.next() for _ in range(len(SIZES) * ROUNDS)]
    assert sizes == list(SIZES) * ROUNDS
    for number, size in enumerate(sizes):
        pace.took(size, size * (seconds[size] + (9 if number < len(SIZES) else 0)))
    pace.took(5, 0.0)  # a batch cut short
    assert {pace.next() for _ in range(20)} == {16}


def test_the_pace_may_be_set_and_large_images_come_one_by_one() -> None:
    assert {Pace(8, fixed=7).next() for _ in range(20)} == {7}
    pace = Pace(2048)
    assert max(pace.next() for _ in range(50)) * 3 * 2048 * 2048 <= BATCH_BYTES
    assert Pace(20_000).next() == 1
