"""Architectures by name: torchvision, timm, the built-in zoo, filters, and your own factory.

A `Builder` knows how to make a network for a number of classes and how it wants its images.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from convgraft.errors import SourceError, near_miss
from convgraft.sources.preprocess import Preprocessing
from convgraft.sources.spec import SourceSpec
from convgraft.zoo import networks
from convgraft.zoo.filters import build_filters

CIFAR10 = Preprocessing((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
CIFAR100 = Preprocessing((0.5070, 0.4865, 0.4409), (0.2673, 0.2564, 0.2761))
AS_IT_IS = Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Builder:
    """How to make one architecture.

    Attributes:
        build: number of classes (None: the architecture's default) to a network with fresh weights.
        download: as `build`, with the library's default pretrained weights; None where it has none.
        preprocessing: number of classes to the preprocessing of networks of that many classes.
        image_size: side in pixels that the architecture was designed for.
    """

    build: Callable[[int | None], nn.Module]
    download: Callable[[], nn.Module] | None
    preprocessing: Callable[[int], Preprocessing]
    image_size: int


def find_builder(spec: SourceSpec) -> Builder:
    """The builder of an architecture; raises SourceError with near misses for an unknown name."""
    return _LIBRARIES[spec.library](spec)


def _torchvision(spec: SourceSpec) -> Builder:
    from torchvision import models

    known = models.list_models(module=models)
    if spec.name not in known:
        raise _unknown(spec, "torchvision has no classifier", known)
    weights = models.get_model_weights(spec.name)
    transforms = weights["DEFAULT"].transforms()
    options = _torchvision_options(spec)

    def build(classes: int | None) -> nn.Module:
        chosen = {} if classes is None else {"num_classes": classes}
        return models.get_model(spec.name, weights=None, **options, **chosen)

    return Builder(
        build=build,
        download=lambda: models.get_model(spec.name, weights="DEFAULT"),
        preprocessing=lambda classes: Preprocessing(tuple(transforms.mean), tuple(transforms.std)),
        image_size=transforms.crop_size[0],
    )


def _torchvision_options(spec: SourceSpec) -> dict[str, bool]:
    """Inception and GoogLeNet: their pretrained weights expect `transform_input`.

    Others have it too: weights do not say what they were trained with.
    """
    if spec.name not in ("inception_v3", "googlenet"):
        return {}
    return {"init_weights": spec.weights is None, "transform_input": True}


def _timm(spec: SourceSpec) -> Builder:
    try:
        import timm
    except ImportError as error:
        raise SourceError(f'"{spec}" needs timm', hint="pip install timm") from error
    name = spec.name
    if not timm.is_model(name):
        raise _unknown(spec, "timm has no network", timm.list_models())
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError as error:  # what follows the dot names none of its weights
        known = timm.list_pretrained(f"{name.partition('.')[0]}.*")
        raise _unknown(spec, "timm has no network", known) from error
    size = config.input_size[-1] if config is not None else 224
    mean, std = (tuple(config.mean), tuple(config.std)) if config else ((0.5,) * 3, (0.5,) * 3)

    def build(classes: int | None) -> nn.Module:
        chosen: dict[str, Any] = {} if classes is None else {"num_classes": classes}
        return timm.create_model(name, **chosen)

    return Builder(
        build=build,
        download=lambda: timm.create_model(name, pretrained=True),
        preprocessing=lambda classes: Preprocessing(mean, std),
        image_size=size,
    )


def _builtin(spec: SourceSpec) -> Builder:
    if spec.name in BUILT_IN:
        return BUILT_IN[spec.name]
    from torchvision import models

    elsewhere = {f"torchvision/{name}" for name in models.list_models(module=models)}
    exact = f"torchvision/{spec.name}"
    raise SourceError(
        f'there is no built-in network called "{spec.name}"',
        expected=f"{', '.join(BUILT_IN)}, torchvision/NAME, timm/NAME or python:module:factory",
        hint=exact if exact in elsewhere else near_miss(spec.name, BUILT_IN),
    )


def _unknown(spec: SourceSpec, what: str, known: list[str]) -> SourceError:
    return SourceError(f'{what} called "{spec.name}"', hint=near_miss(spec.name, known))


def _cifar_resnet(depth: int) -> Builder:
    return Builder(
        build=lambda classes: networks.CifarResNet(depth, 10 if classes is None else classes),
        download=None,
        preprocessing=lambda classes: CIFAR100 if classes == 100 else CIFAR10,
        image_size=32,
    )


BUILT_IN: Mapping[str, Builder] = {
    "custom16": Builder(
        build=lambda classes: networks.Custom16(10 if classes is None else classes),
        download=None,
        preprocessing=lambda classes: Preprocessing(),
        image_size=100,
    ),
    **{f"cifar_resnet{depth}": _cifar_resnet(depth) for depth in (20, 32, 44, 56)},
}


def _python(spec: SourceSpec) -> Builder:
    """`python:package.module:factory`; the folder you stand in is looked at too."""
    path, _, attribute = spec.name.partition(":")
    factory = _import_factory(path, attribute, str(spec))
    takes_classes = "num_classes" in _parameters(factory)

    def build(classes: int | None) -> nn.Module:
        try:
            made = factory(num_classes=classes) if takes_classes and classes else factory()
        except Exception as error:  # whatever a stranger's code raises
            raise SourceError(
                f'"{spec}" fails when it is called',
                expected="a factory that takes nothing, or num_classes",
                found=f"{type(error).__name__}: {error}",
            ) from error
        if not isinstance(made, nn.Module):
            raise SourceError(f"{spec} does not make an nn.Module", found=type(made).__name__)
        return made

    return Builder(
        build=build,
        download=None,
        preprocessing=lambda classes: Preprocessing(),
        image_size=224,
    )


def _import_factory(path: str, attribute: str, spec: str) -> Callable[..., object]:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found: object = importlib.import_module(path)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever a stranger's code raises
        raise SourceError(
            f'"{spec}" cannot be imported',
            expected="python:package.module:factory, importable from the folder you stand in",
            found=f"{type(error).__name__}: {error}",
        ) from error
    finally:
        sys.path.remove(here)
    if not callable(found):
        raise SourceError(f'"{spec}" is not a function or class', found=type(found).__name__)
    return found


def _parameters(factory: Callable[..., object]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return {}


def _filters(spec: SourceSpec) -> Builder:
    """A bank of fixed filters; its channels follow from its kernels, whatever the classes."""
    side = build_filters(spec.name).size
    return Builder(
        build=lambda classes: build_filters(spec.name),
        download=None,
        preprocessing=lambda classes: AS_IT_IS,
        image_size=max(32, side),
    )


_LIBRARIES: Mapping[str, Callable[[SourceSpec], Builder]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "builtin": _builtin,
    "python": _python,
    "filters": _filters,
}
