"""Small modules that plans put between networks: adapters, joins, fusions and heads.

A file ends in its table (`ADAPTERS`, `JOINS`, `FUSIONS`, `HEADS`); a new kind is a class and a row.
"""

from convgraft.layers.adapters import ADAPTERS, Gate, build_adapter
from convgraft.layers.fusions import FUSIONS, Fusion
from convgraft.layers.heads import HEADS, DenseHead
from convgraft.layers.joins import JOINS, Concat, CrossFade
from convgraft.layers.side import SideHead
from convgraft.layers.votes import AverageHead, IdentityHead
from convgraft.zoo.as_dense import as_dense

__all__ = [
    "ADAPTERS",
    "FUSIONS",
    "HEADS",
    "JOINS",
    "AverageHead",
    "Concat",
    "CrossFade",
    "DenseHead",
    "Fusion",
    "Gate",
    "IdentityHead",
    "SideHead",
    "as_dense",
    "build_adapter",
]
