"""Tars that lie: nothing is extracted, nothing is believed, and whoever is wrong is named."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from convgraft.data.tar_headers import Member, tar_members
from convgraft.errors import DataError

Write = Callable[..., Path]


def members(path: Path) -> list[Member]:
    with path.open("rb") as file:
        return list(tar_members(file, path.name))


@pytest.fixture
def tar(tmp_path: Path, write_tar: Write) -> Path:
    return write_tar(tmp_path / "x.tar", {"a.png": b"A" * 700, "b/c.png": b"B" * 3, "d.cls": "7"})


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_lie_where_they_are_said_to(tmp_path: Path, write_tar: Write, form: int) -> None:
    content = {"a.png": b"A" * 700, f"{'long' * 40}/c.png": b"", "ü.cls": b"7"}
    if form == tarfile.USTAR_FORMAT:
        content = {"a.png": b"A" * 700, "c.png": b""}
    path = write_tar(tmp_path / "x.tar", content, format=form)
    data = path.read_bytes()
    found = {one.name: data[one.offset : one.offset + one.length] for one in members(path)}
    assert found == content


def test_folders_are_passed_over_and_links_are_faults(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    kinds = {
        "folder": tarfile.DIRTYPE,
        "soft.png": tarfile.SYMTYPE,
        "hard.png": tarfile.LNKTYPE,
        "pipe.png": tarfile.FIFOTYPE,
        "device.png": tarfile.CHRTYPE,
        "/etc/passwd.png": tarfile.REGTYPE,
        "../../up.png": tarfile.REGTYPE,
    }
    with tarfile.open(path, "w") as tar:
        for name, kind in kinds.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    out = "has a name that leads out of its shard"
    assert {one.name: one.fault for one in members(path)} == {
        "soft.png": "is a link",
        "hard.png": "is a link",
        "pipe.png": "is not an ordinary file",
        "device.png": "is not an ordinary file",
        "/etc/passwd.png": out,
        "../../up.png": out,
    }
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_sparse_member_is_a_fault(tmp_path: Path, write_tar: Write) -> None:
    path = write_tar(tmp_path / "x.tar", {"a.png": b"A" * 10}, format=tarfile.GNU_FORMAT)
    data = bytearray(path.read_bytes())
    data[156:157] = tarfile.GNUTYPE_SPARSE
    _mend_checksum(data)
    path.write_bytes(data)
    assert members(path)[0].fault == "is sparse"


def _mend_checksum(data: bytearray) -> None:
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()


@pytest.mark.parametrize("keep", [0, 100, 512, 900, 1300, 2048, 3072, 4096, 4600])
def test_a_cut_file_is_never_taken_for_whole(tar: Path, keep: int) -> None:
    whole = tar.read_bytes()
    end = whole.rstrip(b"\0").__len__() // 512 * 512 + 512
    cut = tar.with_name("cut.tar")
    cut.write_bytes(whole[: min(keep, end)])
    with pytest.raises(DataError, match=r"cut\.tar is a damaged tar file"):
        members(cut)


def test_a_size_beyond_the_end_is_damage(tar: Path) -> None:
    data = bytearray(tar.read_bytes())
    data[124:136] = b"77777777777\0"
    _mend_checksum(data)
    tar.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        members(tar)


def test_a_negative_size_is_damage(tar: Path) -> None:
    data = bytearray(tar.read_bytes())
    data[124:136] = b"\xff" * 10 + b"\xfe\x00"
    _mend_checksum(data)
    tar.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        members(tar)


def test_a_huge_header_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    header = tarfile.TarInfo("long")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2**31
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    with pytest.raises(DataError, match="damaged") as told:
        members(path)
    assert "a header of" in str(told.value)


def test_a_damaged_header_in_the_middle_is_no_end(tar: Path) -> None:
    data = bytearray(tar.read_bytes())
    data[512 + 1024 + 5] ^= 1  # in the name of the second member
    tar.write_bytes(data)
    with pytest.raises(DataError, match="damaged") as told:
        members(tar)
    assert "no header at byte 1536" in str(told.value)


def test_joined_tars_are_told(tar: Path) -> None:
    tar.write_bytes(tar.read_bytes() * 2)
    with pytest.raises(DataError, match="something after its end"):
        members(tar)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_compressed_shards_are_refused_with_a_hint(
    tmp_path: Path, write_tar: Write, mode: str
) -> None:
    path = write_tar(tmp_path / "x.tar", {"a.png": b"A"}, mode=mode)
    with pytest.raises(DataError, match="is compressed with") as told:
        members(path)
    assert "unpack" in (told.value.hint or "")


def test_other_files_are_no_tars() -> None:
    for content in (b"hello", b"\x89PNG" + bytes(600), b"x" * 2000):
        with pytest.raises(DataError, match="damaged"):
            list(tar_members(io.BytesIO(content), "x.tar"))
