"""Strategies: ways of combining networks. Each is a file that writes a plan."""

from convgraft.strategies.ingredients import (
    Ingredients,
    StrategyOptions,
    source_names,
    source_ref,
)
from convgraft.strategies.table import STRATEGIES, Strategy, find_strategy

__all__ = [
    "STRATEGIES",
    "Ingredients",
    "Strategy",
    "StrategyOptions",
    "find_strategy",
    "source_names",
    "source_ref",
]
