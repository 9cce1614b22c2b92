"""The compiler: a plan and its sources become one `nn.Module`.

    Plan, Sources --check--> Checked --resolve--> Resolved --link--> graph --prune--> Composite

Each stage is a file and gives one frozen value to the next.
"""

from convgraft.compose.check import Checked, check, is_usable_name, source_ref
from convgraft.compose.composite import Composite, compose, keep_answers
from convgraft.compose.cost import Cost, cost
from convgraft.compose.resolve import AdapterPart, Resolved, resolve

__all__ = [
    "AdapterPart",
    "Checked",
    "Composite",
    "Cost",
    "Resolved",
    "check",
    "compose",
    "cost",
    "is_usable_name",
    "keep_answers",
    "resolve",
    "source_ref",
]
