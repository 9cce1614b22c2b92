"""Fixed kernels in front of a network, or in place of its first layers.

A bank of kernels is a source like any other, `filters/gaussian` say. By default it stands between
the image and the network, and only the head learns; `into` puts it in place of everything up to
that tap.
"""

from __future__ import annotations

from collections.abc import Sequence

from convgraft.plan import Plan, TapRef, Wire
from convgraft.strategies.ingredients import Ingredients, StrategyOptions

BANK = "filters"


def fixed_filters(given: Ingredients) -> Plan:
    """The plan: the bank named `filters`, and a wire from it into each network."""
    made = [name for name, one in given.sources.items() if one.spec.startswith("filters/")]
    networks = [name for name in given.sources if name not in made]
    given.needs(
        len(made) == len(networks) > 0,
        "a filter bank stands in front of each network",
        "networks alone; the banks are made by --filters",
        f"{len(networks)} networks and {len(made)} banks",
    )
    wires = [_wire(given, bank, name) for bank, name in zip(made, networks, strict=True)]
    head = given.dense_head("label", [given.features(name) for name in networks])
    return Plan(given.image_size, given.refs, tuple(wires), (head,))


def _wire(given: Ingredients, bank: str, name: str) -> Wire:
    into = given.options.into
    channels = given.surveys[bank].taps[-1].shape[0]
    found = given.surveys[name].tap(into)
    adapter = given.options.adapter or ("identity" if found.shape[0] == channels else "conv1x1")
    here = TapRef(bank, given.surveys[bank].taps[-1].name)
    return Wire((here,), TapRef(name, into), "replace", adapter, "one")


def banks(names: Sequence[str], options: StrategyOptions) -> dict[str, tuple[str, str]]:
    """The banks to open, one in front of each network: their specs, and whose images they take."""
    spec = f"filters/{options.filters}"
    return {f"{BANK}_{name}" if len(names) > 1 else BANK: (spec, name) for name in names}
