"""The composite as a LightningModule: loss, validation, optimiser and schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import lightning as lit
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from convgraft.compose import Composite
from convgraft.data import MISSING
from convgraft.errors import RunError, UsageError
from convgraft.training.balance import BALANCES
from convgraft.training.freeze import Freeze
from convgraft.training.memory_format import laid_out
from convgraft.training.objective import Labels, Objective
from convgraft.training.options import FitOptions

WARM_UP = 0.05


class FitModule(lit.LightningModule):
    """Trains a composite for one stage of a fit.

    After each validation, `scores` holds for every answer its top-1 and its NLL over the images
    whose label is known.
    """

    def __init__(
        self,
        composite: Composite,
        freeze: Freeze,
        objective: Objective,
        options: FitOptions,
        *,
        number: int = 0,
        stages: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.composite = composite
        self.freeze_map = freeze
        self.objective = objective
        self.options = options
        self.number, self.stages = number, list(stages)
        self.layout = torch.contiguous_format
        self.balance = BALANCES[objective.balance](len(objective.terms))
        self.scores: dict[str, dict[str, float]] = {}
        self._losses: list[Tensor] = []
        self._validation: list[tuple[Labels, dict[str, Tensor]]] = []
        self._shared: tuple[Tensor, ...] = ()  # not registered as a weight of this module

    def on_train_epoch_start(self) -> None:
        """Forget the losses of the last epoch."""
        self._losses = []

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """What is random in an epoch (dropout) depends on seed, stage and epoch alone.

        Not before the first batch: what happens until then differs after a resume.
        """
        if batch_idx == 0:
            seed = stage_seed(self.options.seed, self.number)
            torch.manual_seed(seed * 100_003 + self.current_epoch)

    def forward(self, inputs: Tensor | Sequence[Tensor]) -> dict[str, Tensor]:
        """The outputs for images, or for what the frozen part made of them."""
        values = [inputs] if isinstance(inputs, Tensor) else inputs
        return self.composite(*(laid_out(value, self.layout) for value in values))

    def training_step(self, batch: tuple[Tensor, Labels], index: int) -> Tensor:
        """The loss of one batch; raises RunError where it is not a finite number."""
        images, labels = batch
        outputs = self(images)
        losses = self.objective.losses(
            self.composite.plan, outputs, labels, self.options.label_smoothing
        )
        loss = self.balance(losses, self._shared_weight(losses))
        if index % 50 == 0 and not torch.isfinite(loss):
            raise RunError(
                f"the loss became {loss.item()}",
                found=f"epoch {self.current_epoch + 1}, batch {index + 1}",
                hint=f"a learning rate below {self.options.rate}",
            )
        self._losses.append(loss.detach())
        return loss

    def _shared_weight(self, losses: list[Tensor]) -> Tensor | None:
        """For `gradnorm`, the last learning weight that all losses depend on."""
        if self.objective.balance != "gradnorm":
            return None
        if self._shared:
            return self._shared[0]
        weights = [p for p in self.composite.parameters() if p.requires_grad and p.dim() > 1]
        for loss in losses:
            if not weights:
                break
            grads = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
            weights = [w for w, grad in zip(weights, grads, strict=True) if grad is not None]
        if not weights:
            raise UsageError(
                "gradnorm balances the pull of tasks at weights that they share and that learn",
                found="none",
                hint="--balance uncertainty, or a freeze policy that lets the trunk learn",
            )
        self._shared = (weights[-1],)
        return weights[-1]

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

    def validation_step(self, batch: tuple[Tensor, Labels], index: int) -> None:
        """Keep the answers."""
        images, labels = batch
        outputs = self(images)
        answers = {name: outputs[name] for name in self.composite.plan.answers}
        self._validation.append((labels, answers))

    def on_validation_epoch_end(self) -> None:
        """Score every answer over the whole validation part."""
        plan = self.composite.plan
        for name in plan.answers:
            column = plan.column(name)
            labels = torch.cat([labels[column] for labels, _ in self._validation])
            logits = torch.cat([answers[name] for _, answers in self._validation]).float()
            known = labels != MISSING
            self.scores[name] = _score(logits[known], labels[known])

    def configure_optimizers(self) -> Any:
        """One parameter group per rate and weight decay."""
        options = self.options
        groups = parameter_groups(self.composite, self.freeze_map, options)
        if own := list(self.balance.parameters()):
            groups.append({"params": own, "lr": options.rate, "weight_decay": 0.0})
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

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Also which stage this is, what learns in it, and what all stages are."""
        rates = dict(self.freeze_map.rates)
        own = {"stage": self.number, "rates": rates, "stages": self.stages}
        checkpoint["convgraft"] = own


def stage_seed(seed: int, number: int) -> int:
    """A seed of its own for each stage; the first one has the fit's."""
    return seed + 1_000_003 * number


def _score(logits: Tensor, labels: Tensor) -> dict[str, float]:
    if not len(labels):
        return {"top1": 0.0, "nll": math.inf}
    return {
        "top1": (logits.argmax(1) == labels).float().mean().item(),
        "nll": F.cross_entropy(logits, labels).item(),
    }


def parameter_groups(
    composite: Composite, freeze: Freeze, options: FitOptions
) -> list[dict[str, Any]]:
    """Trainable parameters by rate and decay, in the order of the state dict."""
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in composite.named_parameters():
        rate = freeze.rates[name]
        decay = options.weight_decay * freeze.decays[name] if parameter.dim() > 1 else 0.0
        if rate > 0:
            groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": options.rate * rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
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
    return {
        name: tensor for name, tensor in composite.state_dict().items() if _changes(name, freeze)
    }


def _changes(name: str, freeze: Freeze) -> bool:
    """A held batch norm keeps its statistics, and its weights may learn."""
    if name in freeze.rates:
        return freeze.rates[name] > 0
    return name.rpartition(".")[0] not in freeze.held
