"""Multi-task: one trunk of one or several networks, a head for each label column."""

from __future__ import annotations

from convgraft.compose import is_usable_name
from convgraft.errors import UsageError
from convgraft.plan import Plan
from convgraft.strategies.ingredients import Ingredients


def multitask(given: Ingredients) -> Plan:
    """The plan: every head reads the fused features of all networks; the main column's is last."""
    if not given.columns:
        raise UsageError(
            "multitask learns several label columns at once",
            expected="--target MAIN OTHER, or --label-map FILE",
            found="one",
        )
    features = [given.features(name) for name in given.sources]
    fusion = given.options.fusion
    taken = {*given.sources, "label"}
    heads = [
        given.dense_head(_head_name(column, taken), features, column, fusion)
        for column in given.columns
    ]
    main = given.dense_head("label", features, fusion=fusion)
    return Plan(given.image_size, given.refs, (), (*heads, main))


def _head_name(column: str, taken: set[str]) -> str:
    """A module can be called so: letters, digits and underscores, and no name twice."""
    name = "".join(c if c.isalnum() and c.isascii() else "_" for c in column) or "column"
    name = name if name[0].isalpha() else f"column_{name}"
    while name in taken or not is_usable_name(name):
        name += "_"
    taken.add(name)
    return name
