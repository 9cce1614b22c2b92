"""Networks of closed candidates: frozen, with linear heads that are ridge regressions.

No gradient step is taken and no network runs: what heads read is stored, and their validation
answers follow from it. Scores are brought to the scale of logits by the temperature with the least
leave-one-out NLL, which changes no top-1.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from convgraft.compose import Composite, compose
from convgraft.data import MISSING
from convgraft.plan import Head
from convgraft.plan.values import HEADS_OWNER
from convgraft.studies.arms import Arm
from convgraft.studies.search.predict import Predictor
from convgraft.studies.trained import Trained
from convgraft.training import measure, task_loss, work_out
from convgraft.training.closed_form import Kernel, solve, temperature, weights_of
from convgraft.training.freeze import apply_freeze


@dataclass(frozen=True, eq=False)
class Solver:
    """Solves arms whose heads read stored taps."""

    known: Predictor

    def train(self, arm: Arm) -> Trained:
        """The network with its heads in place, and notes as `train_arm` gives them."""
        began = time.monotonic()
        network = compose(arm.plan, arm.sources, seed=self.known.seed)
        linear = [head for head in arm.plan.heads if head.kind == "linear"]
        penalties = {head.name: self._fill(network, head) for head in linear}
        freeze = work_out(arm.policy, network)
        held = apply_freeze(network, freeze).eval()
        learned = [n for n, _ in held.named_parameters() if freeze.rates[n] > 0]
        notes = {
            "arm": arm.name,
            "finished": True,
            "val": self._top1(held),
            "best_epoch": -1,
            "seconds": time.monotonic() - began,
            "trainable": sum(held.get_parameter(name).numel() for name in learned),
            "freeze": {"name": arm.policy.name, "phases": arm.policy.as_data()},
            "loss": str(arm.loss or task_loss(arm.plan)),
            "loss_name": "ridge",
            "curve": [],
            "closed_form": {"penalties": penalties},
        }
        return Trained(arm, held, notes)

    def _inputs(self, head: Head, part: str) -> list[Tensor]:
        features = self.known.features
        return [features[ref.source].values[part][ref.tap] for ref in head.inputs]

    @torch.no_grad()
    def _fill(self, network: Composite, head: Head) -> float:
        """Write a head's statistics and weights; the penalty, as a share of the variance."""
        module: Any = network.get_submodule(f"heads.{head.name}").eval()
        train, val = (torch.cat(self._inputs(head, part), 1) for part in ("train", "val"))
        module.norm.running_mean.copy_(train.double().mean(0))
        module.norm.running_var.copy_(train.double().var(0))
        train, val = (module.scale * module.norm(part) for part in (train, val))
        rows, labels = self.known.rows, self.known.labels
        classes = self.known.given.classes
        some = train[rows["train"]]
        kernel = Kernel.plain(some - some.mean(0), val[rows["val"]] - some.mean(0))
        scores = solve(kernel, labels["train"], classes)
        every = self.known.task.pixels("train").labels
        labelled = every != MISSING
        found = weights_of(train[labelled], every[labelled], classes, scores.penalty)
        scale = temperature(scores, labels["train"])
        module.classifier.weight.copy_(scale * found[0])
        module.classifier.bias.copy_(scale * found[1])
        return scores.penalty

    @torch.no_grad()
    def _top1(self, network: Composite) -> float:
        """Of the answer on validation images, by the heads alone."""
        answers: dict[str, Tensor] = {}
        for head in network.plan.heads:
            module: Any = network.get_submodule(f"heads.{head.name}")
            answers[head.name] = module(*self._read(head, module, answers))
        labels = self.known.task.pixels("val").labels
        labelled = labels != MISSING
        return measure(answers[network.plan.answer][labelled], labels[labelled]).top1

    def _read(self, head: Head, module: Any, answers: Mapping[str, Tensor]) -> list[Tensor]:
        """What a head reads: other heads' answers, or stored values as maps of one position."""
        if all(ref.source == HEADS_OWNER for ref in head.inputs):
            return [answers[ref.tap] for ref in head.inputs]
        values = zip(self._inputs(head, "val"), module.shapes, strict=True)
        return [x[:, :, None, None] if len(shape) == 3 else x for x, shape in values]
