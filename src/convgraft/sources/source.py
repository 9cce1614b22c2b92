"""A source: one network to be combined, with its weights, its graphs and its preprocessing."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from convgraft.errors import SourceError
from convgraft.sources.building import absent_from, build, build_for, download
from convgraft.sources.capture import Capture, capture
from convgraft.sources.preprocess import Preprocessing
from convgraft.sources.registry import find_builder
from convgraft.sources.spec import SourceSpec, parse_spec
from convgraft.sources.survey import Survey, Tap, survey
from convgraft.sources.weights import WeightsFile, open_weights


@dataclass(frozen=True, eq=False)
class Source:
    """A network, captured, ready to be combined.

    Attributes:
        spec: what it was made from, as text (`ARCH[@WEIGHTS]`, `module:CLASS`, or a run's folder).
        module: the network itself; read it, do not train it: a composite works on copies.
        capture: its exact graphs, for training and for evaluation.
        preprocessing: how it wants its images.
        classes: number of classes that it tells apart.
        image_size: side in pixels that it was designed for.
        pending: weights that have been checked and not loaded yet; None when all is loaded.
        absent: tensors that the weights lack, because the run they are from had pruned them (its
            own classifier, mostly); nothing may depend on them.
        nested: for a run that is used as a source, the `convgraft.plan.Plan` that it is made of.
    """

    spec: str
    module: nn.Module
    capture: Capture
    preprocessing: Preprocessing
    classes: int
    image_size: int
    pending: WeightsFile | None = None
    absent: tuple[str, ...] = ()
    nested: object | None = None

    def survey(self, image_size: int | None = None) -> Survey:
        """Its taps for images of `image_size` pixels (its own size when not given)."""
        return survey(
            self.module,
            self.capture,
            self.preprocessing.channels,
            self.preprocessing.size or image_size or self.image_size,
        )

    def taps(self, image_size: int | None = None) -> tuple[Tap, ...]:
        """As `survey`, the taps alone."""
        return self.survey(image_size).taps

    def loaded(self) -> Source:
        """This source with its pending weights in place."""
        if self.pending is None:
            return self
        self.module.load_state_dict(self.pending.finite_tensors(), strict=False)
        return replace(self, pending=None)


def source(
    spec: str | nn.Module,
    *,
    classes: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: int | None = None,
    seed: int = 0,
    load: bool = True,
    bare: bool = False,
) -> Source:
    """Make a source from `ARCH[@WEIGHTS]` or from any `nn.Module` (which is copied).

    Args:
        spec: see `convgraft.sources.spec` for the grammar.
        classes: number of classes; the weights tell it where there are any.
        mean, std: per channel, for images in [0, 1]; the architecture's own where not given.
        size: side in pixels to resize this network's images to, whatever the others take.
        seed: of random weights.
        load: False checks the weights and leaves loading them to `Source.loaded`.
        bare: build the network as for the weights that the spec names, and leave them out: the
            caller brings other ones. `classes` must be given.

    Raises SourceError where the name, the weights or the network's forward will not do.

    >>> source("cifar_resnet20").classes
    10
    """
    asked = {"mean": mean, "std": std, "size": size}
    if isinstance(spec, nn.Module):
        name, own = f"module:{type(spec).__name__}", copy.deepcopy(spec)
        made = _captured(name, own, Preprocessing().adjusted(**asked), size or 224)
    else:
        made = _from_spec(parse_spec(spec), classes, seed, bare, asked)
    return made.loaded() if load else made


def _from_spec(
    spec: SourceSpec, classes: int | None, seed: int, bare: bool, asked: Mapping[str, Any]
) -> Source:
    builder = find_builder(spec)
    if spec.weights is None or bare:
        module, file = build(builder, classes, seed), None
    elif spec.weights == "DEFAULT":
        module, file = download(spec, builder), None
    else:
        file = open_weights(spec.weights)
        module = build_for(spec, builder, file, seed)
    stored = _stored_preprocessing(file)
    first = (stored or builder.preprocessing(classes or 0)).adjusted(**asked)
    found = _captured(str(spec), module, first, builder.image_size)
    own = (stored or builder.preprocessing(found.classes)).adjusted(**asked)
    absent = absent_from(file, module)
    return replace(found, preprocessing=own, pending=file, absent=absent)


def _stored_preprocessing(file: WeightsFile | None) -> Preprocessing | None:
    noted = file.noted if file is not None else None
    return Preprocessing(noted.mean, noted.std, noted.size) if noted else None


def _refuse_other_precision(module: nn.Module, spec: str) -> None:
    for name, weight in module.named_parameters():
        if weight.is_floating_point() and weight.dtype != torch.float32:
            raise SourceError(
                f"the weights of {spec} are in another precision than images are",
                expected="torch.float32",
                found=f"{weight.dtype} in {name}",
                hint="network.float(); what is made of it can be cast",
            )


def _captured(spec: str, module: nn.Module, preprocessing: Preprocessing, size: int) -> Source:
    _refuse_other_precision(module, spec)
    found = capture(module, name=spec)
    taps = survey(module, found, preprocessing.channels, preprocessing.size or size).taps
    logits = next(tap for tap in taps if tap.kind == "logits")
    return Source(spec, module, found, preprocessing, logits.shape[0], size)
