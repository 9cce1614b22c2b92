"""What training minimises: terms over a composite's outputs, in one or several stages.

    task      cross-entropy of an answer against its label column; missing labels are left out
    match     mean squared error between an output and another one that stays as it is
    distil    Kullback-Leibler divergence of an answer from a teacher's answer (Hinton et al. 2015)
    mutual    the same of several answers from the mean of all of them (Zhang et al. 2018)

Whatever a term compares with gives no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from convgraft.data import MISSING
from convgraft.plan import Plan
from convgraft.plan.values import LEARNED_HEADS

Outputs = Mapping[str, Tensor]
Labels = Mapping[str, Tensor]


@dataclass(frozen=True)
class Term:
    """One part of a loss.

    Attributes:
        kind: a row of `TERMS`.
        of: the outputs that it teaches.
        to: for `match` and `distil`, the output that they are compared with.
        weight: its share in the sum.
        temperature: softens the answers that `distil` and `mutual` compare.
    """

    kind: str
    of: tuple[str, ...]
    to: str = ""
    weight: float = 1.0
    temperature: float = 1.0

    def __str__(self) -> str:
        """As `0.5 x match(r, h)`."""
        inside = ", ".join((*self.of, self.to) if self.to else self.of)
        return f"{self.weight:g} x {self.kind}({inside})"


@dataclass(frozen=True)
class Objective:
    """The terms of one stage of training, summed.

    Attributes:
        balance: how task terms are weighed against each other, a row of
            `convgraft.training.balance.BALANCES`.
        freeze: a freeze preset for this stage alone; empty: as the policy says.
    """

    terms: tuple[Term, ...]
    balance: str = "constant"
    freeze: str = ""

    def losses(
        self, plan: Plan, outputs: Outputs, labels: Labels, smoothing: float = 0.0
    ) -> list[Tensor]:
        """The terms' values, each a scalar times its weight.

        Args:
            outputs: of the composite, by name.
            labels: int64 [N] by label column, the main one under the empty name.
            smoothing: share of a task's target that is spread over all classes.
        """
        batch = _Batch(plan, outputs, labels, smoothing)
        return [_weighed(TERMS[term.kind](batch, term), term.weight) for term in self.terms]

    def teaches(self, plan: Plan, answers: Collection[str]) -> bool:
        """Whether validation tells how far this stage is: no answer waits for a later one.

        An answer waits where its head has weights of its own and no term is about it.
        """
        own = {head.name for head in plan.heads if head.kind in LEARNED_HEADS}
        return not (own & set(answers)) - {name for term in self.terms for name in term.of}

    def __str__(self) -> str:
        return " + ".join(map(str, self.terms))


@dataclass(frozen=True)
class Loss:
    """What a fit minimises, stage by stage, and which answers it is judged by and keeps.

    Attributes:
        judged: the answers whose validation top-1 chooses the epoch; empty: the plan's answer.
        pick: whether the best of them is kept alone; else their mean is what counts.
        keep: the answers to keep when all is trained; empty: all of the plan's.
        teachers: sources that stay as they are, whatever the freeze policy says.
    """

    name: str
    stages: tuple[Objective, ...]
    judged: tuple[str, ...] = ()
    pick: bool = False
    keep: tuple[str, ...] = ()
    teachers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "; then ".join(map(str, self.stages))


def task_loss(plan: Plan) -> Loss:
    """Cross-entropy of every trained answer of a plan."""
    return Loss("task", (Objective(tuple(Term("task", (name,)) for name in plan.trained)),))


@dataclass(frozen=True)
class _Batch:
    plan: Plan
    outputs: Outputs
    labels: Labels
    smoothing: float


def _weighed(value: Tensor, weight: float) -> Tensor:
    """A multiplication by one would cost a small head a tenth of its step, forwards and back."""
    return value if weight == 1 else weight * value


def _task(batch: _Batch, term: Term) -> Tensor:
    logits = batch.outputs[term.of[0]]
    labels = batch.labels[batch.plan.column(term.of[0])]
    asks = labels.is_cpu and not torch.compiler.is_compiling()  # else the question has to wait
    if asks and not (labels == MISSING).any():
        return F.cross_entropy(logits, labels, label_smoothing=batch.smoothing)
    total = F.cross_entropy(
        logits, labels, ignore_index=MISSING, label_smoothing=batch.smoothing, reduction="sum"
    )
    return total / (labels != MISSING).sum().clamp(min=1)


def _match(batch: _Batch, term: Term) -> Tensor:
    return F.mse_loss(batch.outputs[term.of[0]], batch.outputs[term.to].detach())


def _distil(batch: _Batch, term: Term) -> Tensor:
    teacher = F.log_softmax(batch.outputs[term.to].detach() / term.temperature, 1)
    return _divergence(batch.outputs[term.of[0]], teacher, term.temperature)


def _mutual(batch: _Batch, term: Term) -> Tensor:
    heads = [batch.outputs[name] for name in term.of]
    logs = torch.stack([F.log_softmax(head / term.temperature, 1) for head in heads])
    mean = (torch.logsumexp(logs, 0) - torch.log(torch.tensor(float(len(heads))))).detach()
    return torch.stack([_divergence(head, mean, term.temperature) for head in heads]).sum()


def _divergence(logits: Tensor, target: Tensor, temperature: float) -> Tensor:
    """KL(target || softmax(logits / T)) T^2, mean over the batch; `target` is logarithms."""
    logs = F.log_softmax(logits / temperature, 1)
    return F.kl_div(logs, target, reduction="batchmean", log_target=True) * temperature**2


TERMS: Mapping[str, Callable[[_Batch, Term], Tensor]] = {
    "task": _task,
    "match": _match,
    "distil": _distil,
    "mutual": _mutual,
}
