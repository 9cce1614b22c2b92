"""What of a `.pt2` file PyTorch gets to see."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from convgraft.errors import ArtifactError
from convgraft.export.program_archive import vetted

CONFIG = "data/weights/model_weights_config.json"


def written(path: Path, name: str, content: object, packed: int = zipfile.ZIP_STORED) -> Path:
    """An archive with one entry."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    with zipfile.ZipFile(path, "w", packed) as archive:
        archive.writestr(f"m/{name}", data)
    return path


def size(text: str) -> dict[str, object]:
    return {"as_expr": {"expr_str": text}}


def call(target: object) -> dict[str, object]:
    return {"nodes": [{"target": target, "inputs": []}]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data/weights/weight_0", b"1234"),
        (CONFIG, {"config": {"w": {"use_pickle": False}}}),
        ("models/model.json", size("2*s77 + 1")),
        ("models/model.json", size("Max(1, s3)")),
        ("models/model.json", size("Add(Symbol('s3', positive=True, integer=True), Integer(1))")),
        ("models/model.json", call("torch.ops.aten.add.Tensor")),
        ("data/sample_inputs/model.pt", b""),
        ("extra/convgraft.json", b"{}"),
    ],
)
def test_what_convgraft_writes_goes_through(tmp_path: Path, name: str, content: object) -> None:
    found = vetted(written(tmp_path / "m.pt2", name, content))
    with zipfile.ZipFile(found) as archive, zipfile.ZipFile(tmp_path / "m.pt2") as given:
        assert archive.namelist() == [f"m/{name}"]
        assert archive.read(f"m/{name}") == given.read(f"m/{name}")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data/sample_inputs/model.pt", b"\x80\x02."),
        ("data/weights/model.pt", b"\x80\x02."),
        ("data/constants/opaque_obj_0", b"\x80\x02."),
        (CONFIG, {"config": {"w": {"use_pickle": True}}}),
        (CONFIG, {"config": {"w": {}}}),
        ("data/aotinductor/model/a.so", b""),
        ("models/model.json", size("__import__('os').getcwd()")),
        ("models/model.json", size("exit()")),
        ("models/model.json", size("Symbol('__import__')")),
        ("models/model.json", size("9**9**9**9")),
        ("models/model.json", call("os.system")),
        ("models/model.json", call(["torch.ops.aten.add"])),
        ("models/model.json", []),
        ("../../evil", b""),
    ],
)
def test_what_may_run_is_refused(tmp_path: Path, name: str, content: object) -> None:
    with pytest.raises(ArtifactError, match=r"m\.pt2"):
        vetted(written(tmp_path / "m.pt2", name, content))


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    with pytest.raises(ArtifactError, match="unpacks"):
        vetted(written(path, "data/weights/weight_0", bytes(10**6), zipfile.ZIP_DEFLATED))
