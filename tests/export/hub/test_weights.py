"""An exported model goes along, its notes made portable; one of other weights does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import pytest

from convgraft.export import load
from convgraft.export.facts import Facts, facts_of, read_facts
from convgraft.export.hub.folder import HubFolder, hub_folder
from convgraft.plan import read_plan
from helpers_hub import place_run


def write_model(run: Path, file: str = "model.onnx", *, graph: str = "graph") -> None:
    """An `.onnx` file with the facts of a run, and a compiler's notes in it; it does nothing."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1], doc_string=str(run))
    node = onnx.helper.make_node("Identity", ["x"], ["y"], doc_string=f"{run}/nets.py:3")
    node.metadata_props.add(key="stack_trace", value=f'File "{run}/nets.py", line 3')
    model = onnx.helper.make_model(onnx.helper.make_graph([node], graph, [value], [out]))
    onnx.helper.set_model_props(model, facts_of(load(run), layout="nhwc").texts())
    onnx.save(model, str(run / file))


def facts_in(file: Path) -> Facts:
    """What an `.onnx` file says of itself."""
    return read_facts({one.key: one.value for one in onnx.load(str(file)).metadata_props})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an exported model."""
    made = place_run(tmp_path_factory.mktemp("home") / "ann")
    write_model(made)
    return made


@pytest.fixture(scope="module")
def written(run: Path, tmp_path_factory: pytest.TempPathFactory) -> HubFolder:
    return hub_folder(run, tmp_path_factory.mktemp("hub") / "pets")


def test_it_belongs_to_the_weights_beside_it(run: Path, written: HubFolder) -> None:
    file = written.path / "model.onnx"
    assert facts_in(run / "model.onnx").is_of(run)
    facts, plan = facts_in(file), read_plan(written.path / "plan.yaml")
    assert facts.is_of(written.path) and not facts.is_of(run)
    assert (facts.plan, facts.plan_hash) == (str(plan), plan.hash)
    assert facts.labels == ("x", "y", "z")
    assert written.files["model.onnx"] == file.stat().st_size
    assert "- onnx" in (written.path / "README.md").read_text()


def test_it_tells_nothing_of_the_machine(run: Path, written: HubFolder) -> None:
    content = (written.path / "model.onnx").read_bytes()
    assert str(run).encode() in (run / "model.onnx").read_bytes()
    assert str(run.parents[1]).encode() not in content
    assert [node.op_type for node in onnx.load_from_string(content).graph.node] == ["Identity"]


def test_what_cannot_go_along_is_named_with_the_reason(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    write_model(copy, graph=f"{copy}/nets.py")
    (copy / "model-int8.onnx").write_bytes(b"no model")
    folder = hub_folder(copy, tmp_path / "one")
    told = "\n".join(folder.left_out)
    assert "model.onnx: it names" in told and "model-int8.onnx: " in told
    assert not list(folder.path.glob("*.onnx"))


def test_one_of_other_weights_stays_behind(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    (copy / "model.safetensors").unlink()
    (copy / "plan.yaml").unlink()
    other = place_run(tmp_path / "other")
    for name in ("model.safetensors", "plan.yaml"):
        shutil.copyfile(other / name, copy / name)
    folder = hub_folder(copy, tmp_path / "two")
    assert "exported from other weights" in folder.left_out[0]
    assert "model.onnx" not in folder.files


def test_without_onnx_installed_the_extra_is_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    folder = hub_folder(run, tmp_path / "hub")
    assert 'pip install "convgraft[onnx]"' in folder.left_out[0]
