"""The optimised network: the composite's interface and answers, and how it tells what was done."""

from __future__ import annotations

import importlib
import threading
from typing import Any

import pytest
import torch
from helpers_export import apart, as_trained
from torch import Tensor

from convgraft.compose import Composite, compose
from convgraft.errors import RunError
from convgraft.export.onednn_graph import key_of
from convgraft.export.optimized import Optimized, noise, optimized
from helpers import head, images, plan_for, small, wire


@pytest.fixture(scope="module")
def composite() -> Composite:
    sources = {"a": small(0), "b": small(1)}
    wires = [wire("a:layer1 -> b:layer1", "add", "block"), wire("b:layer2 -> a:layer2")]
    heads = [
        head("side", "linear", "b:features", classes=4),
        head("label", "mlp", "a:features", "b:features", classes=3, hidden=(8,)),
    ]
    plan = plan_for(sources, wires=wires, heads=heads)
    return as_trained(compose(plan, sources))


@pytest.fixture(scope="module")
def fast(composite: Composite) -> Optimized:
    return optimized(composite, images(count=3))


def expected(composite: Composite, given: Tensor) -> Any:
    with torch.inference_mode():
        return composite(given)


def test_it_answers_as_the_composite_does(composite: Composite, fast: Optimized) -> None:
    for given in (images(count=1), images(count=3), noise(composite, 1), noise(composite, 9)):
        assert apart(fast(given), expected(composite, given)) <= 1e-4
    assert fast.difference <= 1e-4
    assert "packed" in fast.network.steps
    assert fast.network.layout is torch.channels_last
    assert any("batch norms folded" in step for step in fast.steps)


def test_some_shapes_have_a_faster_form(composite: Composite, fast: Optimized) -> None:
    assert {shape[0] for shape, _ in fast.fused} == {1, 3}
    assert "for 1 or 3 images at once: partitions of oneDNN Graph" in fast.steps
    for given in (images(count=3, seed=8), images(count=1, seed=9)):
        laid_out = given.contiguous(memory_format=torch.channels_last)
        assert key_of(given) in fast.fused
        assert apart(fast(laid_out), expected(composite, given)) <= 1e-4


def test_shapes_are_left_to_the_packed_network_where_partitions_fail(
    composite: Composite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*given: object, **options: object) -> None:
        raise AttributeError("no trace")

    monkeypatch.setattr(torch.jit, "trace", gone)
    before = torch.jit.onednn_fusion_enabled()
    plain = optimized(composite, images())
    assert not plain.fused
    assert apart(plain(images()), expected(composite, images())) <= 1e-4
    assert torch.jit.onednn_fusion_enabled() == before


def test_it_stays_as_it_is(fast: Optimized) -> None:
    given = images()
    once = fast(given)
    assert fast.train() is fast
    assert not fast.training
    assert apart(fast(given), once) == 0
    assert all(values.is_inference() for values in once.values())


def test_threads_may_share_it(composite: Composite, fast: Optimized) -> None:
    batches = [images(count=1 + number % 4, seed=number) for number in range(8)]
    found: dict[int, Any] = {}

    def work(number: int) -> None:
        found[number] = fast(batches[number])

    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for number, batch in enumerate(batches):
        assert apart(found[number], expected(composite, batch)) <= 1e-4


def test_shut_wires_are_told() -> None:
    wires = [wire("a:layer1 -> b:layer1")]
    sources = {"a": small(0), "b": small(1)}
    heads = [head("label", "linear", "b:features", classes=3)]
    shut = compose(plan_for(sources, wires=wires, heads=heads), sources).eval()
    told = [step for step in optimized(shut).steps if "shut" in step]
    assert told == ["1 shut gates left out: adapters.a:layer1->b:layer1.gate"]


def test_other_values_are_refused(composite: Composite, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("convgraft.export.optimized")  # the function has its name
    wrong = module.simplify(composite)
    with torch.no_grad():
        next(wrong.network.parameters()).mul_(1.5)
    monkeypatch.setattr(module, "simplify", lambda given, settled: wrong)
    with pytest.raises(RunError, match="other values than the composite"):
        optimized(composite)
