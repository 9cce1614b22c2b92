"""Losses of a batch that several ranks have a share of: what one process would have worked out.

A term is a mean over those images of a batch that have what it asks for. Every rank knows the mean
over its own share and how many images that is of, so that one sum of a few numbers over all ranks
gives each term's mean over the whole batch. What a rank then differentiates is its part of that
mean, times the number of ranks, because gradients are averaged over them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convgraft.data import MISSING
from convgraft.plan import Plan
from convgraft.training.objective import Labels, Term
from convgraft.training.process_group import Group


@dataclass(frozen=True, eq=False)
class Reduced:
    """The terms of a batch.

    Attributes:
        local: of every term, what this rank is to differentiate.
        values: of every term, its value over the whole batch; the same on all ranks.
        wishes: how many ranks wish each of the things that were asked with them.
    """

    local: list[Tensor]
    values: Tensor
    wishes: Tensor


def known_images(plan: Plan, term: Term, labels: Labels) -> Tensor:
    """How many images of a batch a term is a mean over, as a number on their device."""
    if term.kind == "task":
        return (labels[plan.column(term.of[0])] != MISSING).sum()
    own = next(iter(labels.values()))
    return torch.tensor(len(own), device=own.device)


def reduce_losses(
    group: Group, losses: Sequence[Tensor], counts: Sequence[Tensor], wishes: Sequence[bool]
) -> Reduced:
    """The terms of the whole batch, from every rank's means over its own share of it.

    Args:
        losses: of every term, its mean over this rank's images.
        counts: of every term, how many images that is of; 0 where there is none.
        wishes: what this rank wishes to be done after this step.
    """
    own = torch.stack(list(losses)).detach().double()
    seen = torch.stack(list(counts)).double()
    own = torch.where(seen > 0, own * seen, torch.zeros_like(own))
    asked = torch.tensor(list(wishes), dtype=torch.float64, device=own.device)
    sums = group.total(torch.cat([own, seen, asked]))
    whole, images = sums[: len(own)], sums[len(own) : 2 * len(own)].clamp(min=1)
    shares = (group.world * seen / images).to(losses[0].dtype).unbind()
    local = [loss * share for loss, share in zip(losses, shares, strict=True)]
    return Reduced(local, (whole / images).to(losses[0].dtype), sums[2 * len(own) :])


def nothing_of(batch: tuple[tuple[Tensor, ...], Mapping[str, Tensor]]) -> tuple:
    """A batch of one blank image without a label, in place of an empty share.

    A network cannot always run over no image at all; what it makes of this one counts nowhere.
    """
    inputs, labels = batch
    blank = tuple(value.new_zeros((1, *value.shape[1:])) for value in inputs)
    return blank, {name: column.new_full((1,), MISSING) for name, column in labels.items()}
