"""Tensors that lie in other files are found wherever a model can hold one."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto, helper, save

from convgraft.errors import ArtifactError
from convgraft.export.onnx_content import refuse_external_data


def tensor(*, external: bool) -> TensorProto:
    made = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    if external:
        made.ClearField("float_data")
        made.data_location = TensorProto.EXTERNAL
        made.external_data.add(key="location", value="../w.bin")
    return made


def written(path: Path, where: str, *, external: bool) -> Path:
    """A model with the tensor among its weights, in a node or in a branch."""
    constant = helper.make_node("Constant", [], ["w"], value=tensor(external=external))
    value = helper.make_tensor_value_info("w", TensorProto.FLOAT, [1])
    branch = helper.make_graph([constant], "branch", [], [value])
    choice = helper.make_node("If", ["yes"], ["w"], then_branch=branch, else_branch=branch)
    yes = helper.make_tensor_value_info("yes", TensorProto.BOOL, [])
    nodes = {"weights": [], "node": [constant], "branch": [choice]}[where]
    weights = [tensor(external=external)] if where == "weights" else []
    save(helper.make_model(helper.make_graph(nodes, "g", [yes], [value], weights)), path)
    return path


@pytest.mark.parametrize("where", ["weights", "node", "branch"])
def test_a_file_with_everything_in_it_is_taken(tmp_path: Path, where: str) -> None:
    refuse_external_data(written(tmp_path / "m.onnx", where, external=False))


@pytest.mark.parametrize("where", ["weights", "node", "branch"])
def test_data_elsewhere_is_found(tmp_path: Path, where: str) -> None:
    path = tmp_path / "m.onnx"
    (tmp_path.parent / "w.bin").write_bytes(bytes(4))
    with pytest.raises(ArtifactError, match="other files"):
        refuse_external_data(written(path, where, external=True))


@pytest.mark.parametrize("content", [b"", b"\xff" * 20, b"\x3a\x7f", b"\x3b", b"\x3a\xff\xff"])
def test_what_is_no_model_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"m\.onnx"):
        refuse_external_data(tmp_path / "m.onnx")
