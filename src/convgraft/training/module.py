"""The composite as a LightningModule: loss, validation, optimiser and schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import lightning as lit
import torch
import torch.nn.functional as F
from torch import Tensor

from convgraft.compose import Composite
from convgraft.data import MISSING
from convgraft.errors import RunError
from convgraft.opening.memory_format import laid_out
from convgraft.training.ahead import ahead
from convgraft.training.balance import BALANCES, shared_weight
from convgraft.training.compiled_step import CompiledLoss, Loss, check_compilable
from convgraft.training.epochs import Batch, Epochs
from convgraft.training.freeze import Freeze
from convgraft.training.objective import Labels, Objective
from convgraft.training.optimisers import optimiser, parameter_groups, schedule
from convgraft.training.options import FitOptions
from convgraft.training.process_group import current_group
from convgraft.training.steps import no_search_for_gpus, placer, step_callbacks, stepper
from convgraft.training.within_epoch import WithinEpoch

LOOKS = 50  # steps between two looks at a loss that an accelerator has not worked out yet


class NotFinite(RunError):  # noqa: N818 - it is one, of numbers
    """A loss or an answer is infinite or no number; the weights are those before that step.

    Attributes:
        epoch: of the stage, from 0.
        batch: of training in that epoch, from 0; None where it was in validation.
        row: of the validation image, from 0; None where it was in training. With neither, it
            was found when the epoch was over.
    """

    def __init__(
        self, what: str, epoch: int, *, batch: int | None = None, row: int | None = None
    ) -> None:
        self.epoch, self.batch, self.row = epoch, batch, row
        where = "" if row is None else f", validation image {row + 1}"
        where = where if batch is None else f", batch {batch + 1}"
        super().__init__(what, found=f"epoch {epoch + 1}{where}", hint="a lower learning rate")


class FitModule(lit.LightningModule):
    """Trains a composite for one stage of a fit.

    Its batches are whole epochs, and it goes through their steps by itself. After each validation,
    `scores` holds for every answer its top-1 and its NLL over the images whose label is known.

    Args:
        steps: how many there are in all epochs of the stage.

    Attributes:
        within: where it is, for a checkpoint; where it was, after one was loaded.
        steps_of_epoch: how many there are in one epoch.
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
        steps: int = 1,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.composite = composite
        self.freeze_map = freeze
        self.objective = objective
        self.options = options
        self.number, self.stages, self.steps = number, list(stages), steps
        self.layout = torch.contiguous_format
        self.balance = BALANCES[objective.balance](len(objective.terms))
        self._loss_of: Loss = self._plain_loss
        if options.compile:
            check_compilable(objective.balance, current_group().world)
            self._loss_of = CompiledLoss(self._plain_loss)
        self.within = WithinEpoch()
        self.steps_of_epoch = 0
        self.scores: dict[str, dict[str, float]] = {}
        self._losses: list[Tensor] = []
        self._validation: list[tuple[Labels, Mapping[str, Tensor]]] = []
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

    def training_step(self, epochs: Epochs, index: int) -> None:
        """Every step of an epoch; raises NotFinite before the step of a loss that is no number."""
        step, place, callbacks = stepper(self), placer(self), step_callbacks(self.trainer)
        before = self.current_epoch * epochs.steps
        with no_search_for_gpus():
            first = self.first_step
            batches = epochs.epoch(self.current_epoch, first)
            for number, batch in enumerate(ahead(batches, place, self.device), first):
                if number == first:  # a loader may draw a number for its first batch
                    self._go_on()
                loss = self.batch_loss(batch, number)
                step(loss)
                self._losses.append(loss.detach())
                for callback in callbacks:
                    callback.on_step_end(before + number + 1)
        self._go_on()  # where all of its steps were done before

    def whole(self) -> Composite:
        """The composite with all its weights as they are now; of several ranks all ask for it."""
        return self.composite

    @property
    def first_step(self) -> int:
        """The number of the step that the epoch begins with; above 0 where it is gone on with."""
        return self.within.step

    def _go_on(self) -> None:
        """Take up the losses and the random state of an epoch that had begun before."""
        if self.within.step:
            self._losses = list(self.within.losses.to(self.device).unbind())
            self.within.restore_random(self.device)
        self.within = WithinEpoch()

    def within_now(self, step: int) -> WithinEpoch:
        """Where it is after so many steps of an epoch."""
        losses = torch.stack(self._losses).cpu()
        return WithinEpoch.now(self.current_epoch, step, self.steps_of_epoch, losses, self.device)

    def batch_loss(self, batch: Batch, number: int) -> Tensor:
        """The loss of the batch of that number in its epoch."""
        loss = self._loss_of(*batch)
        if loss.is_cpu and not math.isfinite(loss.item()):  # elsewhere the question would wait
            raise self._not_finite(loss.item(), number)
        if not loss.is_cpu and number % LOOKS == 0:
            self._look_back(loss.detach())
        return loss

    def _plain_loss(self, inputs: tuple[Tensor, ...], labels: Labels) -> Tensor:
        """The loss of a batch as it is written."""
        losses = self.objective.losses(
            self.composite.plan, self.forward(inputs), labels, self.options.label_smoothing
        )
        return self.balance(losses, self._shared_weight(losses))

    def _look_back(self, *newest: Tensor) -> None:
        """Find the first loss of this epoch that is no number; raises NotFinite for it."""
        losses = torch.stack([*self._losses, *newest]).float()
        if bad := (~losses.isfinite()).nonzero().flatten().tolist():
            raise self._not_finite(losses[bad[0]].item(), bad[0])

    def _not_finite(self, value: float, number: int) -> NotFinite:
        return NotFinite(f"the loss became {value}", self.current_epoch, batch=number)

    def _shared_weight(self, losses: list[Tensor]) -> Tensor | None:
        """For `gradnorm`, the last learning weight that all losses depend on."""
        if self.objective.balance != "gradnorm":
            return None
        if self._shared:
            return self._shared[0]
        self._shared = (shared_weight(self.composite, losses),)
        return self._shared[0]

    def mean_loss(self) -> float:
        """The mean training loss of the epoch so far; raises NotFinite where one is no number."""
        self._look_back()
        return torch.stack(self._losses).cpu().double().mean().item()

    def epoch_losses(self) -> list[float]:
        """The training loss of every step of the epoch so far."""
        return torch.stack(self._losses).tolist()

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self._validation = []

    def validation_step(self, epochs: Epochs, index: int) -> None:
        """Keep the answers to every batch."""
        place, callbacks = placer(self), step_callbacks(self.trainer)
        for inputs, labels in ahead(epochs.epoch(0), place, self.device):
            outputs = self.forward(inputs)
            answers = {name: outputs[name] for name in self.composite.plan.answers}
            self._validation.append((labels, answers))
            for callback in callbacks:
                callback.on_scored()

    def on_validation_epoch_end(self) -> None:
        """Score every answer over the whole validation part; raises NotFinite where one is none."""
        plan = self.composite.plan
        for name in plan.answers:
            column = plan.column(name)
            labels = torch.cat([labels[column] for labels, _ in self._validation])
            logits = torch.cat([answers[name] for _, answers in self._validation]).float()
            if bad := (~logits.isfinite().all(1)).nonzero().flatten().tolist():
                what = f'the answer "{name}" to a validation image became infinite or no number'
                raise NotFinite(what, self.current_epoch, row=bad[0])
            known = labels != MISSING
            self.scores[name] = _score(logits[known], labels[known])

    def configure_optimizers(self) -> Any:
        """One parameter group per rate and weight decay."""
        options = self.options
        groups = parameter_groups(self.composite, self.freeze_map, options)
        if own := list(self.balance.parameters()):
            groups.append({"params": own, "lr": options.rate, "weight_decay": 0.0})
        moved = optimiser(groups, options, self.device)
        return [moved], [schedule(moved, options.schedule, max(1, self.steps))]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Also which stage this is, what learns in it, and what all stages are."""
        rates = dict(self.freeze_map.rates)
        own = {"stage": self.number, "rates": rates, "stages": self.stages}
        checkpoint["convgraft"] = own | self.within.as_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on where the checkpoint was written, which may be in the middle of an epoch.

        What Lightning's loops kept is passed over: they count otherwise with several ranks.
        Raises UsageError where an epoch had another number of steps.
        """
        self.within = WithinEpoch.from_state(checkpoint["convgraft"])
        if self.within.epoch is None:
            return
        self.within.check_steps(self.steps_of_epoch)
        checkpoint.pop("loops", None)
        progress = self.trainer.fit_loop.epoch_progress
        done = dict.fromkeys(("ready", "started", "processed", "completed"), self.within.epoch)
        for count in (progress.current, progress.total):
            count.load_state_dict(done)


def stage_seed(seed: int, number: int) -> int:
    """A seed of its own for each stage; the first one has the fit's."""
    return seed + 1_000_003 * number


def _score(logits: Tensor, labels: Tensor) -> dict[str, float]:
    if not len(labels):
        return {"top1": 0.0, "nll": math.inf}
    return {
        "top1": (logits.argmax(1) == labels).sum().item() / len(labels),
        "nll": F.cross_entropy(logits, labels).item(),
    }
