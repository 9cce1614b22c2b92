"""A network built as its weights need it: with the number of classes that their shapes tell."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from convgraft.errors import SourceError
from convgraft.sources.registry import Builder
from convgraft.sources.spec import SourceSpec
from convgraft.sources.weights import MAX_CLASSES, WeightsFile, compare_shapes, shapes_of

AUXILIARY_HEADS = ("torchvision.models.inception", "torchvision.models.googlenet")


def build(builder: Builder, classes: int | None, seed: int) -> nn.Module:
    """A network with random weights; raises SourceError for an impossible number of classes."""
    if classes is not None and not 1 <= classes <= MAX_CLASSES:
        raise SourceError(
            "a network cannot be made for that number of classes",
            expected=f"1 to {MAX_CLASSES:,}",
            found=str(classes),
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return builder.build(classes)


def download(spec: SourceSpec, builder: Builder) -> nn.Module:
    """A network with its library's default weights; raises SourceError where they do not come."""
    if builder.download is None:
        raise SourceError(
            f'"{spec.architecture}" has no default weights to download',
            hint=f"{spec.architecture}@FILE, or {spec.architecture} for random weights",
        )
    try:
        return builder.download()
    except Exception as error:
        raise SourceError(
            f'the default weights of "{spec.architecture}" could not be downloaded',
            found=f"{type(error).__name__}: {error}",
            hint=f"offline, give a file: {spec.architecture}@weights.safetensors; "
            f"{spec.architecture} alone begins with random weights",
        ) from error


def build_for(spec: SourceSpec, builder: Builder, file: WeightsFile, seed: int) -> nn.Module:
    """The network that a file has the weights of; raises SourceError where it is another one."""
    module = build(builder, file.noted.classes if file.noted else None, seed)
    network = shapes_of(module)
    missing, unknown, differing = compare_shapes(file.shapes, network)
    missing = [name for name in missing if not _is_auxiliary(name, module)]
    classes = _classes_in_file(file, network, differing)
    if not missing and not unknown and differing and classes:
        module = build(builder, classes, seed)
        missing, unknown, differing = compare_shapes(file.shapes, shapes_of(module))
    pruned = file.source is not None  # a run keeps what its answers need
    missing = [name for name in missing if not pruned and not _is_auxiliary(name, module)]
    if missing or unknown or differing:
        raise _mismatch(spec, file, network, (missing, unknown, differing))
    return module


def _is_auxiliary(name: str, module: nn.Module) -> bool:
    """Training-only heads of Inception and GoogLeNet, which many weight files leave out."""
    has_them = type(module).__module__ in AUXILIARY_HEADS
    return has_them and name.lower().startswith("aux")


def _classes_in_file(
    file: WeightsFile, network: dict[str, Any], differing: list[str]
) -> int | None:
    """The one number that the first dimension of every differing tensor has in the file."""
    if any(file.shapes[name][1:] != network[name][1:] for name in differing):
        return None
    counts = {file.shapes[name][0] for name in differing}
    return counts.pop() if len(counts) == 1 else None


def _mismatch(
    spec: SourceSpec,
    file: WeightsFile,
    network: dict[str, tuple[int, ...]],
    differences: tuple[list[str], list[str], list[str]],
) -> SourceError:
    missing, unknown, differing = differences
    found = [f"lacks {_some(missing)}"] if missing else []
    found += [f"has {_some(unknown)} that the network does not know"] if unknown else []
    shapes = [f"{name} {list(file.shapes[name])} for {list(network[name])}" for name in differing]
    found += [f"shapes differ: {_some(shapes)}"] if shapes else []
    return SourceError(
        f'the weights in "{file.path}" are not of {spec.architecture}',
        expected=f"{len(network)} tensors as {spec.architecture} names them",
        found="; ".join(found),
        hint="the architecture that these weights were trained with",
    )


def _some(names: list[str], count: int = 3) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def absent_from(file: WeightsFile | None, module: nn.Module) -> tuple[str, ...]:
    """Tensors of a network that its weights lack, without heads for training alone."""
    if file is None:
        return ()
    missing, _, _ = compare_shapes(file.shapes, shapes_of(module))
    return tuple(name for name in missing if not _is_auxiliary(name, module))
