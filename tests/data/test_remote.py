"""Sets at URLs: a server of this machine that may be slow, lie, cut its answers or be gone."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from convgraft.data import image_ids, open_images, remote, split_images, urls
from convgraft.errors import DataError, RunError, UsageError
from convgraft.training import Task

Make = Callable[..., Path]


class Server:
    """What a server did, and what it is to do wrong."""

    def __init__(self) -> None:
        self.gets: list[str] = []
        self.failures = 0  # answers that are errors
        self.cuts = 0  # answers that end early
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
        super().do_GET()

    def copyfile(self, source: object, outputfile: object) -> None:
        if self.state.cuts:
            self.state.cuts -= 1
            outputfile.write(source.read(700))  # type: ignore[attr-defined]
            self.close_connection = True
            return
        super().copyfile(source, outputfile)  # type: ignore[arg-type]

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
    monkeypatch.setenv("CONVGRAFT_SHARDS_LIMIT", str(2 * size + 100))
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

        def get_file(self, place: str, path: str) -> None:
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


def test_the_next_shards_come_while_these_are_read(server: Server, shards: Make) -> None:
    shards(4, 4)
    images = open_images(f"{server.url}/shards")
    for path in Path(os.environ["CONVGRAFT_CACHE"]).glob("shards/*/*"):
        path.unlink()
    assert images.layout is not None and images.layout.fetch is not None
    images.layout.fetch([0], [0, 1])
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.daemon:
            thread.join(0.5)
    assert server.gets[-1] == "a-001.tar" and server.gets.count("a-001.tar") == 2
