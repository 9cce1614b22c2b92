"""Runs of every strategy as training could have left them: nothing at zero, every wire open."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convgraft.compose import Composite, compose, keep_answers
from convgraft.export import Run
from convgraft.export.pictures import Pictures
from convgraft.layers.fitted_votes import CascadeHead, GreedyHead, StackHead, WeightedHead
from convgraft.sources import Source, source
from convgraft.strategies import Ingredients, StrategyOptions
from convgraft.studies import Design, build_arm
from helpers import Tiny

CLASSES = 4
KINDS = 3


class Three(nn.Module):
    """Three blocks of convolution, batch norm and ReLU, the last with a shortcut."""

    def __init__(self, classes: int = 10, width: int = 8, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layer1 = _block(3, width, 1)
            self.layer2 = _block(width, 2 * width, 2)
            self.layer3 = _block(2 * width, 2 * width, 1)
            self.avgpool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(x))
        return self.fc(torch.flatten(self.avgpool(x + self.layer3(x)), 1))


def _block(channels_in: int, channels: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )


@dataclass(frozen=True)
class Case:
    """A way of combining that is exported.

    Attributes:
        options: of the strategy.
        networks: `alike` for networks of three blocks, `unlike` for such a one and one of two.
    """

    strategy: str
    options: dict[str, Any] = field(default_factory=dict)
    loss: str = "task"
    networks: str = "alike"

    def __str__(self) -> str:
        chosen = "-".join(str(value) for value in self.options.values())
        loss = "" if self.loss == "task" else self.loss
        return "-".join(part for part in (self.strategy, chosen, loss) if part)


def run_of(case: Case, images: Tensor, *, count: int = 2) -> Run:
    """A run as that way of combining makes it; `images` are what its votes are fitted to."""
    size = images.shape[-1]
    arm = build_arm(
        Design(case.strategy, StrategyOptions(**case.options), loss=case.loss),
        Ingredients(_sources(case, count), size, CLASSES, columns=_columns(case)),
    )
    composite = compose(arm.plan, arm.sources)
    kept = arm.loss.keep if arm.loss and arm.loss.keep else arm.plan.answers
    return run_from(lived(keep_answers(composite, kept), images))


def run_from(composite: Composite, folder: Path = Path("nowhere")) -> Run:
    """A run of a composite that was never saved."""
    columns = {composite.plan.column(name) for name in composite.plan.answers} - {""}
    names = {column: tuple(f"{column}{n}" for n in range(KINDS)) for column in columns}
    return Run(folder, composite, tuple(f"class {n}" for n in range(CLASSES)), {}, names)


def pictures(images: Tensor) -> Pictures:
    """Images as an export compares on them."""
    return Pictures(images, "a test", tuple(map(str, range(len(images)))))


def lived(composite: Composite, images: Tensor, seed: int = 0) -> Composite:
    """The composite with random numbers wherever a start is zero, one or close to either."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in composite.named_parameters():
            if name.startswith("sources."):
                continue
            noise = torch.randn(weight.shape, generator=generator)
            weight.copy_(noise / max(1, weight[0].numel()) ** 0.5 if weight.dim() > 1 else noise)
        _see(composite, images)
    composite.eval()
    for name, module in composite.named_modules():
        _fit_vote(module, generator)
        if isinstance(module, CascadeHead):
            _fit_cascade(composite, name.removeprefix("heads."), module, images)
    return composite


def _sources(case: Case, count: int) -> dict[str, Source]:
    if case.networks == "unlike":
        return {"a": source(Three()), "b": source(Tiny())}
    classes = CLASSES if case.strategy == "distil" or "own" in case.options.values() else 10
    names = enumerate("abc"[:count])
    return {name: source(Three(classes, seed=seed)) for seed, name in names}


def _columns(case: Case) -> dict[str, int]:
    return {"kind": KINDS} if case.strategy == "multitask" else {}


def _see(composite: Composite, images: Tensor) -> None:
    """Give every batch norm the statistics of these images, so that answers differ by image."""
    norms = [
        one for one in composite.modules() if isinstance(one, (nn.BatchNorm1d, nn.BatchNorm2d))
    ]
    for norm in norms:
        norm.momentum = 1.0
    composite.train()(images)
    for norm in norms:
        norm.momentum = 0.1


def _fit_vote(module: nn.Module, generator: torch.Generator) -> None:
    if isinstance(module, WeightedHead):
        shares = torch.rand(module.weights.shape, generator=generator)
        module.weights.copy_(shares / shares.sum())
    if isinstance(module, GreedyHead):
        module.counts.copy_(torch.arange(len(module.counts)).float())  # the first is left out
    if isinstance(module, StackHead):
        module.weight.copy_(torch.randn(module.weight.shape, generator=generator))
        module.bias.copy_(torch.randn(module.bias.shape, generator=generator))


@torch.no_grad()
def _fit_cascade(composite: Composite, name: str, head: CascadeHead, images: Tensor) -> None:
    """Thresholds at which each member is sure of half of the images, and none is close to."""
    found = composite(images)
    votes = next(one for one in composite.plan.heads if one.name == name)
    for place, member in enumerate(votes.inputs[:-1]):
        sure = found[member.tap].softmax(1).amax(1).sort().values
        middle = len(sure) // 2
        head.thresholds[place] = (sure[middle - 1] + sure[middle]) / 2
