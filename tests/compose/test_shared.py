"""Promise 4: what frozen sources compute alike is computed once, and gives what it gave before."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convgraft.compose import Composite, compose, cost
from convgraft.plan import Head, Wire
from convgraft.sources import Preprocessing, Source, source
from helpers import Tiny, count_calls, head, images, opened, plan_for, run, same, wire

BOTH = ["sources.a", "sources.b"]


def twins(*, wires: tuple[Wire, ...] = (), heads: tuple[Head, ...] = ()) -> Composite:
    sources = {"a": opened("cifar_resnet20"), "b": opened("cifar_resnet20")}
    return compose(plan_for(sources, wires=wires, heads=heads), sources)


def test_equal_frozen_sources_run_once():
    composite = twins()
    held = composite.holding(BOTH)
    first = count_calls(held.sources.a.layer1[0].conv1)
    second = count_calls(held.sources.b.layer1[0].conv1)
    answers = run(held, images(), training=False)
    assert (first(), second()) == (1, 0)
    assert torch.equal(answers["a"], answers["b"])
    assert same(answers, run(composite, images(), training=False))
    assert cost(held).macs == cost(composite).macs // 2


def test_also_while_the_rest_trains():
    heads = (head("h", "linear", "a:layer3", "b:flatten", classes=3),)
    held = twins(heads=heads).holding(BOTH)
    calls = [count_calls(getattr(held.sources, name).conv1) for name in "ab"]
    run(held, images(), training=True)["h"].sum().backward()
    assert [count() for count in calls] == [1, 0]
    assert held.heads.h.classifier.weight.grad.abs().max() > 0


@pytest.mark.parametrize("held", [[], ["sources.a"], ["sources.a.layer1", "sources.b.layer1"]])
def test_what_may_change_is_not_shared(held: list[str]):
    composite = twins().holding(held)
    assert cost(composite).macs == 2 * opened("cifar_resnet20").survey(32).macs


@pytest.mark.parametrize("kind", ["parameter", "buffer"])
def test_one_other_number_ends_what_is_shared(kind: str):
    own = opened("cifar_resnet20")
    other = replace(own, module=copy.deepcopy(own.module))
    layer = other.module.layer2[0]
    number = layer.conv1.weight if kind == "parameter" else layer.bn1.running_mean
    with torch.no_grad():
        number.view(-1)[5] += 0.25
    sources = {"a": own, "b": other}
    composite = compose(plan_for(sources), sources)
    held = composite.holding(BOTH)
    survey = own.survey(32)
    # Up to the changed layer both agree, and so does the shortcut beside it.
    shared = survey.tap("layer1").macs + 16 * 32 * 16 * 16
    shared += 0 if kind == "parameter" else 9 * 16 * 32 * 16 * 16
    assert cost(held).macs == 2 * survey.macs - shared
    answers = run(held, images(), training=False)
    assert same(answers, run(composite, images(), training=False))
    assert not torch.equal(answers["a"], answers["b"])


def test_sharing_stops_where_a_wire_comes_in():
    composite = twins(wires=(wire("a:layer1 -> b:layer2", start="one"),))
    held = composite.holding(BOTH)
    survey = opened("cifar_resnet20").survey(32)
    adapter = 16 * 32 * 16 * 16
    assert cost(held).macs == 2 * survey.macs + adapter - survey.tap("layer2").macs
    assert same(run(held, images(), training=False), run(composite, images(), training=False))


def test_preprocessing_is_shared_where_it_is_the_same():
    composite = twins()
    calls = [count_calls(getattr(composite.preprocess, name)) for name in "ab"]
    composite(images())
    assert sorted(count() for count in calls) == [0, 1]


def test_other_preprocessing_is_not_shared():
    own = opened("cifar_resnet20")
    sources = {"a": own, "b": replace(own, preprocessing=Preprocessing())}
    composite = compose(plan_for(sources), sources)
    held = composite.holding(BOTH)
    assert cost(held).macs == cost(composite).macs
    assert same(run(held, images(), training=False), run(composite, images(), training=False))


def test_released_sources_run_apart_again():
    composite = twins().holding(BOTH).holding([])
    assert cost(composite).macs == 2 * opened("cifar_resnet20").survey(32).macs


class Overwriting(nn.Module):
    """Overwrites the very image that it is given."""

    def __init__(self, limit: float):
        super().__init__()
        self.clip = nn.Hardtanh(-limit, limit, inplace=True)
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.clip(x).mean((2, 3)))


@pytest.mark.parametrize("held", [[], BOTH])
@pytest.mark.parametrize("limits", [(0.5, 0.5), (0.5, 0.1), (0.1, 0.5)])
def test_networks_that_overwrite_their_image_do_not_disturb_each_other(
    held: list[str], limits: tuple[float, float]
):
    sources: dict[str, Source] = {}
    for name, limit in zip("ab", limits, strict=True):
        torch.manual_seed(0)
        sources[name] = source(Overwriting(limit))
    composite = compose(plan_for(sources), sources).holding(held)
    answers = run(composite, images(), training=False)
    for name, own in sources.items():
        normalised = own.preprocessing.build()(images())
        assert torch.equal(answers[name], own.module.eval()(normalised))


def test_other_readers_of_a_shared_value_in_the_first_source():
    assert_same_when_held("a:bn")


def test_other_readers_of_a_shared_value_in_the_second_source():
    assert_same_when_held("b:bn")


def assert_same_when_held(tap: str) -> None:
    sources = {"a": source(Tiny(), size=16), "b": source(Tiny(), size=16)}
    heads = [head("h", "linear", tap, classes=3), head("x", "average", "a:fc", "b:fc")]
    composite = compose(plan_for(sources, heads=heads, size=16), sources)
    held = composite.holding(BOTH)
    assert same(run(held, images(16), training=False), run(composite, images(16), training=False))


class Scaled(nn.Module):
    """Cannot be traced, and its setting shows neither in its weights nor in its printed form."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * (F.avg_pool2d(x, 2) if x.shape[-1] > 8 else x)


class WithScaled(Tiny):
    def __init__(self, factor: float):
        super().__init__()
        self.scaled = Scaled(factor)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.scaled(x))


def test_opaque_modules_with_other_settings_are_not_shared():
    sources = {"a": source(WithScaled(1.0), size=16), "b": source(WithScaled(2.0), size=16)}
    composite = compose(plan_for(sources, size=16), sources)
    held = composite.holding(BOTH)
    assert same(run(held, images(16), training=False), run(composite, images(16), training=False))
