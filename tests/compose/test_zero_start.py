"""Promise 3: with the default start, each source inside the composite is itself alone."""

import itertools

import pytest
import torch
from torch import nn
from torchvision import models

from convgraft.compose import Composite, compose
from convgraft.layers import ADAPTERS, JOINS
from convgraft.plan import Wire
from convgraft.sources import Source, source
from helpers import Tiny, head, images, opened, plan_for, run, run_alone, wire

ZERO_JOINS = [kind for kind, row in JOINS.items() if "zero" in row.starts]
# `conv`, `bn` and `conv2` are what the wires carry; `bn` is overwritten by the ReLU after it.
WIRES = [
    "a:conv2 -> b:conv2", "a:bn -> b:bn", "a:bn -> b:conv2", "a:relu -> b:bn", "a:conv2 -> b:bn",
    "a:bn -> b:flatten", "a:flatten -> b:bn", "a:flatten -> b:flatten", "a:fc -> b:fc",
    "a:bn -> b:input", "a:input -> b:bn", "a:pool -> b:relu", "b:conv2 -> a:bn",
]  # fmt: skip


def two_tiny(width: int = 8) -> dict[str, Source]:
    return {"a": source(Tiny(width=8), size=16), "b": source(Tiny(width=width, seed=1), size=16)}


def assert_undisturbed(sources: dict[str, Source], *wires: Wire, size: int = 16) -> Composite:
    """The sources' logits are those of the sources alone, bit for bit, in both modes."""
    composite = compose(plan_for(sources, wires=wires, size=size), sources)
    for training in (False, True):
        answers = run(composite, images(size, 4), training=training)
        for name, own in sources.items():
            assert torch.equal(answers[name], run_alone(own, images(size, 4), training=training))
    return composite


@pytest.mark.parametrize(("join", "adapter"), [*itertools.product(ZERO_JOINS, ADAPTERS)])
@pytest.mark.parametrize("text", WIRES)
def test_every_join_with_every_adapter(text: str, join: str, adapter: str):
    sources, drawn = two_tiny(), wire(text, join, adapter)
    surveys = {name: own.survey(16) for name, own in sources.items()}
    start, end = (surveys[ref.source].tap(ref.tap).shape for ref in (*drawn.inputs, drawn.target))
    if adapter == "identity" and join != "concat" and start[0] != end[0]:
        pytest.skip("an identity adapter does not change channels")
    composite = assert_undisturbed(sources, drawn)
    assert [name for name in composite.state_dict() if name.startswith(("adapters.", "joins."))]


@pytest.mark.parametrize("join", ZERO_JOINS)
def test_wires_both_ways_and_several_at_one_tap(join: str):
    assert_undisturbed(
        two_tiny(width=6),
        wire("a:bn -> b:bn", join),
        wire("b:bn -> a:bn", join),
        wire("a:conv -> b:bn", join),
        wire("b:conv2 -> a:conv2", join),
    )


@pytest.mark.parametrize("join", [kind for kind in ZERO_JOINS if JOINS[kind].many])
def test_several_taps_on_one_wire(join: str):
    sources = {**two_tiny(), "c": source(Tiny(width=3, seed=2), size=16)}
    assert_undisturbed(sources, wire("a:bn, c:conv2, a:flatten -> b:bn", join))


def test_a_wire_within_one_source():
    assert_undisturbed(two_tiny(), wire("a:bn -> a:conv2"), wire("a:input -> a:flatten"))


def without_dropout(name: str) -> Source:
    """As alone and together, networks draw from one stream of random numbers."""
    return source(models.get_model(name, weights=None, dropout=0.0))


SQUEEZENET = ["features.0", "features.3.expand1x1", "features.12", "flatten"]
MOBILENET = ["features.0.1", "features.1.conv.0.1", "features.18", "flatten"]


@pytest.mark.parametrize("taps", [["layer1", "layer2", "layer3"], ["bn1", "layer1.0.bn1", "fc"]])
def test_cifar_networks_wired_both_ways(taps: list[str]):
    sources = {"a": opened("cifar_resnet20"), "b": opened("cifar_resnet20", seed=1)}
    wires = [wire(f"a:{tap} -> b:{tap}", adapter="block") for tap in taps]
    wires += [wire(f"b:{tap} -> a:{tap}", "gate") for tap in taps]
    assert_undisturbed(sources, *wires, size=32)


def test_imagenet_networks_wired_both_ways():
    sources = {"a": without_dropout("squeezenet1_1"), "b": without_dropout("mobilenet_v2")}
    wires: list[Wire] = []
    for ours, theirs in zip(SQUEEZENET, MOBILENET, strict=True):
        wires += [wire(f"a:{ours} -> b:{theirs}", adapter="block")]
        wires += [wire(f"b:{theirs} -> a:{ours}", "concat")]
    assert_undisturbed(sources, *wires, size=64)


class Overwriting(nn.Module):
    """Overwrites its image, a convolution's output and a sum, all in place."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Hardtanh(-0.5, 0.5, inplace=True)
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.side = nn.Conv2d(6, 6, 1)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(6, 4)

    def forward(self, x):
        x = self.conv(self.scale(x))
        side = self.side(x)  # reads x before it is overwritten
        x = self.relu(x)
        x += side
        return self.fc(x.mean((2, 3)).relu_())


@pytest.mark.parametrize("end", ["input", "conv", "side", "relu", "mean"])
@pytest.mark.parametrize("start", ["input", "conv", "side", "relu", "mean"])
def test_values_that_are_overwritten_later(start: str, end: str):
    sources = {"a": source(Overwriting()), "b": source(Overwriting())}
    assert_undisturbed(sources, wire(f"a:{start} -> b:{end}"), wire(f"b:{end} -> a:{start}"))


def test_a_wire_carries_the_value_before_it_is_overwritten():
    sources = two_tiny()
    plan = plan_for(sources, wires=[wire("a:bn -> b:conv2", adapter="conv1x1")], size=16)
    composite = compose(plan, sources).eval()
    seen: list[torch.Tensor] = []
    adapter = composite.adapters.get_submodule("a:bn->b:conv2")
    adapter.register_forward_pre_hook(lambda m, given: seen.append(given[0].clone()))
    composite(images(16))
    network = sources["a"].module.eval()
    normalised = sources["a"].preprocessing.build()(images(16))
    assert torch.equal(seen[0], network.bn(network.conv(normalised)))
    assert seen[0].min() < 0


def test_a_head_reads_the_value_before_it_is_overwritten():
    sources = two_tiny()
    plan = plan_for(sources, heads=[head("h", "linear", "a:bn", "b:fc", classes=3)], size=16)
    composite = compose(plan, sources).eval()
    seen: list[torch.Tensor] = []
    composite.heads.h.register_forward_pre_hook(lambda m, given: seen.append(given[0].clone()))
    composite(images(16))
    assert seen[0].min() < 0


def test_a_head_reads_the_value_after_its_joins_and_before_it_is_overwritten():
    sources = two_tiny()
    drawn = [wire("a:bn -> b:bn", "add", "identity", "one"), wire("a:conv -> b:bn", start="one")]
    heads = [head("h", "linear", "b:bn", classes=3), head("b", "identity", "b:fc")]
    composite = compose(plan_for(sources, wires=drawn, heads=heads, size=16), sources).eval()
    seen: list[torch.Tensor] = []
    composite.heads.h.register_forward_pre_hook(lambda m, given: seen.append(given[0].clone()))
    answer = composite(images(16))["b"]
    normalised = sources["a"].preprocessing.build()(images(16))
    first, second = (sources[name].module.eval() for name in "ab")
    conv = first.conv(normalised)
    expected = second.bn(second.conv(normalised)) + first.bn(conv)
    expected = expected + composite.adapters.get_submodule("a:conv->b:bn")(conv)
    torch.testing.assert_close(seen[0], expected)
    assert expected.min() < 0
    pooled = second.pool(second.conv2(expected.relu())).flatten(1)
    torch.testing.assert_close(answer, second.fc(pooled))


class ReadsFirst(Tiny):
    """Reads a value, together with another one, before it overwrites it."""

    def __init__(self):
        super().__init__()
        self.side = nn.Conv2d(3, 8, 3, 2, 1)

    def forward(self, x):
        side = self.side(x)
        x = self.bn(self.conv(x))
        both = x + side
        return self.fc(self.pool(self.relu(x) + both).flatten(1))


def test_a_reader_that_waits_for_a_wire_still_reads_before_the_overwriting():
    sources = {"a": source(ReadsFirst()), "b": source(Tiny(seed=1))}
    assert_undisturbed(sources, wire("b:conv2 -> a:side"), wire("b:conv -> a:side", "gate"))


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_replaced_value_that_is_overwritten_leaves_its_own_source_alone(order: str):
    sources = {name: two_tiny()[name] for name in order}
    plan = plan_for(sources, wires=[wire("a:conv -> b:bn", "replace", "identity", "one")], size=16)
    answers = run(compose(plan, sources), images(16), training=True)
    assert torch.equal(answers["a"], run_alone(sources["a"], images(16), training=True))


@pytest.mark.parametrize("join", [*ZERO_JOINS, "replace"])
@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("end", ["conv2", "bn"])
def test_a_start_at_one_changes_the_target_and_trains(join: str, adapter: str, end: str):
    sources = two_tiny()
    plan = plan_for(sources, wires=[wire(f"a:{end} -> b:{end}", join, adapter, "one")], size=16)
    composite = compose(plan, sources)
    answers = run(composite, images(16, 4), training=True)
    assert torch.equal(answers["a"], run_alone(sources["a"], images(16, 4), training=True))
    assert not torch.equal(answers["b"], run_alone(sources["b"], images(16, 4), training=True))
    answers["b"].sum().backward()
    assert composite.sources.a.conv.weight.grad.abs().max() > 0


def test_zero_started_wires_receive_a_gradient():
    sources = two_tiny()
    composite = compose(plan_for(sources, wires=[wire("a:bn -> b:bn")], size=16), sources)
    run(composite, images(16, 4), training=True)["b"].square().sum().backward()
    gate = composite.adapters.get_submodule("a:bn->b:bn").gate
    assert gate.scale.grad.abs().max() > 0
