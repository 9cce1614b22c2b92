"""The features of every network, frozen, over all labelled images: from the store, or one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convgraft.data import ImageSet, Split
from convgraft.sources import Source
from convgraft.strategies import Ingredients
from convgraft.studies.search.features import PARTS, Report, all_features
from convgraft.training import Task


@dataclass(frozen=True, eq=False)
class FrozenFeatures:
    """What frozen networks make of labelled images.

    Attributes:
        labels: int64 [N].
        values: by network, means over positions of what its own classifier reads, float32 [N, C].
    """

    labels: NDArray[np.int64]
    values: Mapping[str, Tensor]


def whole_set(images: ImageSet) -> Split:
    """All labelled images, whatever parts they are in; nothing is trained, so nothing leaks.

    They lie in the two parts that a pass runs over, every second image in each.
    """
    labelled = np.flatnonzero(images.labels >= 0).tolist()
    return Split(tuple(labelled[0::2]), tuple(labelled[1::2]), (), seed=0)


def frozen_features(given: Ingredients, task: Task, report: Report) -> FrozenFeatures:
    """The features of every network over the images of a task on a `whole_set`, in their order.

    Images that cannot be decoded are left out. What is in the store is not computed again.
    """
    found = all_features(given, task, report)
    names = readable_names(given.sources)
    indices = np.concatenate([np.array(task.pixels(part).indices, np.int64) for part in PARTS])
    order = np.argsort(indices)
    values: dict[str, Tensor] = {}
    for name, one in found.items():
        tap = given.features(name).tap
        rows = torch.cat([one.values[part][tap].float() for part in PARTS])
        values[names[name]] = rows[torch.from_numpy(order)]
    return FrozenFeatures(task.images.labels[indices[order]], values)


def readable_names(sources: Mapping[str, Source]) -> dict[str, str]:
    """By source, its architecture or run; the same one twice has its source's name beside it.

    `{"a": "resnet18", "b": "mobilenet_v2 (b)", "c": "mobilenet_v2 (c)"}`
    """
    short = {name: one.spec.split("@")[0].rpartition("/")[2] for name, one in sources.items()}
    known = Counter(short.values())
    return {name: text if known[text] == 1 else f"{text} ({name})" for name, text in short.items()}
