"""Promise 8, and that an artifact is whole or refused."""

from __future__ import annotations

import json
import pickletools
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from convgraft.compose import Composite, compose
from convgraft.errors import ArtifactError
from convgraft.export import load, save
from convgraft.opening import compile_plan
from convgraft.plan import Head, Plan, SourceRef, TapRef, Wire
from convgraft.sources import source

tap = TapRef.parse


def joined() -> Composite:
    plan = Plan(
        16,
        (SourceRef("a", "cifar_resnet20", 10), SourceRef("b", "cifar_resnet20", 10, size=8)),
        (Wire((tap("a:layer1"),), tap("b:layer1"), "concat", "conv1x1", "zero"),),
        (Head("label", "mlp", (tap("a:features"), tap("b:features")), 3, (8,), 0.1),),
    )
    return compile_plan(plan).eval()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return save(tmp_path / "run", joined(), labels=("x", "y", "z"), metrics={"finished": True})


def test_it_loads_bit_for_bit(run: Path) -> None:
    network = joined()
    loaded = load(run)
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    assert loaded.plan == loaded.composite.complete_plan == network.complete_plan
    assert loaded.labels == ("x", "y", "z")
    assert not loaded.composite.training
    with torch.no_grad():
        assert torch.equal(loaded.composite(images)["label"], network(images)["label"])


def test_nothing_in_it_is_pickled(run: Path) -> None:
    for file in run.iterdir():
        data = file.read_bytes()
        with pytest.raises(Exception):  # noqa: B017 - no file parses as a pickle
            list(pickletools.genops(data))
        assert not data.startswith((b"PK", b"\x80"))


def test_frozen_twins_are_still_computed_once_after_loading(tmp_path: Path) -> None:
    from convgraft.compose import cost

    plan = Plan(
        16,
        (SourceRef("a", "cifar_resnet20", 10), SourceRef("b", "cifar_resnet20", 10)),
        heads=(Head("label", "linear", (tap("a:features"), tap("b:features")), 3),),
    )
    pair = {"a": source("cifar_resnet20"), "b": source("cifar_resnet20")}
    twins = compose(plan, pair).holding(["sources.a", "sources.b"]).eval()
    loaded = load(save(tmp_path / "twins", twins, labels="xyz")).composite
    assert cost(loaded).macs == cost(twins).macs < 0.6 * cost(compile_plan(plan)).macs


def test_a_plan_that_leaves_classes_and_preprocessing_to_the_weights(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    save_file(dict(source("cifar_resnet20", classes=100).module.state_dict()), weights)
    network = compile_plan(Plan(16, (SourceRef("a", f"cifar_resnet20@{weights}"),))).eval()
    save(tmp_path / "run", network, labels=[str(n) for n in range(100)])
    weights.unlink()
    loaded = load(tmp_path / "run")
    assert loaded.plan.sources[0].mean == (0.5070, 0.4865, 0.4409)  # of CIFAR-100
    images = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(loaded.composite(images)["a"], network(images)["a"])


def test_code_of_a_run_within_a_run_is_not_trusted(tmp_path: Path) -> None:
    network = joined()
    folder = save(tmp_path / "run", network, labels="xyz")
    text = (folder / "plan.yaml").read_text()
    inner = "  a: {network: gone, plan: {image_size: 8, sources: {q: 'NETWORK'}}}\n  b:"
    head, _, tail = text.partition("  a:")
    for nested in ("python:os:getcwd", "module:Own"):
        bad = head + inner.replace("NETWORK", nested) + tail.partition("  b:")[2]
        (folder / "plan.yaml").write_text(bad)
        with pytest.raises(ArtifactError, match=r'source "a\.q"'):
            load(folder, modules={"a.q": nn.Identity()})


def test_a_module_from_python_is_asked_for(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                           nn.Linear(4, 2))  # fmt: skip
    opened = source(module)
    plan = Plan(16, (SourceRef("a", opened.spec, 2),))
    folder = save(tmp_path / "own", compose(plan, {"a": opened}), labels="ab")
    with pytest.raises(ArtifactError, match="modules="):
        load(folder)
    loaded = load(folder, modules={"a": module}).composite
    assert torch.equal(loaded.state_dict()["sources.a.0.weight"], module[0].weight)


@pytest.mark.parametrize("name", ["model.safetensors", "plan.yaml", "labels.json", "metrics.json"])
def test_a_missing_file_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        load(run)


@pytest.mark.parametrize("name", ["model.safetensors", "labels.json", "metrics.json"])
def test_a_damaged_file_is_named(run: Path, name: str) -> None:
    (run / name).write_bytes(b"\x00\x01 not what it was")
    with pytest.raises(ArtifactError, match=name):
        load(run)


def test_weights_that_lack_a_tensor_are_refused(run: Path) -> None:
    file = run / "model.safetensors"
    state = load_file(file)
    state.pop("sources.a.conv1.weight")
    from safetensors import safe_open

    with safe_open(file, "pt") as old:
        metadata = old.metadata()
    save_file(state, file, metadata=metadata)
    with pytest.raises(ArtifactError, match=r"sources\.a\.conv1\.weight"):
        load(run)


def test_saving_twice_keeps_no_temporary_files(run: Path) -> None:
    save(run, joined(), labels="xyz")
    assert not list(run.glob(".*"))


def test_the_card_tells_what_metrics_tell(run: Path, tmp_path: Path) -> None:
    from convgraft.export import write_card

    score = {"images": 40, "top1": 0.875, "balanced": 0.8, "nll": 0.5, "ece": 0.1}
    settings = {"strategy": "parallel", "epochs": 7, "views": None}
    metrics = {"test": {"label": score}, "fit": settings}
    card = write_card("mine", joined(), ("x", "y", "z"), metrics)
    for part in ("87.50 %", "40 images", "cifar_resnet20", "epochs: 7", "x, y, z"):
        assert part in card
    # Wilson's bounds: (p + z^2 / 2n -+ z root(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)
    assert "one of 3 classes" in card and "between 73.9 and 94.5 %" in card
    assert "views" not in card
    perfect = {"test": {"label": {**score, "images": 20, "top1": 1.0}}}
    assert "between 83.9 and 100.0 %" in write_card("mine", joined(), ("x", "y", "z"), perfect)
    assert json.loads((run / "metrics.json").read_text()) == {"finished": True}
    shutil.rmtree(run)


@pytest.mark.parametrize(
    ("labels", "word"),
    [
        ({"classes": ["x", "y"]}, "3 classes"),
        ({}, "3 classes"),
        ({"classes": ["x", "y", "y"]}, "twice"),
        ({"classes": "xyz"}, "no labels"),
        ({"classes": [1, 2, 3]}, "no labels"),
        ({"classes": None}, "no labels"),
        ({"classes": ["x", "y", "z"], "columns": []}, "no labels"),
        ({"classes": ["x", "y", "z"], "columns": {"size": ["s", "l"]}}, "no answer is about: size"),
    ],
    ids=str,
)
def test_labels_of_another_network_are_refused(run: Path, labels: object, word: str) -> None:
    (run / "labels.json").write_text(json.dumps(labels))
    with pytest.raises(ArtifactError, match=word):
        load(run)


def test_a_file_nested_too_deeply_is_refused(run: Path) -> None:
    (run / "metrics.json").write_text('{"a":' * 100_000)
    with pytest.raises(ArtifactError, match=r"metrics\.json"):
        load(run)


@pytest.mark.parametrize("held", ["{", "3", "[[]]"])
def test_notes_of_others_are_refused(run: Path, held: str) -> None:
    file = run / "model.safetensors"
    with safe_open(file, "pt") as opened:
        metadata = {**opened.metadata(), "held": held}
    save_file(load_file(file), file, metadata)
    with pytest.raises(ArtifactError, match="notes"):
        load(run)


def test_weights_of_another_type_are_refused(run: Path) -> None:
    file = run / "model.safetensors"
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    state = load_file(file)
    first = next(name for name, value in state.items() if value.is_floating_point())
    save_file({**state, first: state[first].long()}, file, metadata)
    with pytest.raises(ArtifactError, match="not of the plan"):
        load(run)


def test_weights_that_are_not_finite_are_refused(run: Path) -> None:
    file = run / "model.safetensors"
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    state = load_file(file)
    state["sources.a.conv1.weight"][0, 0, 0, 0] = float("nan")
    save_file(state, file, metadata)
    with pytest.raises(ArtifactError, match="not finite"):
        load(run)


def test_names_that_move_the_cursor_come_as_escapes(run: Path) -> None:
    (run / "labels.json").write_text('{"classes": ["x\\u001b[2J", "\u00e9", "z"]}')
    (run / "SHA256SUMS").unlink()
    assert load(run).labels == ("x\\x1b[2J", "\u00e9", "z")


def test_others_may_read_it_as_the_users_mask_has_it(run: Path) -> None:
    plain = run / "plain"
    plain.touch()
    assert {file.stat().st_mode for file in run.iterdir()} == {plain.stat().st_mode}
