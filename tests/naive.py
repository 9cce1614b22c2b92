"""What the oracles have in common: networks joined by hand, and the comparison with a composite."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convgraft.compose import Composite
from convgraft.sources import Source
from helpers import images


class Naive(nn.Module):
    """The sources' own networks, and copies of the weights that a composite added.

    Parameters have the composite's names. What is computed with them stands in `forward`, by hand.
    """

    def __init__(self, composite: Composite, sources: Mapping[str, Source]) -> None:
        super().__init__()
        own = {name: copy.deepcopy(source.module) for name, source in sources.items()}
        self.sources = nn.ModuleDict(own)
        parts = dict(composite.named_children())
        self.adapters = copy.deepcopy(parts.get("adapters", nn.Module()))
        self.heads = copy.deepcopy(parts["heads"])
        self.preprocessing = {name: source.preprocessing for name, source in sources.items()}

    def normalised(self, name: str, image: Tensor) -> Tensor:
        """The image as source `name` wants it."""
        own = self.preprocessing[name]
        mean, std = (torch.tensor(v).to(image).view(1, 3, 1, 1) for v in (own.mean, own.std))
        return (image - mean) / std

    def walk(self, name: str, x: Tensor) -> dict[str, Tensor]:
        """A CIFAR ResNet's values from its input on, by tap."""
        network = self.sources[name]
        found = {"input": x, "relu": F.relu(network.bn1(network.conv1(x)))}
        found["layer1"] = network.layer1(found["relu"])
        found["layer2"] = network.layer2(found["layer1"])
        found["layer3"] = network.layer3(found["layer2"])
        found["flatten"] = found["layer3"].mean((2, 3))
        found["fc"] = network.fc(found["flatten"])
        return found

    def standardised(self, norm: nn.Module, x: Tensor) -> Tensor:
        """(x - mean) / sqrt(variance + 1e-5), by the batch's statistics or by the running ones."""
        if self.training:
            others = [place for place in range(x.dim()) if place != 1]
            mean, variance = x.mean(others), x.var(others, unbiased=False)
        else:
            mean, variance = norm.running_mean, norm.running_var
        shape = (1, -1, *[1] * (x.dim() - 2))
        return (x - mean.view(shape)) / (variance.view(shape) + 1e-5).sqrt()

    def linear_head(self, name: str, *features: Tensor) -> Tensor:
        """Standardised, then one dense layer."""
        head = self.heads.get_submodule(name)
        return dense(head.classifier, scaled(self.standardised(head.norm, torch.cat(features, 1))))


def scaled(x: Tensor) -> Tensor:
    """Vectors of more than 256 numbers, brought to a total variance of 256."""
    return x * min(1.0, 16 / x.shape[1] ** 0.5)


def dense(layer: nn.Module, x: Tensor) -> Tensor:
    """x W^T + b."""
    return x @ layer.weight.T + layer.bias


def stir(module: nn.Module) -> None:
    """Give what starts at zero, and running statistics, some other number."""
    with torch.no_grad():
        for tensor in module.parameters():
            if not tensor.any():
                tensor.uniform_(0.1, 1.0)
        for name, buffer in module.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.uniform_(0.5, 1.5)


def assert_like(
    composite: Composite, naive: Naive, *, training: bool, size: int = 16, count: int = 5
) -> None:
    """Equal answers, and equal gradients of a loss over all of them, for every weight."""
    composite.double().train(training)
    naive.double().train(training)
    batch = images(size, count).double()
    ours, theirs = composite(batch), naive(batch)
    assert list(ours) == list(theirs)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-6, atol=1e-6)
    for answers in (ours, theirs):
        loss_of(list(answers.values())).backward()
    own = dict(naive.named_parameters())
    for name, parameter in composite.named_parameters():
        assert_same_gradient(parameter.grad, own.pop(name).grad, name)
    assert [name for name, left in own.items() if left.grad is not None] == []


def loss_of(answers: Sequence[Tensor]) -> Tensor:
    """A number that depends on every answer, on each in its own way."""
    losses = [
        F.cross_entropy(answer, torch.arange(len(answer)) % answer.shape[1]) for answer in answers
    ]
    return torch.stack([(number + 1) * loss for number, loss in enumerate(losses)]).sum()


def assert_same_gradient(ours: Tensor | None, theirs: Tensor | None, name: str) -> None:
    """Both have none, or the same one."""
    assert (ours is None) == (theirs is None), name
    if ours is not None:
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-9, msg=lambda m: f"{name}: {m}")
