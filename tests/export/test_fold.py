"""Folding: the same answers for fewer multiply-accumulates, or a reason why not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from convgraft.compose import Composite, compose, cost
from convgraft.export import Folded, fold_adapters
from convgraft.export.fuse import Layer, fuse, refusal
from convgraft.sources import source
from helpers import head, images, opened, plan_for, same, same_state, wire

SQUEEZENET, MOBILENET, RESNET = (
    "torchvision/squeezenet1_1",
    "torchvision/mobilenet_v2",
    "cifar_resnet20",
)
LOGITS = {SQUEEZENET: "flatten", MOBILENET: "classifier", RESNET: "fc"}


def stitch(
    spec: str, wires: str, *, adapter: str = "conv1x1", join: str = "replace", size: int = 64
) -> Composite:
    """One network's front before another's back."""
    sources = {"a": opened(spec), "b": opened(spec, seed=1)}
    heads = [head("label", "identity", f"b:{LOGITS[spec]}")]
    wired = [wire(wires, join, adapter, start="one")]
    return compose(plan_for(sources, wires=wired, heads=heads, size=size), sources).eval()


def without_bias(composite: Composite) -> Composite:
    for layer in composite.adapters.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.bias)
    return composite


@torch.no_grad()
def error(composite: nn.Module, folded: Folded, size: int = 64) -> float:
    """The largest difference in an answer, as a share of the largest answer."""
    image = images(size)
    ours, theirs = composite(image), folded.network(image)
    assert ours.keys() == theirs.keys()
    return max(float((ours[n] - theirs[n]).abs().max() / ours[n].abs().max()) for n in ours)


def folds(composite: Composite, saved: int, size: int = 64) -> Folded:
    """Holds that everything is folded, that this many MACs are gone, and that answers are equal."""
    folded = fold_adapters(composite)
    assert folded.kept == {} and len(folded.folded) == 1
    assert error(composite, folded, size) < 1e-5
    assert folded.macs_before == cost(composite).macs
    assert folded.macs_before - folded.macs == saved
    return folded


def reason(composite: Composite, size: int = 64) -> str:
    """Why the only adapter is kept; the network is as it was."""
    folded = fold_adapters(composite)
    assert folded.folded == ()
    assert folded.macs == folded.macs_before == cost(composite).macs
    assert error(composite, folded, size) == 0
    (found,) = folded.kept.values()
    return found


@pytest.mark.parametrize(
    ("spec", "tap", "adapter_macs"),
    [
        (SQUEEZENET, "features.3", 128 * 128 * 15 * 15),  # before a fire module's squeeze
        (SQUEEZENET, "features.12", 512 * 512 * 3 * 3),  # before dropout and the classifier
        (MOBILENET, "features.3", 24 * 24 * 16 * 16),  # before an expansion without a shortcut
        (MOBILENET, "features.17", 320 * 320 * 2 * 2),  # before the last convolution
    ],
)
def test_a_1x1_adapter_costs_nothing_once_folded(spec: str, tap: str, adapter_macs: int):
    folds(stitch(spec, f"a:{tap} -> b:{tap}"), adapter_macs)


def test_several_readers_take_it_in():
    """A CIFAR ResNet's stage begins with a 3x3 convolution and a 1x1 beside it."""
    composite = without_bias(stitch(RESNET, "a:layer1 -> b:layer1", size=32))
    folds(composite, 16 * 16 * 32 * 32, size=32)


def test_a_classifier_behind_an_average_takes_it_in():
    folds(stitch(RESNET, "a:layer3 -> b:layer3", size=32), 64 * 64 * 8 * 8, size=32)


def test_a_resize_before_the_1x1_stays():
    composite = stitch(SQUEEZENET, "a:features.3 -> b:features.6")
    (adapter,) = composite.adapters.children()
    assert [name for name, _ in adapter.named_children()] == ["resize", "mix"]
    folded = folds(composite, (128 * 256 + 256 * 32 - 128 * 32) * 7 * 7)
    (kept,) = folded.network.adapters.children()
    assert [name for name, _ in kept.named_children()] == ["resize"]


def test_a_1x1_changes_places_with_an_upsampling_after_it():
    composite = stitch(SQUEEZENET, "a:features.6 -> b:features.3")
    (adapter,) = composite.adapters.children()
    assert [name for name, _ in adapter.named_children()] == ["mix", "resize"]
    apart = 256 * 128 * 7 * 7 + 128 * 16 * 15 * 15
    folds(composite, apart - 256 * 16 * 15 * 15)


def test_a_3x3_adapter_and_a_1x1_become_one_3x3():
    folded = folds(
        stitch(SQUEEZENET, "a:features.6 -> b:features.6", adapter="ridge3x3"),
        9 * 7 * 7 * (256 * 256 - 256 * 32) + 256 * 32 * 7 * 7,
    )
    squeeze = folded.network.get_submodule("sources.b.features.7.squeeze")
    assert squeeze.kernel_size == (3, 3) and squeeze.padding == (1, 1)


def test_a_deep_adapter_loses_its_last_layer():
    composite = stitch(SQUEEZENET, "a:features.6 -> b:features.6", adapter="cnn")
    folds(composite, (512 * 256 + 256 * 32 - 512 * 32) * 7 * 7)


def test_a_residual_adapter_is_folded_while_its_block_is_closed():
    composite = stitch(SQUEEZENET, "a:features.6 -> b:features.6", adapter="residual")
    block = 9 * 7 * 7 * (256 * 1024 + 1024 * 256)
    folds(composite, 256 * 256 * 7 * 7 + block)
    nn.init.ones_(next(composite.adapters.children()).mix.scale)
    assert "ends in ResidualMix" in reason(composite)


@pytest.mark.parametrize(
    ("wires", "options", "expected"),
    [
        ("a:features.4 -> b:features.4", {}, "sources.b.features.5 is no plain"),
        ("a:features.3 -> b:features.3", {"join": "add"}, "the function add reads it"),
        ("a:features.3 -> b:features.3", {"join": "gate"}, "(CrossFade)"),
        ("a:features.3 -> b:features.3", {"adapter": "block"}, "it ends in ReLU"),
        ("a:features.12 -> b:features.3", {}, "1,843,200 MACs in place of 1,050,624"),
        ("a:features.6 -> b:features.3", {"adapter": "ridge3x3"}, "resize is no plain"),
        ("a:features.4 -> b:features.5", {"adapter": "identity"}, "it resizes"),
    ],
)
def test_what_cannot_be_folded_is_kept_with_the_reason(
    wires: str, options: dict[str, str], expected: str
):
    assert expected in reason(stitch(SQUEEZENET, wires, **options))


def test_a_shortcut_reads_along():
    composite = without_bias(stitch(RESNET, "a:layer1.0 -> b:layer1.0", size=32))
    assert reason(composite, 32) == "the function add reads it"


def test_a_bias_does_not_pass_a_zero_padding():
    composite = stitch(RESNET, "a:layer1 -> b:layer1", size=32)
    assert reason(composite, 32).startswith("sources.b.layer2.0.conv1 pads with zeros")


def test_a_3x3_adapter_does_not_pass_any_padding():
    composite = without_bias(stitch(RESNET, "a:layer1 -> b:layer1", adapter="ridge3x3", size=32))
    assert "differs at the borders" in reason(composite, 32)


def test_an_answer_that_is_the_adapter_itself_is_kept():
    sources = {"a": opened(RESNET), "b": opened(RESNET, seed=1)}
    plan = plan_for(sources, wires=[wire("a:fc -> b:fc", "replace", start="one")])
    assert reason(compose(plan, sources).eval(), 32) == "it is an answer"


def test_a_head_that_reads_along_keeps_it():
    sources = {"a": opened(SQUEEZENET), "b": opened(SQUEEZENET, seed=1)}
    heads = [head("label", "linear", "b:features.3", "b:flatten", classes=3)]
    wires = [wire("a:features.3 -> b:features.3", "replace", start="one")]
    composite = compose(plan_for(sources, wires=wires, heads=heads, size=64), sources)
    assert "heads.label" in reason(composite.eval())


class Twice(nn.Module):
    """Two convolutions in a row after an activation; `shared` calls one and the same."""

    def __init__(self, *, shared: bool = False, groups: int = 1) -> None:
        super().__init__()
        self.stem, self.act = nn.Conv2d(3, 8, 3), nn.ReLU()
        self.mix = nn.Conv2d(8, 8, 1, groups=groups)
        self.next = nn.Conv2d(8, 8, 1)
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 4)
        self.shared = shared

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        x = self.mix(torch.sin(self.mix(x))) if self.shared else self.next(self.mix(x))
        return self.fc(torch.flatten(self.pool(x), 1))


class Sideways(Twice):
    """Its dense layer goes along the rows of a map as wide as it has channels."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.act(self.stem(x))).mean((2, 3))


def own_stitch(network: nn.Module) -> Composite:
    sources = {"a": source(Twice()), "b": source(network)}
    heads = [head("label", "identity", "b:fc")]
    wires = [wire("a:act -> b:act", "replace", start="one")]
    return compose(plan_for(sources, wires=wires, heads=heads, size=8), sources).eval()


def test_a_convolution_that_runs_twice_is_left_alone():
    assert "used in several places" in reason(own_stitch(Twice(shared=True)), 8)


def test_groups_of_channels_are_left_alone():
    assert "2 groups" in reason(own_stitch(Twice(groups=2)), 8)


def test_a_dense_layer_along_another_axis_is_left_alone():
    sources = {"a": source(Twice(), size=10), "b": source(Sideways(), size=10)}
    heads = [head("label", "identity", "b:mean")]
    wires = [wire("a:act -> b:act", "replace", start="one")]
    composite = compose(plan_for(sources, wires=wires, heads=heads, size=10), sources).eval()
    assert "axis other than the channels" in reason(composite, 10)


def test_a_layer_with_a_hook_is_left_alone():
    composite = own_stitch(Twice())
    folds(composite, 8 * 8 * 6 * 6, 8)
    composite.sources.b.mix.register_forward_hook(lambda module, inputs, output: output + 1)
    assert "no plain" in reason(composite, 8)


def test_the_composite_is_not_changed_and_shares_nothing():
    composite = stitch(SQUEEZENET, "a:features.3 -> b:features.3").train()
    before, code = {n: v.clone() for n, v in composite.state_dict().items()}, composite.code
    folded = fold_adapters(composite)
    assert composite.training and composite.code == code
    assert same(dict(composite.state_dict()), before)
    assert all(p.requires_grad for p in composite.parameters())
    for weight in folded.network.state_dict().values():
        weight.fill_(1)
    assert same(dict(composite.state_dict()), before)


def test_the_folded_network_is_for_inference():
    folded = fold_adapters(stitch(SQUEEZENET, "a:features.3 -> b:features.3"))
    network = folded.network.train()
    assert not any(part.training for part in network.modules())
    assert not any(p.requires_grad for p in network.parameters())
    assert not [name for name in network.state_dict() if name.startswith("adapters.")]
    pixels = (images(64) * 255).to(torch.uint8)
    assert network(pixels)["label"].shape == (2, 1000)


def test_folding_keeps_what_is_shared_between_held_sources():
    sources = {"a": opened(SQUEEZENET), "b": opened(SQUEEZENET)}
    wires = [wire("a:features.3 -> b:features.3", "replace", start="one")]
    heads = [head(name, "identity", f"{name}:flatten") for name in "ab"]
    composite = compose(plan_for(sources, wires=wires, heads=heads, size=64), sources)
    folds(composite.holding(["sources.a", "sources.b"]).eval(), 128 * 128 * 15 * 15)


def test_wires_in_a_row_are_folded_one_by_one():
    sources = {name: opened(SQUEEZENET, seed=number) for number, name in enumerate("abc")}
    wires = [
        wire("a:features.3 -> b:features.3", "replace", start="one"),
        wire("b:features.6 -> c:features.6", "replace", start="one"),
    ]
    heads = [head("label", "identity", "c:flatten")]
    composite = compose(plan_for(sources, wires=wires, heads=heads, size=64), sources).eval()
    folded = fold_adapters(composite)
    assert folded.folded == ("a:features/3->b:features/3", "b:features/6->c:features/6")
    assert error(composite, folded) < 1e-5
    assert folded.macs_before - folded.macs == 128 * 128 * 15 * 15 + 256 * 256 * 7 * 7


FIRST = {"1x1": {"kernel_size": 1}, "3x3": {"kernel_size": 3, "padding": 1}}
SECOND = {
    "1x1 in steps": {"kernel_size": 1, "stride": 2},
    "3x3 without padding": {"kernel_size": 3, "bias": False},
    "3x3 with holes": {"kernel_size": 3, "dilation": 2, "stride": 2},
    "3x1": {"kernel_size": (3, 1)},
    "3x3 that reflects": {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
    "valid": {"kernel_size": 3, "padding": "valid"},
}


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("second", SECOND)
def test_one_layer_gives_what_two_gave(first: str, second: str):
    ours = nn.Conv2d(5, 7, **FIRST[first])
    theirs = nn.Conv2d(7, 4, **SECOND[second])
    if (first, second) == ("3x3", "3x3 that reflects"):
        assert refusal(ours, theirs)
        return
    assert refusal(ours, theirs) is None
    check_fused(ours, theirs, torch.rand(2, 5, 9, 10))


def check_fused(first: nn.Conv2d, second: Layer, x: Tensor) -> None:
    expected = second(first(x))
    assert torch.allclose(fuse(first, second)(x), expected, atol=1e-5)


@pytest.mark.parametrize("padding", [1, "same"])
def test_zero_padding_is_refused_for_a_bias_alone(padding: int | str):
    ours, theirs = nn.Conv2d(5, 7, 1), nn.Conv2d(7, 4, 3, padding=padding)
    assert "bias" in str(refusal(ours, theirs))
    nn.init.zeros_(ours.bias)
    assert refusal(ours, theirs) is None
    check_fused(ours, theirs, torch.rand(2, 5, 9, 10))


def test_a_flattened_map_is_refused():
    assert "flattened map" in str(refusal(nn.Conv2d(5, 7, 1), nn.Linear(7 * 4, 3)))


def test_it_leaves_nothing_random_behind():
    composite = own_stitch(Twice())
    state = torch.get_rng_state()
    first, second = fold_adapters(composite).network, fold_adapters(composite).network
    assert torch.equal(torch.get_rng_state(), state)
    assert same_state(first, second)
