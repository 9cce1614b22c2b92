"""Composites suit accelerators: one graph, no look at a value on the way, bf16, channels last.

A host that asks a device for a value in `forward` waits for it, and neither `torch.compile` nor
CUDA graphs can go past that. On meta tensors, which have no values, such a question is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convgraft.compose import Composite, compose
from convgraft.layers.adapters import ADAPTERS
from convgraft.layers.fusions import FUSIONS
from convgraft.layers.head_kind import HeadKind
from convgraft.layers.heads import HEADS
from convgraft.layers.joins import JOINS
from convgraft.plan import Head, Plan
from convgraft.sources import Source
from convgraft.strategies import STRATEGIES, Ingredients
from helpers import head, opened, plan_for, small, wire

CHANNELS_LAST = torch.channels_last
QUICK = (("cross-skip", 32, ("cifar_resnet20", "torchvision/squeezenet1_1")),)
LARGE = (
    ("cross-skip", 96, ("torchvision/inception_v3", "torchvision/squeezenet1_1")),
    ("parallel", 64, ("torchvision/densenet121", "torchvision/shufflenet_v2_x0_5")),
    ("stitch", 64, ("timm/mobilenetv3_small_100", "torchvision/resnet18")),
    ("ladder", 64, ("torchvision/mobilenet_v2", "torchvision/googlenet")),
)
EITHER = [*QUICK, *(pytest.param(*case, marks=pytest.mark.slow) for case in LARGE)]


@lru_cache(maxsize=2)
def network(strategy: str, size: int, specs: Sequence[str]) -> Composite:
    sources = {f"s{n}": opened(spec, classes=10) for n, spec in enumerate(specs)}
    plan = STRATEGIES[strategy].write(Ingredients(sources, size, 10))
    return compose(plan, sources)


def noise(size: int, count: int = 2, device: str = "cpu") -> Tensor:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, size, size), generator=random, dtype=torch.uint8)
    return images.to(device, memory_format=CHANNELS_LAST)


def pair() -> dict[str, Source]:
    return {"a": small(0), "b": small(1)}


def plans() -> dict[str, Plan]:
    """A plan for every adapter, join, fusion and kind of head."""
    found: dict[str, Plan] = {}
    last = head("label", "linear", "a:features", "b:features", classes=10)
    for kind, row in ADAPTERS.items():
        ends = "a:logits -> b:layer2" if kind == "softmax" else "a:layer1 -> b:layer2"
        ends = ends if row.changes_channels else "a:layer2 -> b:layer2"
        wires = [wire(ends, adapter=kind)]
        found[f"adapter {kind}"] = plan_for(pair(), wires=wires, heads=[last])
    for kind, row in JOINS.items():
        wires = [wire("a:layer1 -> b:layer2", kind, start=row.starts[0])]
        found[f"join {kind}"] = plan_for(pair(), wires=wires, heads=[last])
    for fusion in FUSIONS:
        one = head("label", "linear", "a:layer3", "b:layer3", classes=10, fusion=fusion)
        found[f"fusion {fusion}"] = plan_for(pair(), heads=[one])
    for kind, row in HEADS.items():
        found[f"head {kind}"] = plan_for(pair(), heads=heads(kind, row))
    return found


def heads(kind: str, row: HeadKind) -> list[Head]:
    if row.takes == "features":
        hidden = (8,) if row.hidden else ()
        return [head("label", kind, "a:layer3", "b:layer3", classes=10, hidden=hidden)]
    answers = [head(name, "linear", f"{name[0]}:features", classes=10) for name in ("a1", "b1")]
    return [*answers, head("label", kind, *("heads:a1", "heads:b1")[: 1 + row.many])]


@pytest.mark.parametrize("name", plans())
def test_no_part_looks_at_values(name: str) -> None:
    made = compose(plans()[name], pair()).to("meta")
    for training in (True, False):
        answers = made.train(training)(noise(32, device="meta"))
        assert answers["label"].shape == (2, 10)


@pytest.mark.parametrize(("strategy", "size", "specs"), EITHER)
def test_no_architecture_looks_at_values(strategy: str, size: int, specs: Sequence[str]) -> None:
    sources = {f"s{n}": opened(spec, classes=10) for n, spec in enumerate(specs)}
    made = compose(STRATEGIES[strategy].write(Ingredients(sources, size, 10)), sources).to("meta")
    for training in (True, False):
        answers = made.train(training)(noise(size, device="meta"))
        assert all(answer.device.type == "meta" for answer in answers.values())


@pytest.mark.parametrize(("strategy", "size", "specs"), EITHER)
@pytest.mark.parametrize("held", [False, True])
def test_a_composite_is_one_graph(
    strategy: str, size: int, specs: Sequence[str], held: bool
) -> None:
    made = network(strategy, size, specs)
    made = made.holding(["sources.s0"]) if held else made
    images = noise(size)
    for training in (True, False):
        torch.compiler.reset()
        made.train(training)
        compiled = torch.compile(made, backend="eager", fullgraph=True)
        torch.manual_seed(0)
        found = compiled(images)
        torch.manual_seed(0)
        expected = made(images)
        for name, answer in expected.items():
            torch.testing.assert_close(found[name], answer)


@pytest.mark.parametrize(("strategy", "size", "specs"), EITHER)
def test_composites_learn_in_bf16(strategy: str, size: int, specs: Sequence[str]) -> None:
    made = network(strategy, size, specs).train()
    images, labels = noise(size, 4), torch.arange(4)
    made.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        answer = made(images)["label"]
        loss = F.cross_entropy(answer, labels)
    loss.backward()
    assert answer.dtype == torch.bfloat16
    exact = F.cross_entropy(made(images)["label"], labels)
    torch.testing.assert_close(loss, exact, rtol=0.05, atol=0.05)
    grads = [p.grad for p in made.parameters() if p.grad is not None]
    assert all(grad.isfinite().all() and grad.dtype == torch.float32 for grad in grads)
    assert any(grad.any() for grad in grads)


def watched(made: Composite) -> dict[str, Tensor]:
    """What every adapter and join gives from now on, by name."""
    found: dict[str, Tensor] = {}
    for path, part in made.named_modules():
        if path.count(".") == 1 and path.startswith(("adapters.", "joins.")):
            part.register_forward_hook(
                lambda _part, _inputs, value, path=path: found.update({path: value})
            )
    return found


@pytest.mark.parametrize("name", [n for n in plans() if n.startswith(("adapter", "join"))])
def test_maps_stay_channels_last(name: str) -> None:
    made = compose(plans()[name], pair()).to(memory_format=CHANNELS_LAST)
    found, arrives = watched(made), received(made)
    made.eval()(noise(32))
    vectors = ("dense", "softmax")  # they make a map of a vector, which the next layer lays out
    if not name.endswith(vectors):
        assert all(value.is_contiguous(memory_format=CHANNELS_LAST) for value in found.values())
    assert arrives
    assert all(value.is_contiguous(memory_format=CHANNELS_LAST) for value in arrives)


def received(made: Composite) -> list[Tensor]:
    """The maps that convolutions of the second network get from now on."""
    found: list[Tensor] = []
    for part in made.get_submodule("sources.b").modules():
        if isinstance(part, nn.Conv2d):
            part.register_forward_pre_hook(lambda _part, inputs: found.append(inputs[0]))
    return found
