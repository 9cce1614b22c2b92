"""The compiler: a plan and its sources become one `nn.Module`.

    Plan, Sources --check--> Checked --resolve--> Resolved --link--> graph --prune--> Composite

Each stage is a file and gives one frozen value to the next.
"""

from convgraft.compose.check import Checked, check
from convgraft.compose.composite import (
    Composite,
    Cost,
    compose,
    cost,
    open_source,
    open_sources,
    source_seed,
)
from convgraft.compose.resolve import Resolved, resolve

__all__ = [
    "Checked",
    "Composite",
    "Cost",
    "Resolved",
    "check",
    "compose",
    "cost",
    "open_source",
    "open_sources",
    "resolve",
    "source_seed",
]
