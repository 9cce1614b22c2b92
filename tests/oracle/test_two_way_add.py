"""Two-way additions between two networks, against a network written by hand."""

import copy

import pytest
import torch
from torch import Tensor, nn

from convgraft.compose import Composite, compose
from convgraft.layers import DenseHead
from convgraft.sources import Source
from helpers import head, images, opened, plan_for, run, wire

STAGES = ("layer1", "layer2", "layer3")


class Naive(nn.Module):
    """Both networks stage by stage; after each, what the other had there is added."""

    def __init__(self, sources: dict[str, Source], composite: Composite, adapter: str) -> None:
        super().__init__()
        self.a, self.b = (copy.deepcopy(sources[name].module) for name in "ab")
        self.mean, self.std = sources["a"].preprocessing.mean, sources["a"].preprocessing.std
        self.mixes, self.gates = nn.ModuleDict(), nn.ParameterDict()
        for stage in STAGES if adapter == "conv1x1" else ():
            for start, end in ("ab", "ba"):
                made = composite.adapters.get_submodule(f"{start}:{stage}->{end}:{stage}")
                self.mixes[start + stage] = copy.deepcopy(made.mix)
                self.gates[start + stage] = made.gate.scale.detach().clone()
        self.head = DenseHead([(64,), (64,)], classes=8)
        self.head.load_state_dict(composite.heads.label.state_dict())

    def forward(self, image: Tensor) -> Tensor:
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        x = (image - mean) / std
        a = torch.relu(self.a.bn1(self.a.conv1(x)))
        b = torch.relu(self.b.bn1(self.b.conv1(x)))
        for stage in STAGES:
            own_a, own_b = getattr(self.a, stage)(a), getattr(self.b, stage)(b)
            a = own_a + self.arriving("b" + stage, own_b)
            b = own_b + self.arriving("a" + stage, own_a)
        pooled = [a.mean((2, 3)), b.mean((2, 3))]
        return self.head(*pooled)

    def arriving(self, name: str, value: Tensor) -> Tensor:
        if name not in self.mixes:
            return value
        return self.mixes[name](value) * self.gates[name].view(1, -1, 1, 1)


def composed(sources: dict[str, Source], adapter: str, start: str) -> Composite:
    wires = [
        wire(f"{one}:{stage} -> {other}:{stage}", "add", adapter, start)
        for stage in STAGES
        for one, other in ("ab", "ba")
    ]
    label = head("label", "linear", "a:flatten", "b:flatten", classes=8)
    return compose(plan_for(sources, wires=wires, heads=[label]), sources)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("adapter", "start"), [("identity", "one"), ("conv1x1", "zero")])
def test_outputs_and_gradients(adapter: str, start: str, training: bool):
    sources = {"a": opened("cifar_resnet20"), "b": opened("cifar_resnet20", seed=1)}
    composite = composed(sources, adapter, start)
    for name, parameter in composite.named_parameters():
        if name.endswith("gate.scale"):
            nn.init.uniform_(parameter, 0.1, 1.0)
    naive = Naive(sources, composite, adapter)
    ours = run(composite, images(count=4), training=training)["label"]
    theirs = run(naive, images(count=4), training=training)
    torch.testing.assert_close(ours, theirs)
    for answer in (ours, theirs):
        nn.functional.cross_entropy(answer, torch.tensor([0, 3, 7, 3])).backward()
    for name in "ab":
        hand = dict(getattr(naive, name).named_parameters())
        for path, parameter in getattr(composite.sources, name).named_parameters():
            assert_close(parameter.grad, hand[path].grad, path)
    for name, mix in naive.mixes.items():
        start_, stage = name[0], name[1:]
        end = "ba"["ab".index(start_)]
        made = composite.adapters.get_submodule(f"{start_}:{stage}->{end}:{stage}")
        assert_close(made.mix.weight.grad, mix.weight.grad, name)
        assert_close(made.gate.scale.grad, naive.gates[name].grad, name)
    assert_close(
        composite.heads.label.classifier.weight.grad, naive.head.classifier.weight.grad, "head"
    )


def assert_close(ours: Tensor | None, theirs: Tensor | None, name: str) -> None:
    assert ours is not None, name
    assert theirs is not None, name
    assert theirs.abs().max() > 0, name
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5, msg=name)
