"""Heads that learn from the support images of an episode, on frozen features.

Each gives [E, Q, ways]: how likely a query is of a class, as probabilities or (`ridge`) as a
regression onto one-hot labels. The largest is the answer, and means over networks are their vote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from convgraft.studies.fewshot.kernel import EpisodeKernel

PENALTY = 1.0  # of ridge, and of logistic regression: half of it, on the squared weights
ITERATIONS = 1000
TINY = 1e-6  # share of the largest variance below which a direction is noise

FewShotHead = Callable[[EpisodeKernel], Tensor]


def prototype(kernel: EpisodeKernel) -> Tensor:
    """The nearest class mean: softmax over negative squared distances.

    Source: Snell, Swersky, Zemel, Prototypical Networks for Few-shot Learning, 2017.
    """
    shots = kernel.support.shape[1] // kernel.ways
    blocks = kernel.support.unflatten(2, (kernel.ways, shots)).unflatten(1, (kernel.ways, shots))
    lengths = blocks.mean((2, 4)).diagonal(dim1=1, dim2=2)
    products = kernel.queries.unflatten(2, (kernel.ways, shots)).mean(3)
    # a query's own length is the same for all classes
    return (2 * products - lengths[:, None]).softmax(2)


def ridge(kernel: EpisodeKernel) -> Tensor:
    """Ridge regression onto one-hot labels, without intercept: features are centred.

    Source: Bertinetto, Henriques, Torr, Vedaldi, Meta-learning with Differentiable Closed-form
    Solvers, 2019.
    """
    targets = one_hot(kernel.labels, kernel.ways).double()
    eye = torch.eye(kernel.support.shape[1], dtype=torch.float64)
    return kernel.queries @ torch.linalg.solve(kernel.support + PENALTY * eye, targets)


def linear(kernel: EpisodeKernel) -> Tensor:
    """Multinomial logistic regression by scikit-learn, with an L2 penalty and C = 1.

    Source: Tian et al., Rethinking Few-Shot Image Classification: a Good Embedding Is All You
    Need?, 2020.
    """
    from sklearn.linear_model import LogisticRegression

    labels = kernel.labels.numpy()
    found: list[Tensor] = []
    for learned, asked in zip(*(side.numpy() for side in coordinates(kernel)), strict=True):
        head = LogisticRegression(C=1 / PENALTY, max_iter=ITERATIONS).fit(learned, labels)
        found.append(torch.from_numpy(head.predict_proba(asked)))
    return torch.stack(found)


def coordinates(kernel: EpisodeKernel) -> tuple[Tensor, Tensor]:
    """Support [E, S, S] and queries [E, Q, S] in the space that the support images span.

    The weights of a penalised linear head lie in that space, so that its answers are those on the
    whole features, which may be a hundred times as wide.
    """
    values, vectors = torch.linalg.eigh(kernel.support)
    is_kept = values > TINY * values[:, -1:].clamp(min=TINY)
    scale = torch.where(is_kept, values, 0).sqrt()
    inverse = torch.where(is_kept, 1 / scale, 0)
    return vectors * scale[:, None], kernel.queries @ vectors * inverse[:, None]


HEADS: Mapping[str, FewShotHead] = MappingProxyType(
    {"prototype": prototype, "linear": linear, "ridge": ridge}
)
