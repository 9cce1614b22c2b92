"""An artifact is a source: a run, nested in another plan, computes what it computes alone."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from convgraft.compose import Composite, compose, cost
from convgraft.errors import PlanError, SourceError
from convgraft.export import load, save
from convgraft.opening import compile_plan, open_network, open_source
from convgraft.plan import Head, Plan, SourceRef, TapRef, Wire, parse_plan
from convgraft.sources import Source
from convgraft.strategies.ingredients import source_ref
from helpers import head, images, opened, plan_for, run, same, tap, wire

SIZE = 16
JOINED = """\
image 16
source a = cifar_resnet20 classes=10
source b = cifar_resnet20 classes=10 size=8
wire a:layer1 -> b:layer1 join=add adapter=conv1x1 start=zero
wire b:relu, b:layer1 -> a:layer2 join=add adapter=block start=zero
wire b:layer2 -> a:layer2 join=gate adapter=identity start=zero
wire b:layer3 -> a:layer3 join=concat adapter=conv1x1 start=zero
head side = linear(b:features) classes=3
head label = mlp(a:features, b:features) classes=3 hidden=8
"""

SHARED = "image 16\nsource a = cifar_resnet20 classes=10\nhead h = linear(a:features) classes=3\n"


def opened_gates(composite: Composite) -> Composite:
    """Every wire carries something, and every batch norm has seen something."""
    with torch.no_grad():
        for name, weight in composite.named_parameters():
            if "gate" in name:
                weight.fill_(0.3)
        for name, buffer in composite.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.1)
    return composite


def saved(folder: Path, text: str, *, seed: int = 0) -> Path:
    network = opened_gates(compile_plan(parse_plan(text), seed=seed))
    return save(folder, network, labels=("x", "y", "z"))


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("runs") / "joined", JOINED)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("runs") / "single", SHARED)


@pytest.fixture(scope="module")
def nested(joined: Path) -> Source:
    return open_network(str(joined))


def alone(folder: Path, *, training: bool, answer: str = "label") -> torch.Tensor:
    return run(load(folder).composite, images(SIZE), training=training)[answer]


@pytest.mark.parametrize("training", [False, True])
def test_it_computes_what_the_run_computes(joined: Path, nested: Source, training: bool) -> None:
    expected = alone(joined, training=training)
    plan = plan_for({"x": nested}, size=SIZE)
    outer = compose(plan, {"x": nested})
    assert torch.equal(run(copy.deepcopy(outer), images(SIZE), training=training)["x"], expected)
    assert torch.equal(run(outer, images(SIZE), training=training)["x"], expected)
    module = copy.deepcopy(nested.module)
    assert torch.equal(run(module, images(SIZE), training=training), expected)


def test_what_it_says_of_itself(joined: Path, nested: Source) -> None:
    assert (nested.classes, nested.image_size, nested.capture.opaque) == (3, SIZE, ())
    assert nested.nested == load(joined).plan
    whole = load(joined).composite
    alone = compose(whole.plan.keeping(["label"]), dict(whole.resolved.checked.sources))
    survey = nested.survey()
    assert survey.macs == cost(alone).macs < cost(whole).macs
    assert survey.parameters == cost(alone).parameters


def test_its_taps_have_the_names_of_the_run(nested: Source) -> None:
    survey = nested.survey()
    shapes = {
        "sources.a.layer1": (16, 16, 16),
        "sources.a.layer1.2.relu_1": (16, 16, 16),
        "sources.b.layer3": (64, 2, 2),
        "adapters.a:layer1->b:layer1.mix": (16, 8, 8),
        "joins.a:layer1->b:layer1.add": (16, 8, 8),
        "joins.b:layer2->a:layer2": (32, 8, 8),
        "heads.label.norm": (128,),
        "heads.label.layers": (8,),
        "heads.label": (3,),
    }
    assert {name: survey.tap(name).shape for name in shapes} == shapes
    assert survey.find("heads.side") is None
    assert survey.tap("features").name == "heads.label.layers.relu0"
    assert survey.tap("logits").name == "heads.label"
    assert survey.tap("sources.a.layer1").kind == "block"
    assert survey.tap("joins.a:layer1->b:layer1.add").kind == "layer"


def test_weights_wait_until_they_are_needed(single: Path) -> None:
    waiting = open_network(str(single), load=False)
    assert waiting.pending is not None
    assert waiting.pending.path == single / "model.safetensors"
    composite = compose(plan_for({"x": waiting}, size=SIZE), {"x": waiting})
    expected = alone(single, training=False, answer="h")
    assert torch.equal(run(composite, images(SIZE), training=False)["x"], expected)


def combined(place: str, nested: Source) -> Composite:
    """A nested run in a place of a larger plan."""
    sources = {"x": nested, "b": opened("cifar_resnet20")}
    odd = TapRef("x", "adapters.a:layer1->b:layer1.mix"), TapRef("x", "joins.b:layer2->a:layer2")
    wires, heads = {
        "branch": ([], [head("h", "linear", "x:features", "b:features", classes=4)]),
        "front of a stitch": (
            [wire("x:sources.a.layer1 -> b:layer1", "replace", "conv1x1", "one")],
            [head("h", "identity", "b:fc")],
        ),
        "back of a stitch": (
            [wire("b:layer1 -> x:sources.a.layer1", "replace", "conv1x1", "one")],
            [head("h", "identity", "x:logits")],
        ),
        "join and adapter": (
            [Wire((odd[0],), tap("b:layer2"))],
            [Head("h", "linear", (tap("b:features"), odd[1]), 4)],
        ),
    }[place]
    plan = plan_for(sources, wires=wires, heads=heads, size=SIZE)
    return opened_gates(compose(plan, sources, seed=5))


@pytest.mark.parametrize(
    "place", ["branch", "front of a stitch", "back of a stitch", "join and adapter"]
)
def test_saved_and_loaded_when_the_run_is_gone(joined: Path, tmp_path: Path, place: str) -> None:
    folder = shutil.copytree(joined, tmp_path / "inner")
    network = combined(place, open_network(str(folder), load=False))
    classes = {"front of a stitch": 10, "back of a stitch": 3}.get(place, 4)
    save(tmp_path / "outer", network, labels="wxyzabcdef"[:classes])
    shutil.rmtree(folder)
    again = load(tmp_path / "outer").composite
    assert parse_plan(str(again.plan)) == again.plan
    for training in (False, True):
        expected = run(network, images(SIZE), training=training)
        assert same(expected, run(again, images(SIZE), training=training))


def test_only_the_front_of_a_run_stays_in_a_stitch(nested: Source) -> None:
    front = copy.deepcopy(combined("front of a stitch", nested))
    names = {name for name in front.state_dict() if name.startswith("sources.x.")}
    parts = ("sources.x.sources.a.conv1", "sources.x.sources.a.bn1", "sources.x.sources.a.layer1")
    assert names
    assert all(name.startswith(parts) for name in names)


def test_the_average_of_two_runs_is_their_average(joined: Path, nested: Source) -> None:
    sources = {"x": nested, "y": open_network(str(joined), load=False)}
    heads = [head("h", "average", "x:logits", "y:logits")]
    network = compose(plan_for(sources, heads=heads, size=SIZE), sources)
    answer = run(network, images(SIZE), training=False)["h"].softmax(1)
    expected = alone(joined, training=False).softmax(1)
    torch.testing.assert_close(answer, expected)


def test_twice_nested(nested: Source, tmp_path: Path) -> None:
    branch = combined("branch", nested)
    middle = save(tmp_path / "middle", branch, labels="wxyz")
    twice = open_network(f"run:{middle}")
    expected = run(branch, images(SIZE), training=False)["h"]
    assert twice.survey().tap("sources.x.sources.a.layer1").shape == (16, 16, 16)
    outer = compose(plan_for({"z": twice}, size=SIZE), {"z": twice})
    assert torch.equal(run(outer, images(SIZE), training=False)["z"], expected)
    save(tmp_path / "outer", outer, labels="wxyz")
    shutil.rmtree(middle)
    again = load(tmp_path / "outer").composite
    assert torch.equal(run(again, images(SIZE), training=False)["z"], expected)
    assert parse_plan(str(again.plan)) == again.plan
    inner = open_network(f"{tmp_path / 'outer'}#z")
    assert torch.equal(inner.module.eval()(images(SIZE)), expected)


@pytest.mark.parametrize("held", [True, False])
def test_frozen_runs_that_share_a_source_compute_it_once(tmp_path: Path, held: bool) -> None:
    folders = [save(tmp_path / str(n), compile_plan(parse_plan(SHARED), seed=n), labels="xyz")
               for n in (0, 1)]  # fmt: skip
    sources = {n: open_network(str(f)) for n, f in zip("xy", folders, strict=True)}
    heads = [head("h", "average", "x:logits", "y:logits")]
    both = compose(plan_for(sources, heads=heads, size=SIZE), sources)
    answer = run(both, images(SIZE), training=False)
    own = sources["x"].survey()
    if held:
        both = both.holding(["sources.x", "sources.y"])
        assert cost(both).macs == own.macs + 3 * 64
    else:
        assert cost(both).macs == 2 * own.macs
    assert same(run(both, images(SIZE), training=False), answer)


def test_a_plan_names_a_run(single: Path) -> None:
    plan = parse_plan(f'image {SIZE}\nsource x = "{single}"\n')
    network = compile_plan(plan)
    assert network.plan == plan
    assert network.complete_plan.sources[0].plan == load(single).plan
    assert torch.equal(
        run(network, images(SIZE), training=False)["x"], alone(single, training=False, answer="h")
    )
    whole = open_source(network.complete_plan.sources[0])
    assert source_ref("x", whole) == network.complete_plan.sources[0]


def test_another_run_than_the_plan_says(joined: Path, tmp_path: Path) -> None:
    other = saved(tmp_path / "other", SHARED)
    ref = SourceRef("x", str(other), plan=load(joined).plan)
    with pytest.raises(SourceError, match="not the run that the plan was written for"):
        open_source(ref)


@pytest.mark.parametrize("file", ["model.safetensors", "labels.json", "metrics.json"])
def test_a_run_that_is_not_finished(joined: Path, tmp_path: Path, file: str) -> None:
    folder = shutil.copytree(joined, tmp_path / "x")
    (folder / file).unlink()
    with pytest.raises(SourceError, match="not a finished run") as caught:
        open_network(str(folder))
    assert caught.value.found == f"no {file}"


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    for text in (str(tmp_path), f"run:{tmp_path}", f"run:{tmp_path / 'nothing'}"):
        with pytest.raises(SourceError, match="not a finished run") as caught:
            open_network(text)
        assert "no plan.yaml" in (caught.value.found or "")


def test_a_path_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not name a network") as caught:
        open_network(str(tmp_path / "nothing"))
    assert "finished run" in (caught.value.expected or "")
    assert "no such folder" in (caught.value.found or "")


@pytest.mark.parametrize("spec", [Path("runs/x"), None, SourceRef])
def test_what_is_neither_a_name_nor_a_network(spec: Any) -> None:
    with pytest.raises(SourceError, match="a source is a name or a network") as caught:
        open_network(spec)
    assert caught.value.found == repr(spec)


ATTENDING = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 8, 8)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(self.encoder(self.conv(x).flatten(2).transpose(1, 2)).mean(1))
"""


def test_layers_within_a_layer_that_the_run_had_pruned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "attending.py").write_text(ATTENDING)
    monkeypatch.chdir(tmp_path)
    own = "image 16\nsource a = python:attending:Net{}\nhead h = linear(a:{}) classes=3\n"
    saved(tmp_path / "run", own.format("", "conv"))
    compile_plan(parse_plan(own.format("@run#a", "conv")))
    with pytest.raises(PlanError, match="the run that they are from had pruned it") as caught:
        compile_plan(parse_plan(own.format("@run#a", "mean")))
    assert "encoder.self_attn.in_proj_weight" in caught.value.problems[0].what


def test_a_folder_called_like_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cifar_resnet20").mkdir()
    assert open_network("cifar_resnet20").nested is None


def test_weights_of_another_plan(joined: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(joined, tmp_path / "x")
    other = saved(tmp_path / "other", SHARED)
    shutil.copy(other / "model.safetensors", folder)
    with pytest.raises(SourceError, match="do not belong together"):
        open_network(str(folder))


def test_a_run_within_a_run_by_name(joined: Path) -> None:
    with pytest.raises(SourceError, match='no source "c"'):
        open_network(f"{joined}#c")
    with pytest.raises(SourceError, match="is not itself a run") as caught:
        open_network(f"{joined}#a")
    assert caught.value.hint == f"cifar_resnet20@{joined}#a"


@pytest.mark.parametrize("asked", [{"size": 32}, {"mean": (0.5,) * 3}, {"std": (0.5,) * 3}])
def test_its_preprocessing_is_its_own(joined: Path, asked: dict) -> None:
    with pytest.raises(SourceError, match="its own preprocessing"):
        open_network(str(joined), **asked)
    assert open_network(str(joined), size=SIZE).preprocessing.size == SIZE


FACTORY = """\
from pathlib import Path
from convgraft.zoo.networks import CifarResNet
Path("ran").touch()
class ByMode(CifarResNet):
    def forward(self, x):
        return super().forward(x) * 2 if self.training else super().forward(x)
def build(): return ByMode(20, 10)
"""


def test_no_code_runs_unless_it_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own_nets.py").write_text(FACTORY)
    inner = compile_plan(Plan(SIZE, (SourceRef("a", "python:own_nets:build"),)))
    save("inner", inner, labels="0123456789")
    trusted = open_network("inner", trust_python=True)
    outer = compose(plan_for({"x": trusted}, size=SIZE), {"x": trusted})
    save("outer", outer, labels="0123456789")
    Path("ran").unlink()
    monkeypatch.delitem(__import__("sys").modules, "own_nets")
    for name in ("inner", "outer"):
        with pytest.raises(SourceError, match="wants to run Python code"):
            open_network(name)
    with pytest.raises(SourceError, match="wants to run Python code"):
        open_source(outer.complete_plan.sources[0], bare=True)
    with pytest.raises(PlanError, match="wants to run Python code"):
        compile_plan(Plan(SIZE, (SourceRef("x", "outer"),)))
    assert not Path("ran").exists()
    assert trusted.capture.train is not trusted.capture.eval
    network = open_network("outer", trust_python=True).module
    for training in (False, True):  # the two graphs differ
        expected = run(outer, images(SIZE), training=training)["x"]
        assert torch.equal(run(network, images(SIZE), training=training), expected)
        assert torch.equal(run(inner, images(SIZE), training=training)["a"], expected)


def test_a_run_of_a_module_from_python_cannot_be_a_source(tmp_path: Path) -> None:
    own = open_network(torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(4, 2),
    ))  # fmt: skip
    folder = save(tmp_path / "x", compose(plan_for({"a": own}), {"a": own}), labels="ab")
    with pytest.raises(SourceError, match="made from an"):
        open_network(str(folder))
