"""The compiler: a plan and its sources become one `nn.Module`.

    Plan, Sources --check--> Checked --resolve--> Resolved --link--> graph --prune--> Composite

Each stage is a file and gives one frozen value to the next.
"""

from convgraft.compose.check import Checked, check, is_usable_name
from convgraft.compose.composite import (
    Composite,
    compose,
    keep_answers,
    open_source,
    open_sources,
    source_seed,
)
from convgraft.compose.cost import Cost, cost
from convgraft.compose.fold import Folded, fold_adapters
from convgraft.compose.nested import open_network, source_ref
from convgraft.compose.resolve import AdapterPart, Resolved, resolve

__all__ = [
    "AdapterPart",
    "Checked",
    "Composite",
    "Cost",
    "Folded",
    "Resolved",
    "check",
    "compose",
    "cost",
    "fold_adapters",
    "is_usable_name",
    "keep_answers",
    "open_network",
    "open_source",
    "open_sources",
    "resolve",
    "source_ref",
    "source_seed",
]
