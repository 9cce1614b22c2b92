"""A stitch, a concatenation and averages, against networks written by hand."""

import copy

import pytest
import torch
from torch import Tensor, nn

from convgraft.compose import Composite, compose
from convgraft.layers import DenseHead
from convgraft.sources import Source
from helpers import head, images, opened, plan_for, run, same, wire


class Normalised(nn.Module):
    """What both oracles have in common."""

    def __init__(self, sources: dict[str, Source]) -> None:
        super().__init__()
        self.a, self.b = (copy.deepcopy(sources[name].module) for name in "ab")
        mean, std = sources["a"].preprocessing.mean, sources["a"].preprocessing.std
        self.mean, self.std = (torch.tensor(v).view(1, 3, 1, 1) for v in (mean, std))

    def normalise(self, image: Tensor) -> Tensor:
        return (image - self.mean) / self.std


class Stitch(Normalised):
    """The front of `a` to its second stage, a 1x1 convolution, the rest of `b`."""

    def __init__(self, sources: dict[str, Source], adapter: nn.Module) -> None:
        super().__init__(sources)
        self.adapter = copy.deepcopy(adapter)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.a.bn1(self.a.conv1(self.normalise(image))))
        x = self.adapter(self.a.layer2(self.a.layer1(x)))
        return self.b.fc(self.b.layer3(x).mean((2, 3)))


class Concatenation(Normalised):
    """Both networks' last maps and pooled features, through one dense layer."""

    def __init__(self, sources: dict[str, Source], composite: Composite) -> None:
        super().__init__(sources)
        self.head = DenseHead([(64,), (32,)], classes=8, hidden=[16])
        self.head.load_state_dict(composite.heads.label.state_dict())

    def forward(self, image: Tensor) -> Tensor:
        x = self.normalise(image)
        first = self.a.layer1(torch.relu(self.a.bn1(self.a.conv1(x))))
        second = self.b.layer1(torch.relu(self.b.bn1(self.b.conv1(x))))
        first = self.a.layer3(self.a.layer2(first)).mean((2, 3))
        second = self.b.layer2(second).mean((2, 3))
        features = self.head.norm(torch.cat([first, second], 1))
        hidden = torch.relu(self.head.layers.dense0(features))
        return self.head.classifier(hidden)


@pytest.fixture
def sources() -> dict[str, Source]:
    """Two networks of one architecture, their weights drawn apart."""
    return {"a": opened("cifar_resnet20"), "b": opened("cifar_resnet20", seed=1)}


@pytest.mark.parametrize("training", [False, True])
def test_stitch(training: bool, sources: dict[str, Source]):
    plan = plan_for(
        sources,
        wires=[wire("a:layer2 -> b:layer2", "replace", "conv1x1", "one")],
        heads=[head("label", "identity", "b:fc")],
    )
    composite = compose(plan, sources)
    naive = Stitch(sources, composite.adapters.get_submodule("a:layer2->b:layer2").mix)
    assert_equal(composite, naive, training)
    adapter = composite.adapters.get_submodule("a:layer2->b:layer2")
    assert_close(adapter.mix.weight.grad, naive.adapter.weight.grad)


@pytest.mark.parametrize("training", [False, True])
def test_concatenation(training: bool, sources: dict[str, Source]):
    label = head("label", "mlp", "a:flatten", "b:layer2", classes=8, hidden=(16,))
    composite = compose(plan_for(sources, heads=[label]), sources)
    naive = Concatenation(sources, composite)
    assert_equal(composite, naive, training)
    for name, parameter in composite.heads.label.named_parameters():
        assert_close(parameter.grad, naive.head.get_parameter(name).grad)


def test_average_of_both(sources: dict[str, Source]):
    plan = plan_for(sources, heads=[head("both", "average", "a:fc", "b:fc")])
    composite = compose(plan, sources)
    separate = run(compose(plan_for(sources), sources), images(), training=False)
    answer = run(composite, images(), training=False)["both"].softmax(1)
    torch.testing.assert_close(answer, (separate["a"].softmax(1) + separate["b"].softmax(1)) / 2)


def test_heads_on_heads(sources: dict[str, Source]):
    heads = [
        head("one", "linear", "a:flatten", classes=8),
        head("two", "linear", "b:flatten", classes=8),
        head("both", "average", "heads:one", "heads:two"),
    ]
    composite = compose(plan_for(sources, heads=heads), sources)
    answers = run(composite, images(), training=False)
    assert list(answers) == ["one", "two", "both"]
    mean = (answers["one"].softmax(1) + answers["two"].softmax(1)) / 2
    torch.testing.assert_close(answers["both"].softmax(1), mean)


def assert_equal(composite: Composite, naive: Normalised, training: bool) -> None:
    """Equal answers, equal gradients of every weight in both networks, equal statistics."""
    ours = run(composite, images(count=4), training=training)["label"]
    theirs = run(naive, images(count=4), training=training)
    torch.testing.assert_close(ours, theirs)
    target = torch.tensor([0, 3, 7, 3])
    for answer in (ours, theirs):
        nn.functional.cross_entropy(answer, target).backward()
    for name in "ab":
        made, hand = getattr(composite.sources, name), getattr(naive, name)
        for path, parameter in made.named_parameters():
            assert_close(parameter.grad, hand.get_parameter(path).grad)
        for path, buffer in made.named_buffers():
            torch.testing.assert_close(buffer, hand.get_buffer(path))
    reached = {n for n, p in naive.named_parameters() if p.grad is not None and n[:2] in "a.b."}
    kept = {n.removeprefix("sources.") for n, _ in composite.named_parameters() if "sources" in n}
    assert same(reached, kept)


def assert_close(ours: Tensor | None, theirs: Tensor | None) -> None:
    assert ours is not None
    assert theirs is not None
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
