"""The composite as a LightningModule: loss, validation, optimiser and schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import lightning as lit
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from convgraft.compose import Composite
from convgraft.errors import RunError
from convgraft.training.freeze import Freeze
from convgraft.training.options import FitOptions

WARM_UP = 0.05


class FitModule(lit.LightningModule):
    """Trains a composite on labels; every trained answer has its own cross-entropy, summed.

    After each validation, `scores` holds for every answer its top-1 and its NLL.
    """

    def __init__(self, composite: Composite, freeze: Freeze, options: FitOptions) -> None:
        super().__init__()
        self.composite = composite
        self.freeze_map = freeze
        self.options = options
        self.scores: dict[str, dict[str, float]] = {}
        self._losses: list[Tensor] = []
        self._validation: list[tuple[Tensor, dict[str, Tensor]]] = []

    def on_train_epoch_start(self) -> None:
        """What is random in an epoch (dropout) depends on the seed and the epoch alone."""
        torch.manual_seed(self.options.seed * 100_003 + self.current_epoch)
        self._losses = []

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """The summed loss of one batch; raises RunError where it is not a finite number."""
        images, labels = batch
        outputs = self.composite(images)
        smoothing = self.options.label_smoothing
        losses = [
            F.cross_entropy(outputs[name], labels, label_smoothing=smoothing)
            for name in self.composite.plan.trained
        ]
        loss = torch.stack(losses).sum()
        if index % 50 == 0 and not torch.isfinite(loss):
            raise RunError(
                f"the loss became {loss.item()}",
                found=f"epoch {self.current_epoch + 1}, batch {index + 1}",
                hint=f"a learning rate below {self.options.rate}",
            )
        self._losses.append(loss.detach())
        return loss

    def mean_loss(self) -> float:
        """The mean training loss of the epoch so far; raises RunError where it is no number."""
        mean = torch.stack(self._losses).mean().item()
        if not math.isfinite(mean):
            raise RunError(
                f"the loss became {mean} in epoch {self.current_epoch + 1}",
                hint=f"a learning rate below {self.options.rate}",
            )
        return mean

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self._validation = []

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Keep the answers."""
        images, labels = batch
        self._validation.append((labels, self.composite(images)))

    def on_validation_epoch_end(self) -> None:
        """Score every answer over the whole validation part."""
        labels = torch.cat([labels for labels, _ in self._validation])
        for name in self.composite.plan.outputs:
            logits = torch.cat([outputs[name] for _, outputs in self._validation]).float()
            self.scores[name] = {
                "top1": (logits.argmax(1) == labels).float().mean().item(),
                "nll": F.cross_entropy(logits, labels).item(),
            }

    def configure_optimizers(self) -> Any:
        """One parameter group per rate, with and without weight decay."""
        options = self.options
        groups = parameter_groups(self.composite, self.freeze_map, options)
        optimiser: torch.optim.Optimizer
        if options.optimiser == "sgd":
            optimiser = torch.optim.SGD(groups, lr=options.rate, momentum=0.9, nesterov=True)
        else:
            optimiser = torch.optim.AdamW(groups, lr=options.rate)
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        scheduler = _schedule(optimiser, options.schedule, steps)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def parameter_groups(
    composite: Composite, freeze: Freeze, options: FitOptions
) -> list[dict[str, Any]]:
    """Trainable parameters by rate and decay, in the order of the state dict."""
    groups: dict[tuple[float, bool], list[Tensor]] = {}
    for name, parameter in composite.named_parameters():
        rate = freeze.rates[name]
        if rate > 0:
            groups.setdefault((rate, parameter.dim() > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": options.rate * rate,
            "weight_decay": options.weight_decay if decays else 0.0,
        }
        for (rate, decays), parameters in groups.items()
    ]


def _schedule(optimiser: torch.optim.Optimizer, name: str, steps: int) -> LRScheduler:
    if name == "one-cycle":
        peaks = [group["lr"] for group in optimiser.param_groups]
        return OneCycleLR(optimiser, max_lr=peaks, total_steps=steps + 1)
    if name == "constant":
        return LambdaLR(optimiser, lambda step: 1.0)
    return LambdaLR(optimiser, lambda step: _cosine(step, steps))


def _cosine(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine to zero."""
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return (step + 1) / (warm + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))


def trainable_state(composite: Composite, freeze: Freeze) -> Mapping[str, Tensor]:
    """The tensors that training can change: trained weights, and buffers of parts not held."""
    names = set(freeze.frozen)
    return {
        name: tensor
        for name, tensor in composite.state_dict().items()
        if name not in names and not _is_held(name, freeze)
    }


def _is_held(name: str, freeze: Freeze) -> bool:
    return name.rpartition(".")[0] in freeze.held
