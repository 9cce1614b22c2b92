"""Strategies: ways of combining networks. Each is a file that writes a plan; losses go with it."""

from convgraft.strategies.ingredients import (
    Ingredients,
    StrategyOptions,
    source_names,
)
from convgraft.strategies.losses import LOSSES, weighed, write_recipe
from convgraft.strategies.recipe import Recipe
from convgraft.strategies.table import STRATEGIES, Strategy, find_strategy

__all__ = [
    "LOSSES",
    "STRATEGIES",
    "Ingredients",
    "Recipe",
    "Strategy",
    "StrategyOptions",
    "find_strategy",
    "source_names",
    "weighed",
    "write_recipe",
]
