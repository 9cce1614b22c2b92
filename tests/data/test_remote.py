"""Sets at URLs: a server of this machine that may be slow, lie, cut its answers or be gone."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from convgraft.data import (
    each_file,
    image_ids,
    open_images,
    remote,
    remote_copies,
    split_images,
    urls,
)
from convgraft.errors import DataError, RunError, UsageError
from convgraft.training import Task

Make = Callable[..., Path]


class Server:
    """What a server did, and what it is to do wrong."""

    def __init__(self) -> None:
        self.gets: list[str] = []
        self.failures = 0  # answers that are errors
        self.cuts = 0  # answers that end early
        self.parts = True  # whether it gives parts of files
        self.sent = 0  # bytes of files
        self.seconds = 0.0  # that a piece of a file takes
        self.url = ""


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *arguments: object, state: Server, **more: object) -> None:
        self.state = state
        super().__init__(*arguments, **more)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.state.gets.append(self.path.rpartition("/")[2])
        if self.state.failures:
            self.state.failures -= 1
            self.send_error(503)
            return
        asked = self.headers.get("Range")
        path = Path(self.translate_path(self.path))
        if asked and self.state.parts and path.is_file():
            self._send_part(path.read_bytes(), asked)
            return
        super().do_GET()

    def _send_part(self, data: bytes, asked: str) -> None:
        first, last = map(int, asked.removeprefix("bytes=").split("-"))
        part = data[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)
        self.state.sent += len(part)

    def copyfile(self, source: object, outputfile: object) -> None:
        if self.state.cuts:
            self.state.cuts -= 1
            outputfile.write(source.read(700))  # type: ignore[attr-defined]
            self.close_connection = True
            return
        while piece := source.read(4096):  # type: ignore[attr-defined]
            time.sleep(self.state.seconds)
            outputfile.write(piece)  # type: ignore[attr-defined]
            self.state.sent += len(piece)

    def log_message(self, *told: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("CONVGRAFT_CACHE", str(tmp_path / "store"))
    monkeypatch.setattr(urls, "PATIENCE", (0.01, 0.01))
    state = Server()
    handler = partial(_Handler, state=state, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        state.url = f"http://127.0.0.1:{running.server_port}"
        yield state
        running.shutdown()


def copies(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "store" / "shards").glob("*/*"))


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for what a thread does, on a busy machine too."""
    until = time.monotonic() + 120
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_shards_at_a_url_are_those_in_the_folder(
    server: Server, shards: Make, tmp_path: Path
) -> None:
    here = open_images(shards(4, 3))
    for location in (f"{server.url}/shards", f"{server.url}/shards/a-{{000..001}}.tar"):
        there = open_images(location)
        assert there.ids == here.ids and there.fingerprint == here.fingerprint and there.streams
        assert [there.raw(row) for row in range(7)] == [here.raw(row) for row in range(7)]
    assert server.gets.count("a-000.tar") == server.gets.count("a-001.tar") == 1
    assert copies(tmp_path) == ["a-000.tar", "a-001.tar"]


def test_one_shard_and_its_class_names(server: Server, shards: Make) -> None:
    folder = shards(4)
    (folder / "classes.txt").write_text("x\ny\nz\n")
    assert open_images(f"{server.url}/shards/a-000.tar").classes == ("x", "y", "z")


def test_parquet_at_a_url(
    server: Server, tmp_path: Path, write_parquet: Make, structs: Callable[[int], list[object]]
) -> None:
    for part in ("train", "test"):
        columns = {"img": structs(6), "label": [row % 2 for row in range(6)]}
        write_parquet(tmp_path / "set" / f"{part}.parquet", columns)
    here, there = open_images(tmp_path / "set"), open_images(f"{server.url}/set/")
    assert there.fingerprint == here.fingerprint and there.parts == here.parts and there.streams
    for path in (tmp_path / "store" / "shards").glob("*/*"):
        path.unlink()
    ids = image_ids(there, range(12))
    assert [there.raw(row) for row in range(12)] == [here.raw(row) for row in range(12)]
    again = image_ids(open_images(f"{server.url}/set/"), range(12))
    assert ids is not None and again is not None and ids.tolist() == again.tolist()


def test_a_copy_that_was_evicted_comes_again_and_is_the_same(
    server: Server, shards: Make, tmp_path: Path
) -> None:
    shards(4, 3)
    images = open_images(f"{server.url}/shards")
    ids = image_ids(images, range(7))
    for path in (tmp_path / "store" / "shards").glob("*/*"):
        path.unlink()
    assert images.raw(5) and server.gets.count("a-001.tar") == 2
    again = image_ids(images, range(7))
    assert ids is not None and again is not None and ids.tolist() == again.tolist()
    open_images(f"{server.url}/shards")  # by its indexes alone
    assert server.gets.count("a-000.tar") == 1


def test_copies_are_bounded_and_the_longest_unused_goes_first(
    server: Server, shards: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shards(4, 4, 4)
    size = (folder / "a-000.tar").stat().st_size
    monkeypatch.setenv("CONVGRAFT_SHARDS_LIMIT", str(2 * size + 5000))
    for number in (0, 1):
        open_images(f"{server.url}/shards/a-{number:03d}.tar")
    first = open_images(f"{server.url}/shards/a-000.tar")
    assert first.raw(0)  # used later than the other one
    open_images(f"{server.url}/shards/a-002.tar")
    assert copies(tmp_path) == ["a-000.tar", "a-002.tar"]
    everything = open_images(f"{server.url}/shards")
    for row in (0, 5, 9, 1, 6):
        assert everything.raw(row)
        assert len(copies(tmp_path)) <= 2


def test_a_shard_larger_than_the_bound_is_told(
    server: Server, shards: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards(4)
    monkeypatch.setenv("CONVGRAFT_SHARDS_LIMIT", "1KB")
    with pytest.raises(RunError, match="there is no room for") as told:
        open_images(f"{server.url}/shards")
    assert "CONVGRAFT_SHARDS_LIMIT" in (told.value.hint or "")
    monkeypatch.setenv("CONVGRAFT_SHARDS_LIMIT", "much")
    with pytest.raises(UsageError, match="CONVGRAFT_SHARDS_LIMIT is no size"):
        open_images(f"{server.url}/shards")


def test_errors_that_pass_are_tried_again_with_a_word(
    server: Server, shards: Make, caplog: pytest.LogCaptureFixture
) -> None:
    shards(4)
    images = open_images(f"{server.url}/shards/a-000.tar")
    for path in Path(os.environ["CONVGRAFT_CACHE"]).glob("shards/*/*"):
        path.unlink()
    server.failures, server.cuts = 1, 1
    with caplog.at_level(logging.WARNING):
        assert images.raw(0)
    assert len([one for one in caplog.messages if "trying again" in one]) == 2


def test_a_cut_download_is_never_taken_for_whole(
    server: Server, shards: Make, tmp_path: Path
) -> None:
    shards(4)
    server.cuts = 9
    with pytest.raises(RunError, match="cannot be reached"):
        open_images(f"{server.url}/shards/a-000.tar")
    assert copies(tmp_path) == []
    server.cuts = 0
    assert len(open_images(f"{server.url}/shards/a-000.tar")) == 4


def test_a_file_system_that_gives_less_than_it_said_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Short:
        def info(self, place: str) -> dict[str, object]:
            return {"size": 100, "type": "file"}

        def get_file(self, place: str, path: str, callback: object) -> None:
            Path(path).write_bytes(bytes(99))

    monkeypatch.setenv("CONVGRAFT_CACHE", str(tmp_path / "store"))
    monkeypatch.setattr(urls, "PATIENCE", (0.01, 0.01))
    monkeypatch.setattr(remote, "opened", lambda url: (Short(), url))
    with pytest.raises(RunError, match="cannot be reached") as told:
        open_images("short://host/x.tar")
    assert told.value.found == "the download ended at 99 of 100 bytes"
    assert copies(tmp_path) == []


def test_a_shard_that_changed_at_its_url_is_another_copy(server: Server, shards: Make) -> None:
    folder = shards(4)
    open_images(f"{server.url}/shards")
    shards(6)
    os.utime(folder / "a-000.tar", (1, 1))
    assert len(open_images(f"{server.url}/shards")) == 6


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/shards/no.tar", "there is nothing at"),
        ("/nowhere/", "there is nothing at"),
        ("/empty/", "there are no shards at"),
        ("/shards/a-{000..003}.tar", "there is nothing at"),
        ("/shards/b.tar.gz", "compressed shards"),
    ],
)
def test_what_is_not_there_is_told(
    server: Server, shards: Make, tmp_path: Path, path: str, what: str
) -> None:
    shards(4)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=what):
        open_images(f"{server.url}{path}")


def test_a_server_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVGRAFT_CACHE", str(tmp_path / "store"))
    monkeypatch.setattr(urls, "PATIENCE", (0.01, 0.01))
    with pytest.raises(RunError, match="cannot be reached") as told:
        open_images("http://127.0.0.1:9/x.tar")
    assert "online" in (told.value.hint or "")


def test_libraries_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="no URL that can be read"):
        open_images("nosuch://host/x.tar")
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    with pytest.raises(UsageError, match="needs fsspec") as told:
        open_images("http://127.0.0.1:9/x.tar")
    assert told.value.hint == "pip install convgraft[remote]"


def test_other_file_systems_work_alike(
    shards: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    monkeypatch.setenv("CONVGRAFT_CACHE", str(tmp_path / "store"))
    memory = fsspec.filesystem("memory")
    memory.put(str(shards(4, 3)), "/a-bucket", recursive=True)
    images = open_images("memory://a-bucket")
    assert len(images) == 7 and images.raw(6)


def test_a_task_streams_what_lies_elsewhere(server: Server, shards: Make) -> None:
    shards(20, 20)
    images = open_images(f"{server.url}/shards")
    task = Task(images, split_images(images, seed=0), 6)
    assert task.streams("train") and len(task.pixels("val").images[:2]) == 2


def test_the_next_shards_come_while_these_are_read(
    server: Server, shards: Make, tmp_path: Path
) -> None:
    shards(4, 4)
    images = open_images(f"{server.url}/shards")
    for path in Path(os.environ["CONVGRAFT_CACHE"]).glob("shards/*/*"):
        path.unlink()
    assert images.layout is not None and images.layout.fetch is not None
    images.layout.fetch([0], [0, 1])
    wait_until(lambda: copies(tmp_path) == ["a-001.tar"])
    assert server.gets[-1] == "a-001.tar" and server.gets.count("a-001.tar") == 2


def many_pictures(write_parquet: Make, path: Path, png: Callable[..., bytes], rows: int) -> Path:
    images = [png(row, 40, 40) for row in range(rows)]
    return write_parquet(path, {"image": images, "label": [row % 2 for row in range(rows)]})


@pytest.mark.parametrize("parts", [True, False])
def test_opening_parquet_fetches_footers_and_labels_alone(
    server: Server, tmp_path: Path, write_parquet: Make, png: Callable[..., bytes], parts: bool
) -> None:
    files = [
        many_pictures(write_parquet, tmp_path / "set" / f"{name}.parquet", png, 60)
        for name in ("a", "b", "c")
    ]
    whole = sum(path.stat().st_size for path in files)
    server.parts = parts
    seen: list[tuple[str, int, int]] = []
    there = open_images(f"{server.url}/set/", on_progress=lambda *told: seen.append(told))
    here = open_images(tmp_path / "set")
    assert there.fingerprint == here.fingerprint
    assert there.labels.tolist() == here.labels.tolist()
    assert {what for what, _, _ in seen} == {"read footers", "read label"}
    assert seen[-1] == ("read label", 3, 3)
    if parts:
        assert copies(tmp_path) == [] and server.sent < whole / 2
    else:
        assert len(copies(tmp_path)) == 3
    assert there.raw(100) == here.raw(100)
    assert "b.parquet" in copies(tmp_path)


def test_damaged_parquet_at_a_url_is_told_as_such(
    server: Server, tmp_path: Path, write_parquet: Make, png: Callable[..., bytes]
) -> None:
    path = many_pictures(write_parquet, tmp_path / "set" / "a.parquet", png, 60)
    path.write_bytes(path.read_bytes()[:-9] + bytes(9))
    before = len(server.gets)
    with pytest.raises(DataError, match=r"a\.parquet is not a readable Parquet file"):
        open_images(f"{server.url}/set/a.parquet")
    assert len(server.gets) - before < 4  # damage does not pass by asking again


def test_the_next_parquet_files_come_while_these_are_read(
    server: Server, tmp_path: Path, write_parquet: Make, png: Callable[..., bytes]
) -> None:
    for name in ("a", "b", "c"):
        many_pictures(write_parquet, tmp_path / "set" / f"{name}.parquet", png, 30)
    images = open_images(f"{server.url}/set/")
    assert images.layout is not None and images.layout.fetch is not None
    images.layout.fetch([0], [0, len(images.layout.lengths) - 1])
    wait_until(lambda: copies(tmp_path) == ["c.parquet"])


def test_how_far_the_headers_are_is_told_in_bytes(
    server: Server, shards: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shards(40, 40, 40)
    whole = sum(path.stat().st_size for path in folder.glob("*.tar"))
    monkeypatch.setattr(each_file, "MIB", 1024)
    monkeypatch.setattr(each_file, "TICK", 0.01)
    server.seconds = 0.05
    seen: list[tuple[str, int, int]] = []
    open_images(f"{server.url}/shards", on_progress=lambda *told: seen.append(told))
    done = [one for _, one, _ in seen]
    assert {(what, total) for what, _, total in seen} == {
        ("read headers of shards (MiB)", -(-whole // 1024))
    }
    assert done == sorted(done) and done[-1] == seen[-1][2] and len(set(done)) > 3
    seen.clear()
    open_images(f"{server.url}/shards", on_progress=lambda *told: seen.append(told))
    assert seen == []  # nothing is left to be read


def test_ctrl_c_ends_a_download_and_keeps_the_headers_that_were_read(
    server: Server, shards: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards(*[4] * 9, 400)
    monkeypatch.setattr(each_file, "TICK", 0.01)
    server.seconds = 0.05

    def stop(what: str, done: int, total: int) -> None:
        if len(list((tmp_path / "store" / "shards").glob("*.index"))) == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_images(f"{server.url}/shards", on_progress=stop)
    wait_until(lambda: not any(".part" in name for name in copies(tmp_path)))
    assert len(copies(tmp_path)) == 9
    server.gets.clear()
    server.seconds = 0.0
    assert len(open_images(f"{server.url}/shards")) == 436
    assert [name for name in server.gets if name.endswith(".tar")] == ["a-009.tar"]


def test_an_error_of_one_shard_ends_the_opening(server: Server, shards: Make) -> None:
    folder = shards(4, 4, 4)
    (folder / "a-001.tar").write_bytes(bytes(700))
    with pytest.raises(DataError, match=r"a-001\.tar is a damaged tar file"):
        open_images(f"{server.url}/shards")


def test_indexes_are_bounded_with_the_copies(
    server: Server, shards: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "store" / "shards"
    folder = shards(*[40] * 6)
    size = (folder / "a-000.tar").stat().st_size
    places = [f"{server.url}/shards/a-{number:03d}.tar" for number in range(6)]
    open_images(places[0])
    index = next(kept.glob("*.index")).stat().st_size
    # the indexes of two shards are within their share, those of six are not
    monkeypatch.setattr(remote_copies, "INDEX_SHARE", 2.5 * index / (size + 5 * index))
    monkeypatch.setenv("CONVGRAFT_SHARDS_LIMIT", str(size + 5 * index))
    for place in places:
        open_images(place)
        held = [path for path in kept.rglob("*") if path.suffix in (".tar", ".index")]
        assert sum(path.stat().st_size for path in held) <= size + 5 * index
        assert len(copies(tmp_path)) == 1
    assert 2 <= len(list(kept.glob("*.index"))) <= 4
    server.gets.clear()
    open_images(places[5])
    open_images(places[4])
    assert not [name for name in server.gets if name.endswith(".tar")]  # they are there
    open_images(places[0])
    assert server.gets.count("a-000.tar") == 1


def test_copies_go_before_the_indexes_of_what_they_were_copies_of(
    server: Server, shards: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shards(4, 4, 4, 4)
    size = (folder / "a-000.tar").stat().st_size
    monkeypatch.setattr(remote_copies, "INDEX_SHARE", 0.5)
    monkeypatch.setenv("CONVGRAFT_SHARDS_LIMIT", str(2 * size))
    images = open_images(f"{server.url}/shards")
    for row in (0, 5, 9, 13, 1):
        assert images.raw(row)
    assert len(list((tmp_path / "store" / "shards").glob("*.index"))) == 4
    server.gets.clear()
    open_images(f"{server.url}/shards")
    assert not [name for name in server.gets if name.endswith(".tar")]


def test_parts_of_downloads_that_were_killed_go(
    server: Server, shards: Make, tmp_path: Path
) -> None:
    shards(4)
    folder = tmp_path / "store" / "shards"
    old, new = folder / "x" / ".old.part", folder / "x" / ".new.part"
    old.parent.mkdir(parents=True)
    for path in (old, new):
        path.write_bytes(bytes(9))
    os.utime(old, (1, 1))
    open_images(f"{server.url}/shards/a-000.tar")
    assert new.exists() and not old.exists()
