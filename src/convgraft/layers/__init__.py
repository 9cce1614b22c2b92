"""Small modules that plans put between networks: adapters, joins and heads.

Each file ends in a table (`ADAPTERS`, `JOINS`, `HEADS`); a new kind is one class and one row.
"""

from convgraft.layers.adapters import ADAPTERS, Gate, build_adapter
from convgraft.layers.heads import HEADS, DenseHead
from convgraft.layers.joins import JOINS, Add, Concat, CrossFade, Replace
from convgraft.layers.votes import AverageHead, IdentityHead

__all__ = [
    "ADAPTERS",
    "HEADS",
    "JOINS",
    "Add",
    "AverageHead",
    "Concat",
    "CrossFade",
    "DenseHead",
    "Gate",
    "IdentityHead",
    "Replace",
    "build_adapter",
]
