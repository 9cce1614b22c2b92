"""The one grammar for naming a network: `ARCH[@WEIGHTS]`.

    torchvision/resnet18                     random weights
    torchvision/resnet18@DEFAULT             pretrained, downloaded because asked for by name
    timm/mobilenetv3_small_100@w.safetensors weights from a file
    cifar_resnet20@runs/one                  weights from a convgraft run
    cifar_resnet20@runs/join#b               weights of its source `b`
    python:my_package.nets:build             your own factory
    filters/gaussian:size=7+sobel_x          fixed filters, see `convgraft.zoo.filters`

Parsing touches no network and loads no torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from convgraft.errors import SourceError

GRAMMAR = "ARCH[@WEIGHTS], e.g. torchvision/resnet18@weights.safetensors"
_LIBRARY = re.compile(r"(torchvision|timm)/([A-Za-z0-9_.\-]+)")
_PYTHON = re.compile(r"python:([A-Za-z_][\w.]*):([A-Za-z_][\w.]*)")
_FILTERS = re.compile(r"filters/(\S.*)")
_BUILTIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class SourceSpec:
    """A parsed `ARCH[@WEIGHTS]`.

    Attributes:
        library: `torchvision`, `timm`, `builtin`, `python` or `filters`.
        name: the network's name there (`module:factory` for `python`, the filters for `filters`).
        weights: a path, `DEFAULT`, or None for random weights.
    """

    library: str
    name: str
    weights: str | None = None

    @property
    def architecture(self) -> str:
        """The spec without its weights."""
        if self.library == "builtin":
            return self.name
        separator = ":" if self.library == "python" else "/"
        return f"{self.library}{separator}{self.name}"

    def __str__(self) -> str:
        return self.architecture if self.weights is None else f"{self.architecture}@{self.weights}"


def parse_spec(text: str) -> SourceSpec:
    """Read `ARCH[@WEIGHTS]`; raises SourceError where the text is not of that form.

    >>> parse_spec("torchvision/resnet18@DEFAULT").weights
    'DEFAULT'
    """
    architecture, at, weights = text.strip().partition("@")
    if at and not weights:
        raise SourceError(
            f'"{text}" names no weights after "@"',
            expected=GRAMMAR,
            hint=f"{architecture} for random weights, or {architecture}@FILE",
        )
    library, name = _split_architecture(architecture, text)
    if library == "python" and text != text.strip():  # who refuses code looks at how a spec begins
        raise SourceError(f'there are spaces around "{text}"', expected=text.strip())
    return SourceSpec(library, name, weights or None)


def _what_is_there(text: str) -> str:
    if not text:
        return "nothing before the @"
    is_gone = "/" in text and not Path(text).expanduser().is_dir()
    return f'"{text}", and there is no such folder' if is_gone else text


def _split_architecture(architecture: str, text: str) -> tuple[str, str]:
    if match := _LIBRARY.fullmatch(architecture):
        return match[1], match[2]
    if match := _PYTHON.fullmatch(architecture):
        return "python", f"{match[1]}:{match[2]}"
    if match := _FILTERS.fullmatch(architecture):
        return "filters", match[1]
    if _BUILTIN.fullmatch(architecture):
        return "builtin", architecture
    raise SourceError(
        f'"{text}" does not name a network',
        expected=f"{GRAMMAR}; or the folder of a finished run",
        found=_what_is_there(architecture),
        hint="torchvision/NAME, timm/NAME, custom16, cifar_resnet20, filters/NAME "
        "or python:module:factory",
    )
