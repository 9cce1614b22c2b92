"""Networks by name: a plan's sources opened, finished runs among them.

    cifar_resnet20@w.safetensors     as `convgraft.sources.source` opens it
    runs/x                           a run: its plan compiled, unfolded to one network's graphs

What a run needs of the compiler is why this lies above it: a run's plan has sources of its own.
"""

from convgraft.opening.by_name import (
    compile_plan,
    open_network,
    open_plan,
    open_source,
    open_sources,
    source_seed,
)

__all__ = [
    "compile_plan",
    "open_network",
    "open_plan",
    "open_source",
    "open_sources",
    "source_seed",
]
