"""What the rows are made of, as the package's data says: image sets, networks, pretraining."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

IMAGENET = "imagenet"


@dataclass(frozen=True)
class SetFacts:
    """An image set of the paper.

    Attributes:
        name: for people.
        place: where it lies below the folder of data.
        target: its label column; empty where folders are the labels.
        augment: of what learns from it, as in `FitOptions`.
    """

    name: str
    place: str
    target: str = ""
    augment: str = "auto"


@dataclass(frozen=True)
class NetworkFacts:
    """An architecture of the paper.

    Attributes:
        name: for people.
        pace: microseconds that a core takes to train on a pixel, very roughly; for estimates.
        stand_in: the architecture that takes its place where its ImageNet weights are missing.
    """

    name: str
    pace: float
    stand_in: str = ""


@dataclass(frozen=True)
class Earlier:
    """What a network learns from scratch before it is joined: an image set, and with which seed."""

    data: str
    seed: int


@dataclass(frozen=True)
class Material:
    """All of it, by the names that rows use.

    Attributes:
        differs: what differs from the paper at every scale, for people.
    """

    images: Mapping[str, SetFacts]
    networks: Mapping[str, NetworkFacts]
    pretraining: Mapping[str, Earlier]
    differs: tuple[str, ...]


@cache
def read_material() -> Material:
    """What `material.yaml` says."""
    told = package_data("material.yaml")
    return Material(
        {name: SetFacts(**facts) for name, facts in told["images"].items()},
        {name: NetworkFacts(**facts) for name, facts in told["networks"].items()},
        {name: Earlier(**facts) for name, facts in told["pretraining"].items()},
        tuple(told["differs"]),
    )


def package_data(*place: str) -> Any:
    """A YAML file of this package, as plain data."""
    file = files("convgraft.studies.paper").joinpath(*place)
    return yaml.safe_load(file.read_text(encoding="utf-8"))
