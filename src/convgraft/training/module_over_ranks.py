"""The composite as a LightningModule of one of several ranks, which have a share of every batch.

For the trainer an epoch is as many batches as it has steps, so that every step goes through
Lightning's strategy, which sums the gradients. All ranks know the same loss, the same scores and
the same wishes (to stop, to write a checkpoint), so that all of them do the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import repeat

import torch
import torch.nn.functional as F
from torch import Tensor

from convgraft.data import MISSING
from convgraft.training.batch_norm_over_ranks import BatchNormOverRanks
from convgraft.training.epochs import Batch, Epochs
from convgraft.training.module import LOOKS, FitModule, NotFinite
from convgraft.training.process_group import current_group
from convgraft.training.reduced import known_images, nothing_of, reduce_losses
from convgraft.training.steps import placer, step_callbacks, stepper

DONE = "done before"  # in place of a batch that was trained on before the checkpoint


class Steps:
    """The batches of the epoch that a module is in, for a trainer that goes through them."""

    def __init__(self, epochs: Epochs, module: FitModuleOverRanks) -> None:
        self.epochs, self._module = epochs, module

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return self.epochs.steps

    def __iter__(self) -> Iterator[Batch | str]:
        """The batches; the first ones may have been trained on before."""
        first = self._module.first_step
        yield from repeat(DONE, first)
        yield from self.epochs.epoch(self._module.current_epoch, first)


class FitModuleOverRanks(FitModule):
    """Trains a composite for one stage of a fit, together with other ranks; as `FitModule`."""

    def training_step(self, batch: Batch | str, index: int) -> None:  # type: ignore[override]
        """One step; raises NotFinite, on all ranks, before that of a loss that is no number."""
        if isinstance(batch, str):
            if index + 1 == self.steps_of_epoch:
                self._go_on()
            return
        callbacks = step_callbacks(self.trainer)
        if index == self.first_step:
            self._go_on()
            torch.manual_seed(_own_seed(torch.initial_seed(), current_group().rank, index))
        is_blank = not len(next(iter(batch[1].values())))
        loss, value, wishes = self._reduced(batch, index, is_blank=is_blank)
        stepper(self)(loss)
        self._losses.append(value)
        for number, callback in enumerate(callbacks):
            callback.is_agreed = bool(wishes[number])
        for callback in callbacks:
            callback.on_step_end(self.current_epoch * self.steps_of_epoch + index + 1)

    def _reduced(
        self, batch: Batch, number: int, *, is_blank: bool
    ) -> tuple[Tensor, Tensor, list[bool]]:
        """What to differentiate, the loss of the whole batch, and what all are to do after it."""
        inputs, labels = nothing_of(batch) if is_blank else batch
        plan = self.composite.plan
        with BatchNormOverRanks(counts=not is_blank):
            outputs = self.forward(inputs)
        losses = self.objective.losses(plan, outputs, labels, self.options.label_smoothing)
        counts = [known_images(plan, term, labels) for term in self.objective.terms]
        counts = [torch.zeros_like(count) for count in counts] if is_blank else counts
        wishes = [callback.wish() for callback in step_callbacks(self.trainer)]
        found = reduce_losses(current_group(), losses, counts, wishes)
        loss = self.balance(found.local, self._shared_weight(found.local))
        with torch.no_grad():
            value = self.balance(list(found.values.unbind()), None)
        if value.is_cpu and not math.isfinite(value.item()):
            raise self._not_finite(value.item(), number)
        if not value.is_cpu:  # a question would have to wait, so that only some are asked
            if number % LOOKS:
                return loss, value, [False] * len(wishes)
            self._look_back(value)
        return loss, value, found.wishes.bool().tolist()

    def validation_step(self, epochs: Epochs, index: int) -> None:
        """Keep the answers to this rank's share of every batch, and which rows it has."""
        place, shares = placer(self), epochs.shares(0)
        self._rows: list[int] = torch.cat([torch.arange(0), *shares]).tolist()
        for inputs, labels in map(place, epochs.epoch(0)):
            if len(next(iter(labels.values()))):
                outputs = self.forward(inputs)
                answers = {name: outputs[name] for name in self.composite.plan.answers}
                self._validation.append((labels, answers))

    def on_validation_epoch_end(self) -> None:
        """Score every answer over the whole part; raises NotFinite on all ranks where one is."""
        for name in self.composite.plan.answers:
            column = self.composite.plan.column(name)
            empty = [torch.zeros(0, 1)], [torch.zeros(0, dtype=torch.int64)]
            labels = [labels[column] for labels, _ in self._validation]
            logits = [answers[name].float() for _, answers in self._validation]
            self._score(name, torch.cat(logits or empty[0]), torch.cat(labels or empty[1]))

    def _score(self, name: str, logits: Tensor, labels: Tensor) -> None:
        bad = (~logits.isfinite().all(1)).nonzero().flatten().tolist()
        told = current_group().gather(self._rows[bad[0]] if bad else None)
        if rows := [row for row in told if row is not None]:
            what = f'the answer "{name}" to a validation image became infinite or no number'
            raise NotFinite(what, self.current_epoch, row=min(rows))
        known = labels != MISSING
        self.scores[name] = _score(logits[known], labels[known])


def _score(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Over all ranks' images, each once."""
    right = (logits.argmax(1) == labels).sum() if len(labels) else torch.zeros(())
    lost = F.cross_entropy(logits, labels, reduction="sum") if len(labels) else torch.zeros(())
    own = torch.tensor([right.item(), lost.item(), len(labels)], dtype=torch.float64)
    right, lost, count = current_group().total(own).tolist()
    if not count:
        return {"top1": 0.0, "nll": math.inf}
    return {"top1": right / count, "nll": lost / count}


def _own_seed(seed: int, rank: int, step: int) -> int:
    """Each rank draws numbers of its own, and other ones where it goes on in mid-epoch."""
    return seed + 7_919 * rank + 1_299_709 * step
