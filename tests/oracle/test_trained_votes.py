"""A trained ensemble: a head on every network and a vote over their answers, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from convgraft.compose import compose
from convgraft.strategies import STRATEGIES, Ingredients, StrategyOptions
from helpers import images, small
from naive import Naive, assert_like, stir


class Voting(Naive):
    vote: str

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        found = {}
        for name in self.sources:
            features = self.walk(name, self.normalised(name, image))["flatten"]
            found[name] = self.linear_head(name, features)
        return {**found, "label": getattr(self, self.vote)(list(found.values()))}

    def average(self, answers: list[Tensor]) -> Tensor:
        return (sum(answer.softmax(1) for answer in answers) / len(answers)).log()

    def logits(self, answers: list[Tensor]) -> Tensor:
        return (sum(answers) / len(answers)).log_softmax(1)

    def plurality(self, answers: list[Tensor]) -> Tensor:
        rows = []
        for n in range(len(answers[0])):
            votes = [answer[n].argmax().item() for answer in answers]
            shares = [float(votes.count(c)) for c in range(answers[0].shape[1])]
            mean = sum(answer[n].softmax(0) for answer in answers) / len(answers)
            rows.append((torch.tensor(shares).to(mean) + mean) / (len(answers) + 1))
        return torch.stack(rows).log()


def composed(vote: str) -> tuple[torch.nn.Module, Voting]:
    sources = {name: small(seed) for seed, name in enumerate("abc")}
    given = Ingredients(sources, 16, 7, StrategyOptions(vote=vote))
    composite = compose(STRATEGIES["ensemble"].write(given), sources)
    stir(composite.heads)
    naive = Voting(composite, sources)
    naive.vote = vote
    return composite, naive


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("vote", ["average", "logits"])
def test_votes_that_gradients_pass(vote: str, training: bool) -> None:
    assert_like(*composed(vote), training=training)  # type: ignore[arg-type]


def test_plurality() -> None:
    composite, naive = (network.double().eval() for network in composed("plurality"))
    batch = images(16, 8).double()
    torch.testing.assert_close(
        composite(batch)["label"], naive(batch)["label"], rtol=1e-6, atol=1e-6
    )
