"""A composite lives as any `nn.Module` does: named, copied, averaged, stored, compiled, toggled."""

import copy
import gc
import io
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from convgraft.compose import Composite, compose, cost, keep_answers
from convgraft.errors import UsageError
from convgraft.sources import Source, source
from helpers import Tiny, head, images, opened, plan_for, run, same, same_state, wire

BESIDE = head("beside", "linear", "a:flatten", classes=3)


class WithModes(Tiny):
    """Computes something else while training."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.dropout(x, 0.5) if self.training else x)


def two(first: type[Tiny] = Tiny) -> dict[str, Source]:
    return {"a": source(first(), size=16), "b": source(Tiny(width=6, seed=1), size=16)}


def joined(sources: dict[str, Source] | None = None, *, seed: int = 0) -> Composite:
    sources = sources or two()
    plan = plan_for(
        sources,
        wires=[wire("a:bn -> b:conv2", start="one"), wire("b:conv -> a:conv2", "gate")],
        heads=[head("label", "linear", "a:flatten", "b:flatten", classes=3)],
        size=16,
    )
    return compose(plan, sources, seed=seed)


def test_weights_are_named_after_what_they_belong_to():
    names = list(joined().state_dict())
    assert "sources.a.conv.weight" in names
    assert "sources.b.bn.running_mean" in names
    assert "adapters.a:bn->b:conv2.mix.weight" in names
    assert "joins.b:conv->a:conv2.gate" in names
    assert "heads.label.classifier.weight" in names
    assert all(name.split(".")[0] in ("sources", "adapters", "joins", "heads") for name in names)


def test_dots_in_taps_are_slashes_in_names():
    sources = {"a": opened("cifar_resnet20"), "b": opened("cifar_resnet20", seed=1)}
    plan = plan_for(sources, wires=[wire("a:layer1.0 -> b:layer1.1")])
    names = compose(plan, sources).state_dict()
    assert "adapters.a:layer1/0->b:layer1/1.gate.scale" in names


def test_equal_sources_have_names_and_weights_of_their_own():
    network = Tiny()
    sources = {"a": source(network, size=16), "b": source(network, size=16)}
    composite = compose(plan_for(sources, size=16), sources)
    assert cost(composite).parameters == 2 * sum(p.numel() for p in network.parameters())
    with torch.no_grad():
        composite.sources.a.fc.weight.zero_()
    answers = run(composite, images(16), training=False)
    assert not torch.equal(answers["a"], answers["b"])
    assert same_state(composite.sources.b, network)


def test_one_source_used_twice_is_two_sources():
    own = source(Tiny(), size=16)
    composite = compose(plan_for({"a": own, "b": own}, size=16), {"a": own, "b": own})
    assert composite.sources.a.conv.weight is not composite.sources.b.conv.weight


def test_composing_and_training_leave_your_module_alone():
    network = Tiny().eval()
    before = copy.deepcopy(network)
    composite = joined({"a": source(network, size=16), "b": source(Tiny(seed=1), size=16)})
    optimiser = torch.optim.SGD(composite.parameters(), lr=0.1)
    run(composite, images(16), training=True)["label"].sum().backward()
    optimiser.step()
    assert same_state(network, before)
    assert not any(module.training for module in network.modules())
    assert all(p.grad is None for p in network.parameters())
    assert not same_state(composite.sources.a, before)


def test_seeds_decide_the_added_weights():
    first, second, other = joined(seed=1), joined(seed=1), joined(seed=2)
    assert same_state(first, second)
    assert not same_state(first.adapters, other.adapters)
    assert not same_state(first.heads, other.heads)
    assert same_state(first.sources, other.sources)


def test_an_added_part_has_the_weights_of_its_name_whatever_else_there_is():
    sources = two()
    label = head("label", "linear", "a:flatten", "b:flatten", classes=3)
    alone = compose(plan_for(sources, heads=[label], size=16), sources, seed=4)
    state = torch.get_rng_state()
    assert same_state(joined(sources, seed=4).heads.label, alone.heads.label)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("first", [Tiny, WithModes])
def test_a_deep_copy_is_equal_and_independent(first: type[Tiny]):
    composite = joined(two(first)).eval()
    twin = copy.deepcopy(composite)
    assert not any(module.training for module in twin.modules())
    assert same_state(twin, composite)
    assert sum(p.numel() for p in twin.parameters()) == cost(composite).parameters
    assert {*map(id, twin.parameters())}.isdisjoint(map(id, composite.parameters()))
    for training in (True, False):
        expected = run(composite, images(16), training=training)
        assert same(run(twin, images(16), training=training), expected)
    with torch.no_grad():
        twin.sources.a.conv.weight.zero_()
    assert composite.sources.a.conv.weight.abs().max() > 0


@pytest.mark.parametrize("first", [Tiny, WithModes])
def test_a_shallow_copy_shares_the_weights_and_has_both_modes(first: type[Tiny]):
    composite = joined(two(first)).holding(["sources.b"])
    twin = copy.copy(composite)
    assert isinstance(twin, Composite)
    assert [*map(id, twin.parameters())] == [*map(id, composite.parameters())]
    assert (twin.held, twin.plan, twin.training) == (composite.held, composite.plan, True)
    for training in (True, False):
        expected = run(composite, images(16), training=training)
        assert same(run(twin, images(16), training=training), expected)


def test_recompiled_it_still_has_both_modes():
    composite = joined(two(WithModes))
    twin = copy.deepcopy(composite)
    composite.recompile()
    for training in (True, False):
        expected = run(twin, images(16), training=training)
        assert same(run(composite, images(16), training=training), expected)


def test_it_is_not_pickled():
    composite = joined(two(WithModes))
    expected = run(composite, images(16), training=True)
    with pytest.raises(UsageError, match="a composite is not pickled") as caught:
        torch.save(composite, io.BytesIO())
    assert "state_dict" in (caught.value.expected or "")
    assert same(run(composite, images(16), training=True), expected)


def test_answers_that_are_kept_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch):
    composite = joined()
    with torch.no_grad():
        composite.heads.label.classifier.weight.normal_()
    asked: list[None] = []
    state = Composite.state_dict
    monkeypatch.setattr(Composite, "state_dict", lambda own: asked.append(None) or state(own))
    whole = compose(replace(composite.plan, heads=(*composite.plan.heads, BESIDE)), two())
    whole.load_state_dict(composite.state_dict(), strict=False)
    asked.clear()
    kept = keep_answers(whole, ["label"])
    assert len(asked) <= 2  # once of each; it takes as long as there are tensors
    expected = run(composite, images(16), training=False)
    assert same(run(kept, images(16), training=False), expected)


def test_parts_of_one_shape_start_apart():
    sources = two()
    drawn = [wire("a:bn -> a:conv2"), wire("a:relu -> a:conv2")]
    adapters = compose(plan_for(sources, wires=drawn, size=16), sources).adapters
    first, second = (part.mix for part in adapters.children())
    assert not torch.equal(first.weight, second.weight)


def test_a_deep_copy_keeps_what_is_frozen_and_held():
    composite = joined().holding(["sources.a"]).train()
    composite.sources.a.requires_grad_(False)
    twin = copy.deepcopy(copy.deepcopy(composite))
    assert twin.held == {"sources.a"}
    assert twin.training
    assert not any(p.requires_grad for p in twin.sources.a.parameters())
    assert all(p.requires_grad for p in twin.sources.b.parameters())
    assert not any(module.training for module in twin.train().sources.a.modules())
    assert twin.plan == composite.plan


def test_the_optimiser_of_a_deep_copy_moves_the_copy_alone():
    composite = joined()
    before = copy.deepcopy(composite.state_dict())
    twin = copy.deepcopy(composite)
    optimiser = torch.optim.SGD(twin.parameters(), lr=0.5)
    run(twin, images(16), training=True)["label"].square().sum().backward()
    optimiser.step()
    assert same(dict(composite.state_dict()), dict(before))
    assert not same_state(twin, composite)


def test_weights_are_averaged():
    composite = joined()
    average = AveragedModel(composite)
    average.update_parameters(composite)
    with torch.no_grad():
        for parameter in composite.parameters():
            parameter.add_(1)
    average.update_parameters(composite)
    first = average.module.sources.a.conv.weight
    torch.testing.assert_close(first, composite.sources.a.conv.weight - 0.5)
    assert average.eval()(images(16))["label"].isfinite().all()


def test_a_state_dict_goes_into_a_fresh_composite():
    composite = joined(seed=1)
    run(composite, images(16), training=True)
    fresh = joined(
        {"a": source(Tiny(seed=7), size=16), "b": source(Tiny(width=6, seed=8), size=16)}, seed=9
    )
    expected = run(composite, images(16), training=False)
    assert not same(run(fresh, images(16), training=False), expected)
    fresh.load_state_dict(composite.state_dict(), strict=True)
    assert same(run(fresh, images(16), training=False), expected)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("held", [[], ["sources.a"]])
def test_compiled_it_gives_the_same(training: bool, held: list[str]):
    torch.compiler.reset()
    composite = joined(two(WithModes) if not training else None).holding(held)
    expected = run(copy.deepcopy(composite), images(16), training=training)
    compiled = torch.compile(composite, backend="aot_eager")
    torch.testing.assert_close(run(compiled, images(16), training=training), expected)


def test_compiled_it_follows_the_mode():
    torch.compiler.reset()
    composite = joined(two(WithModes))
    compiled = torch.compile(composite, backend="aot_eager")
    for training in (False, True, False):
        expected = run(copy.deepcopy(composite), images(16), training=training)
        torch.testing.assert_close(run(compiled, images(16), training=training), expected)


@pytest.mark.parametrize("held", [[], ["sources.a"]])
def test_ten_thousand_changes_of_mode(held: list[str]):
    composite = joined(two(WithModes)).holding(held).eval()
    before, objects = composite(images(16)), _count_objects()
    times = [_time(lambda: composite.train().eval(), 1000) for _ in range(10)]
    assert same(composite(images(16)), before)
    assert _count_objects() - objects < 500
    assert min(times[5:]) < 3 * min(times[:5])


def _count_objects() -> int:
    gc.collect()
    return len(gc.get_objects())


def _time(toggle: Callable[[], object], count: int) -> float:
    start = time.process_time()  # whatever else the machine does
    for _ in range(count):
        toggle()
    return time.process_time() - start


TRAIN: dict[str, Callable[[Composite], object]] = {
    "train()": lambda composite: composite.train(),
    "train(True)": lambda composite: composite.train(True),
    "a module around it": lambda composite: nn.Sequential(composite).train(),
    "apply": lambda composite: composite.apply(lambda module: module.train()),
    "eval and train": lambda composite: composite.eval().train(),
}
TRAIN_PART: dict[str, Callable[[Composite], object]] = {
    "its sources": lambda composite: composite.sources.train(),
    "each module": lambda composite: [module.train() for module in composite.modules()],
}


def assert_stays_held(train: Callable[[Composite], object]) -> None:
    composite = joined().holding(["sources.a", "heads.label.norm"])
    before = copy.deepcopy(composite)
    train(composite)
    composite(images(16))
    assert same_state(composite.sources.a, before.sources.a)
    assert same_state(composite.heads.label.norm, before.heads.label.norm)
    assert not same_state(composite.sources.b, before.sources.b)


@pytest.mark.parametrize("way", TRAIN)
def test_held_modules_stay_in_evaluation_mode(way: str):
    assert_stays_held(TRAIN[way])


@pytest.mark.parametrize("way", TRAIN_PART)
def test_held_modules_stay_when_a_part_is_told_to_train(way: str):
    assert_stays_held(TRAIN_PART[way])


def test_a_held_source_computes_as_in_evaluation():
    sources = two(WithModes)
    plan = plan_for(sources, size=16)
    composite = compose(plan, sources)
    expected = run(composite, images(16), training=False)["a"]
    held = composite.holding(["sources.a"])
    assert torch.equal(run(held, images(16), training=True, seed=5)["a"], expected)
    assert not torch.equal(run(composite, images(16), training=True, seed=5)["a"], expected)


def test_holding_shares_the_weights():
    composite = joined()
    held = composite.holding(["sources.a"])
    assert held.sources.a.conv.weight is composite.sources.a.conv.weight
    assert held.state_dict().keys() == composite.state_dict().keys()


def test_a_fresh_composite_is_in_one_mode():
    own = source(Tiny().eval(), size=16)
    composite = compose(plan_for({"net": own}, size=16), {"net": own})
    assert len({module.training for module in composite.modules()}) == 1


def test_sources_beyond_the_plan_are_left_out():
    sources = two()
    plan = plan_for({"a": sources["a"]}, size=16)
    composite = compose(plan, sources)
    assert not [name for name in composite.state_dict() if "sources.b" in name]


def test_it_moves_as_a_whole():
    composite = joined().eval()
    doubled = copy.deepcopy(composite).double()
    assert doubled(images(16).double())["label"].dtype == torch.float64
    torch.testing.assert_close(
        doubled(images(16).double())["label"].float(), composite(images(16))["label"]
    )
    assert {b.device.type for b in copy.deepcopy(composite).to("meta").buffers()} == {"meta"}
