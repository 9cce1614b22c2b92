"""Taps, checked against what the networks really compute."""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, fx, nn

from convgraft.errors import SourceError
from convgraft.sources import Source, Survey, source
from convgraft.sources.kinds import KINDS
from helpers import Tiny, images, opened

NETWORKS = {
    "cifar_resnet20": 32,
    "custom16": 32,
    "torchvision/squeezenet1_1": 64,
    "torchvision/mobilenet_v2": 64,
    "torchvision/googlenet": 64,
    "timm/test_efficientnet": 64,
}
EVERY = pytest.mark.parametrize(("spec", "size"), NETWORKS.items())
KIND_ROWS = [
    ("cifar_resnet20", "input", "input"),
    ("cifar_resnet20", "conv1", "layer"),
    ("cifar_resnet20", "relu", "activation"),
    ("cifar_resnet20", "layer2.1", "block"),
    ("cifar_resnet20", "layer2.0.add", "layer"),
    ("cifar_resnet20", "avgpool", "pool"),
    ("cifar_resnet20", "flatten", "features"),
    ("cifar_resnet20", "fc", "logits"),
    ("custom16", "stage1.blocks.0", "activation"),
    ("custom16", "stage1", "block"),
    ("custom16", "pool1", "pool"),
    ("torchvision/squeezenet1_1", "features.3", "block"),
    ("torchvision/squeezenet1_1", "features", "features"),
    ("torchvision/squeezenet1_1", "flatten", "logits"),
    ("torchvision/mobilenet_v2", "adaptive_avg_pool2d", "pool"),
    ("torchvision/mobilenet_v2", "flatten", "features"),
    ("torchvision/googlenet", "inception3a", "block"),
]


class _Recorder(fx.Interpreter):
    """Runs a graph on real numbers; notes each value's shape and version when it was made."""

    def __init__(self, opened_source: Source) -> None:
        module = copy.deepcopy(opened_source.module).eval()
        graph = opened_source.capture.eval.fx
        super().__init__(module, garbage_collect_values=False, graph=graph)
        self.made: dict[str, tuple[tuple[int, ...], int]] = {}

    def run_node(self, n: fx.Node) -> object:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.made[n.name] = (tuple(value.shape[1:]), value._version)
        return value

    def overwritten(self) -> set[str]:
        values = {node.name: value for node, value in self.env.items()}
        return {name for name, (_, made) in self.made.items() if values[name]._version > made}


def recorded(opened_source: Source, size: int) -> _Recorder:
    recorder = _Recorder(opened_source)
    recorder.run(opened_source.preprocessing.build()(images(size)))
    return recorder


@EVERY
def test_shapes_and_overwritten_values_are_those_of_a_real_run(spec: str, size: int):
    survey = opened(spec).survey(size)
    recorder = recorded(opened(spec), size)
    nodes = survey.nodes[False]
    assert {t.name: t.shape for t in survey.taps} == {
        t.name: recorder.made[nodes[t.name]][0] for t in survey.taps
    }
    overwritten = recorder.overwritten()
    assert {t.name for t in survey.taps if nodes[t.name] in survey.mutators[False]} == {
        t.name for t in survey.taps if nodes[t.name] in overwritten
    }


@EVERY
def test_every_name_is_the_module_that_returns_the_value(spec: str, size: int):
    survey, network = opened(spec).survey(size), copy.deepcopy(opened(spec).module).eval()
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, result: Tensor) -> None:
        shapes.setdefault(name, tuple(result.shape[1:]))

    for name, module in network.named_modules():
        module.register_forward_hook(lambda m, given, result, name=name: note(name, result))
    network(opened(spec).preprocessing.build()(images(size)))
    named = {name: t.shape for t in survey.taps for name in t.names if name in shapes}
    assert named == {name: shapes[name] for name in named}
    assert len(named) > len(survey.taps) / 2


@EVERY
def test_names_select_one_tap_each(spec: str, size: int):
    names = [name for t in opened(spec).survey(size).taps for name in t.names]
    assert len(set(names)) == len(names)


@EVERY
def test_depth_grows_along_the_graph_from_zero_to_one(spec: str, size: int):
    survey = opened(spec).survey(size)
    depth = {survey.nodes[False][t.name]: t.depth for t in survey.taps}
    for earlier, later in _edges(opened(spec)):
        if earlier in depth and later in depth:
            assert depth[earlier] <= depth[later]
    assert all(0 <= value <= 1 for value in depth.values())
    assert (survey.tap("input").depth, survey.tap("logits").depth) == (0, 1)


def _edges(opened_source: Source) -> Iterator[tuple[str, str]]:
    for node in opened_source.capture.eval.fx.nodes:
        yield from ((argument.name, node.name) for argument in node.all_input_nodes)


@EVERY
def test_costs_are_those_counted_by_hand(spec: str, size: int):
    network = copy.deepcopy(opened(spec).module).eval()
    counted: list[int] = []

    def count(module: nn.Module, given: tuple[Tensor], result: Tensor) -> None:
        positions = result[0, 0].numel() if result.dim() == 4 else 1
        counted.append(positions * next(module.parameters()).numel())

    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    network(opened(spec).preprocessing.build()(images(size, 1)))
    survey = opened(spec).survey(size)
    assert survey.macs == sum(counted)
    assert survey.tap("logits").macs == survey.macs


@EVERY
def test_strides_are_pixels_per_position(spec: str, size: int):
    for tap in opened(spec).survey(size).taps:
        assert tap.stride == size / (tap.shape[-1] if tap.is_map else 1)
        assert tap.is_map == (len(tap.shape) == 3)


@pytest.mark.parametrize(("spec", "name", "kind"), KIND_ROWS)
def test_kinds(spec: str, name: str, kind: str):
    assert kind in KINDS
    assert opened(spec).survey(NETWORKS[spec]).tap(name).kind == kind


def test_a_value_is_named_after_the_outermost_module_that_returns_it():
    tap = opened("cifar_resnet20").survey(32).tap("layer1.2.relu_1")
    assert tap.names == ("layer1", "layer1.2", "layer1.2.relu_1")


def test_second_calls_and_bare_functions_have_names_of_their_own():
    survey = opened("cifar_resnet20").survey(32)
    names = {name for tap in survey.taps for name in tap.names}
    assert {"layer1.0.relu", "layer1.0.relu_1", "layer1.0.add", "flatten"} <= names


@pytest.mark.parametrize(
    ("spec", "word", "name"),
    [
        ("cifar_resnet20", "features", "flatten"),
        ("cifar_resnet20", "logits", "fc"),
        ("cifar_resnet20", "input", "input"),
        ("torchvision/squeezenet1_1", "features", "features"),
    ],
)
def test_some_taps_are_found_by_their_kind(spec: str, word: str, name: str):
    assert opened(spec).survey(64).tap(word).name == name


def test_an_unknown_tap_is_told_with_what_is_near():
    survey = opened("cifar_resnet20").survey(32)
    assert survey.find("layer9") is None
    with pytest.raises(SourceError, match='no tap "layer9"') as caught:
        survey.tap("layer9")
    assert "did you mean layer" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("spec", "size", "layer"),
    [("custom16", 8, "pool4"), ("torchvision/squeezenet1_1", 8, "features.")],
)
def test_an_image_that_is_too_small_names_the_layer(spec: str, size: int, layer: str):
    with pytest.raises(SourceError, match=f"{size}x{size} does not pass") as caught:
        opened(spec).survey(size)
    assert f"at {layer}" in (caught.value.found or "")


def test_inception_at_100_pixels_has_taps_in_both_modes():
    survey = opened("torchvision/inception_v3").survey(100)
    assert survey.tap("Mixed_7c").shape == (2048, 1, 1)
    assert set(survey.nodes[True]) == set(survey.nodes[False]) == {t.name for t in survey.taps}
    network = opened("torchvision/inception_v3").module
    auxiliary = sum(p.numel() for p in network.AuxLogits.parameters())
    assert survey.parameters == sum(p.numel() for p in network.parameters()) - auxiliary


def test_a_source_with_its_own_image_size_keeps_it():
    own = source(Tiny(), size=16)
    shapes = {size: own.survey(size).tap("conv").shape for size in (16, 32, 224)}
    assert set(shapes.values()) == {(8, 8, 8)}


def test_surveys_change_nothing():
    network = Tiny().train()
    network.bn.eval()
    own = source(network, size=16)
    before = {name: tensor.clone() for name, tensor in own.module.state_dict().items()}
    survey: Survey = own.survey(16)
    assert own.survey(16).taps == survey.taps
    assert own.module.training
    assert not own.module.bn.training
    assert all(torch.equal(own.module.state_dict()[name], before[name]) for name in before)
