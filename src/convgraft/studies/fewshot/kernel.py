"""What heads know of an episode: inner products of normalised features.

Features are scaled to length one, image by image, centred by the mean of the support images, and
scaled to length one again (Wang et al., SimpleShot, 2019; there the mean is of base classes, which
frozen networks that come from elsewhere do not bring along). All heads here depend on inner
products alone, so those of joined features are the mean of those of the parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from convgraft.studies.fewshot.episodes import Episodes


@dataclass(frozen=True, eq=False)
class EpisodeKernel:
    """Inner products of the images of episodes, float64.

    Attributes:
        support: [E, S, S], of the support images, class by class.
        queries: [E, Q, S], of the queries with the support images.
        ways: classes of an episode.
    """

    support: Tensor
    queries: Tensor
    ways: int

    @classmethod
    def of(cls, features: Tensor, episodes: Episodes) -> EpisodeKernel:
        """From the features [N, C] of one network.

        Nothing but the support images decides how features are normalised: queries are judged one
        by one.
        """
        support = normalize(features[torch.from_numpy(episodes.support).flatten(1)], dim=2)
        queries = normalize(features[torch.from_numpy(episodes.queries).flatten(1)], dim=2)
        mean = support.mean(1, keepdim=True)
        learned = normalize(support - mean, dim=2)
        asked = normalize(queries - mean, dim=2)
        turned = learned.transpose(1, 2)
        return cls((learned @ turned).double(), (asked @ turned).double(), episodes.ways)

    @classmethod
    def joined(cls, kernels: Sequence[EpisodeKernel]) -> EpisodeKernel:
        """Of the concatenated features of several networks, scaled to length one again."""
        return cls(
            torch.stack([one.support for one in kernels]).mean(0),
            torch.stack([one.queries for one in kernels]).mean(0),
            kernels[0].ways,
        )

    @property
    def labels(self) -> Tensor:
        """The class of each support image, [S]."""
        return torch.arange(self.ways).repeat_interleave(self.support.shape[1] // self.ways)

    @property
    def query_labels(self) -> Tensor:
        """The class of each query, [Q]."""
        return torch.arange(self.ways).repeat_interleave(self.queries.shape[1] // self.ways)
