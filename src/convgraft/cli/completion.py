"""What a shell completes as values of options: choices, and networks by name; loads no torch."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, MutableMapping, Sequence
from importlib.util import find_spec
from pathlib import Path

STRATEGIES = [
    "cross-skip", "stitch", "parallel", "cascade", "multitask", "ensemble", "ladder",
    "fixed-filters", "distil", "probe", "finetune",
]  # fmt: skip
PRESETS = [
    "heads-only", "adapters-only", "discriminative", "frozen-statistics", "layer-decay", "lp-ft",
    "gradual", "all",
]  # fmt: skip
LOSSES = ["task", "co-learning", "mse", "final", "two-stage", "distil"]
FUSIONS = ["concat", "sum", "mean", "attention", "se", "bilinear"]
STUDIES = [
    "strategies", "fixed-filters", "directions", "matching", "ladder", "co-learning", "stitches",
]  # fmt: skip
AUGMENTATIONS = ["auto", "none", "light", "standard", "digits"]
BUILT_IN = ["custom16", *(f"cifar_resnet{depth}" for depth in (20, 32, 44, 56))]
LIBRARIES = {"torchvision/": "torchvision.models", "timm/": "timm.models"}
# a factory, as both libraries mark theirs; detection, video and the like lie deeper
_FACTORY = re.compile(r"^@register_model\b[^\n]*\n(?:@[^\n]*\n)*def (\w+)\(", re.MULTILINE)
_LINES = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")  # as typed so far: of bash, and of other shells
_WORD = re.compile(r"""(?:\\.|"[^"]*"?|'[^']*'?|[^\s"'\\])+""")  # with its quotes


def one_of(words: Sequence[str]) -> Callable[[str], list[str]]:
    """A completer, as Typer takes it, of a fixed choice."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


def networks(incomplete: str) -> list[str]:
    """Architectures that begin so: those built in, and those of a library once it is named.

    Where nothing begins so, a shell completes files: runs, and weights after the @.
    """
    begun = one_of([*BUILT_IN, *LIBRARIES, "filters/"])(incomplete)
    library = begun[0] if len(begun) == 1 else incomplete.partition("/")[0] + "/"
    if library not in LIBRARIES:
        return begun
    return one_of([library + name for name in sorted(architectures(LIBRARIES[library]))])(
        incomplete
    )


def architectures(package: str) -> list[str]:
    """The names of a library's networks, read off its source: importing it takes seconds."""
    top, _, below = package.partition(".")
    found = find_spec(top)
    if found is None or found.origin is None:
        return []
    files = (Path(found.origin).parent / below).glob("*.py")
    return [name for file in files for name in _FACTORY.findall(file.read_text("utf-8"))]


def spread_line(
    environment: MutableMapping[str, str], spread: Callable[[Sequence[str]], list[str]]
) -> None:
    """Have `--models A B` read as a command reads it, up to the word that is being typed.

    Args:
        environment: in which the shell tells the line; changed in place where it does.
        spread: words of a command line to those that the parser understands.
    """
    for name in _LINES:
        if name not in environment:
            continue
        words = _WORD.findall(environment[name])
        typed = len(words) - (not environment[name].endswith((" ", "\n")))
        position = int(environment.get("COMP_CWORD", typed))
        told = words[:1] + spread([*words[1:position], "".join(words[position : position + 1])])
        environment[name] = " ".join(told)
        environment["COMP_CWORD"] = str(len(told) - 1)


def is_asked() -> bool:
    """Whether a shell asks what could come next, and nothing is to be run."""
    return "_CONVGRAFT_COMPLETE" in os.environ
