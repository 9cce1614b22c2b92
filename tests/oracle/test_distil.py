"""Distillation from one teacher and from two, against the sum of Hinton et al. written by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from convgraft.compose import compose
from convgraft.strategies import STRATEGIES, Ingredients, write_recipe
from convgraft.strategies.distil import TEMPERATURE
from helpers import images, small
from naive import Naive, stir


class Distilled(Naive):
    """The student's logits and the teachers' mean."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        student, *teachers = self.sources
        found = self.walk(student, self.normalised(student, image))["flatten"]
        answers = [self.walk(name, self.normalised(name, image))["fc"] for name in teachers]
        mean = sum(answer.softmax(1) for answer in answers) / len(answers)
        return self.linear_head("label", found), answers[0] if len(answers) == 1 else mean.log()


def naive_loss(logits: Tensor, teacher: Tensor, labels: list[int]) -> Tensor:
    """Mean over the batch of -log p(label) + T^2 sum_c q_c (log q_c - log p_c), softened by T."""
    total = torch.zeros((), dtype=logits.dtype)
    for row, label in enumerate(labels):
        total = total - logits[row].softmax(0)[label].log()
        p = (logits[row] / TEMPERATURE).softmax(0)
        q = (teacher[row] / TEMPERATURE).softmax(0).detach()
        for c in range(len(p)):
            total = total + TEMPERATURE**2 * q[c] * (q[c].log() - p[c].log())
    return total / len(labels)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("teachers", [1, 2])
def test_distil(teachers: int, training: bool) -> None:
    sources = {name: small(seed) for seed, name in enumerate("abc"[: teachers + 1])}
    given = Ingredients(sources, 16, 10)
    recipe = write_recipe(STRATEGIES["distil"].write(given), sources, given, "distil")
    assert recipe.loss.teachers == tuple("bc"[:teachers])
    composite = compose(recipe.plan, sources)
    stir(composite.heads)
    naive = Distilled(composite, sources).double().train(training)
    composite.double().train(training)
    batch, labels = images(16, 5).double(), [3, 1, 4, 1, 5]
    outputs = composite(batch)
    terms = recipe.loss.stages[0].losses(composite.plan, outputs, {"": torch.tensor(labels)})
    ours, theirs = torch.stack(terms).sum(), naive_loss(*naive(batch), labels)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    ours.backward()
    theirs.backward()
    by_hand = dict(naive.named_parameters())
    for name, parameter in composite.named_parameters():
        if name.startswith(("sources.a", "heads")):
            torch.testing.assert_close(parameter.grad, by_hand[name].grad, rtol=1e-5, atol=1e-9)
        else:
            assert parameter.grad is None, f"{name} is a teacher's"
