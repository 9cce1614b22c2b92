"""The fast version of a frozen graph: the same values, whatever the network."""

from __future__ import annotations

import operator

import pytest
import torch
from torch import Tensor, fx, nn

from convgraft.cache import fast
from convgraft.cache.compiled import Compiled
from convgraft.cache.fast import fast_version
from convgraft.compose import compose
from convgraft.plan import Head, Plan
from convgraft.sources import source
from convgraft.sources.preprocess import Preprocess, Preprocessing
from convgraft.strategies import Ingredients

FAMILIES = [
    "torchvision/squeezenet1_1",
    "torchvision/mobilenet_v2",
    "torchvision/mobilenet_v3_small",
    "torchvision/shufflenet_v2_x0_5",
    "torchvision/resnet18",
    "timm/test_convnext",
    "timm/test_efficientnet",
    "timm/test_resnet",
    "timm/test_nfnet",
    "timm/resnetv2_18",
]
SIZE = 32


def pictures(count: int = 6, size: int = SIZE) -> Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)


def shaken(network: nn.Module) -> nn.Module:
    """With statistics and scales of its own in every batch norm, as after training."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.5, 0.5)  # pyright: ignore
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # pyright: ignore
    return network


def front_of(spec: str) -> fx.GraphModule:
    """A network's blocks and features, several values of one graph."""
    given = Ingredients({"a": source(spec)}, SIZE, 10)
    refs = (*given.side_taps("a")[::3], given.features("a"))
    heads = tuple(Head(f"tap{n}", "tap", (ref,)) for n, ref in enumerate(dict.fromkeys(refs)))
    network = shaken(compose(Plan(SIZE, given.refs, (), heads), given.sources).eval())
    graph = fx.Graph()
    answers = graph.graph_copy(network.graph, {})  # pyright: ignore
    graph.output(tuple(answers.values()))  # pyright: ignore
    return fx.GraphModule(network, graph)


def assert_same(made: nn.Module, front: nn.Module, images: Tensor, tolerance: float = 1e-5) -> None:
    with torch.inference_mode():
        expected = front(images)
    values = made(images)
    assert len(values) == len(expected)
    for value, one in zip(values, expected, strict=True):
        assert value.shape == one.shape
        assert value.dtype is one.dtype
        assert (value - one).abs().max() <= tolerance * one.abs().max()


@pytest.mark.parametrize("spec", FAMILIES)
def test_values_are_those_of_the_given_graph(spec: str) -> None:
    if spec.startswith("timm/"):
        pytest.importorskip("timm")
    front, images = front_of(spec), pictures()
    before = {name: tensor.clone() for name, tensor in front.state_dict().items()}
    code = front.code
    packed = fast._packed(front, images, layout=fast.LAYOUTS["convnext" in spec])
    assert_same(packed, front, pictures(3))
    made = fast_version(front, images)
    assert_same(made, front, images)
    assert_same(made, front, torch.rand(3, 3, SIZE, SIZE))
    assert front.code == code
    assert all(torch.equal(before[name], tensor) for name, tensor in front.state_dict().items())


class Branches(nn.Module):
    """What makes folding and overwriting wrong where they are done without looking."""

    def __init__(self) -> None:
        super().__init__()
        self.grey = Preprocess(Preprocessing(mean=(0.4,), std=(0.2,), size=16))
        self.first, self.twice = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.seen = nn.Conv2d(8, 8, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(3))
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.dense, self.norm = nn.Linear(8, 5), nn.BatchNorm1d(5)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = torch.relu(self.first(self.grey(image)))
        once = self.norms[0](self.twice(x))  # one convolution, two places, two norms
        again = self.norms[1](self.twice(once))
        seen = self.seen(again)
        total = self.norms[2](seen) + seen + x  # a convolution that others read too
        kept = total * 2
        squeezed = torch.sigmoid(total.mean((2, 3), keepdim=True)) * total
        view = squeezed.flatten(2)
        squeezed = squeezed + x
        rest = self.relu(total + self.seen(total))
        return self.norm(self.dense(self.drop(rest).mean((2, 3)))), kept, view, squeezed, once, x


def branches() -> fx.GraphModule:
    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            return isinstance(m, Preprocess) or super().is_leaf_module(m, module_qualified_name)

    network = shaken(Branches()).eval()
    return fx.GraphModule(network, Tracer().trace(network))


def test_nothing_is_overwritten_that_is_read_later() -> None:
    front, images = branches(), pictures()
    for layout in fast.LAYOUTS:
        folded = fast._folded(front, images, layout=layout, dtype=torch.float32)
        packed = fast._packed(front, images, layout=layout)
        for made in (folded, packed):
            assert_same(made, front, images)
            assert_same(made, front, pictures(2, size=24))


def test_little_is_left_of_a_residual_network() -> None:
    made = fast._packed(front_of("torchvision/resnet18"), pictures(), layout=fast.LAYOUTS[0])
    kinds = [type(m).__name__ for m in made.network.children()]
    assert kinds.count("PackedConvolution") == 20
    calls = [node.target for node in made.network.graph.nodes]  # pyright: ignore
    assert not {operator.add, operator.iadd, torch.relu_} & set(calls)
    assert not any(isinstance(m, (nn.BatchNorm2d, nn.ReLU)) for m in made.network.modules())


def test_what_fails_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    front, images = branches(), pictures()

    def fails(*_: object) -> None:
        raise RuntimeError("no such operation")

    monkeypatch.setattr(fast, "pack_convolutions", fails)
    assert fast_version(front, images).steps in (("folded",), ())
    monkeypatch.setattr(fast, "fold_batch_norms", fails)
    made = fast_version(front, images)
    assert made.steps == ()
    assert_same(made, front, images, tolerance=0)


@pytest.mark.parametrize("plain", [False, True])
def test_wrong_values_are_left_out(plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    front = branches()
    images = torch.zeros_like(pictures()) if plain else pictures()

    seen = front.seen.weight.clone()  # pyright: ignore
    monkeypatch.setattr(fast, "remove_idle", _replace_seen)
    made = fast_version(front, images)
    assert made.steps == ()
    assert torch.equal(front.seen.weight, seen)  # pyright: ignore


def _replace_seen(network: fx.GraphModule) -> None:
    network.add_submodule("other", nn.Conv2d(8, 8, 1))
    for node in network.graph.find_nodes(op="call_module", target="seen"):
        node.target = "other"


def test_a_compiler_that_fails_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile(network: nn.Module) -> object:
        def fails(images: Tensor) -> Tensor:
            raise RuntimeError("no C++ compiler")

        return fails

    monkeypatch.setattr(torch, "compile", compile)
    front, images = branches(), pictures()
    made = fast_version(front, images, compile=True)
    assert "compiled" not in made.steps
    assert_same(made, front, images)
    compiled = Compiled(front)
    assert_same(compiled, front, images, tolerance=0)
    assert "no C++ compiler" in str(compiled.failure)


def test_half_precision_is_near_and_comes_out_as_the_graph_gives_it() -> None:
    front, images = branches(), pictures()
    made = fast_version(front, images, dtype=torch.bfloat16)
    assert_same(made, front, images, tolerance=5e-2)
