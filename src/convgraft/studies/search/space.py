"""What a search may choose from: ways of combining, and the choices within each.

A way is a strategy with a loss and a freeze preset. `CLOSED` ways put linear heads on frozen
networks and solve them by ridge regression, from stored features. In `FROZEN` ways heads on frozen
networks are trained, in `LEARNING` ways the networks learn too. The first of every row of choices
is the default.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from convgraft.strategies import StrategyOptions
from convgraft.studies.design import Design
from convgraft.training import FitOptions

UPPER_TAPS = "kind:block & depth:0.5..1, kind:features"
HEADS_ONLY, TENTH = "heads-only", "discriminative"
_FIT = ("lr", "epochs", "weight_decay")
_RATES = (2e-3, 5e-4, 5e-3)


@dataclass(frozen=True)
class Way:
    """One way of combining.

    Attributes:
        kind: `closed`, `frozen` or `learning`.
        least, most: how many networks it takes.
        cuts: whether it runs the front of one network and the back of another one: it may cost less
            than either, and which one is the front matters.
        choices: what may be chosen, and its values, the default first: options of the strategy,
            `freeze`, and `lr`, `epochs` and `weight_decay` of the fit.
    """

    name: str
    strategy: str
    kind: str
    least: int = 2
    most: int | None = None
    loss: str = ""
    cuts: bool = False
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def takes(self, count: int) -> bool:
        """Whether it combines so many networks."""
        return self.least <= count and (self.most is None or count <= self.most)


def _frozen(name: str, strategy: str, least: int, most: int | None = None, **own: Any) -> Way:
    fitted = {"lr": _RATES, "weight_decay": (1e-2, 1e-1, 1.0), "epochs": (40,)}
    choices = {**own, "freeze": (HEADS_ONLY,), **fitted}
    return Way(name, strategy, "frozen", least, most, choices=choices)


def _learning(
    name: str,
    strategy: str,
    least: int = 2,
    most: int | None = None,
    loss: str = "",
    cuts: bool = False,
    **own: Any,
) -> Way:
    presets = {"freeze": (TENTH, "frozen-statistics", "layer-decay")}
    choices = {**presets, **own, "lr": _RATES, "epochs": (20, 12, 8)}
    return Way(name, strategy, "learning", least, most, loss, cuts, choices)


def _closed(name: str, strategy: str, least: int, most: int | None = None, **own: Any) -> Way:
    choices = {**own, "freeze": (HEADS_ONLY,)}
    return Way(name, strategy, "closed", least, most, choices=choices)


_HIDDEN = ("", "256")
_DROPOUT = (0.0, 0.3)
_VOTES = ("average", "logits")
_ADAPTERS = ("", "conv1x1", "block")

CLOSED: tuple[Way, ...] = (
    _closed("ridge-probe", "probe", 1, 1),
    _closed("ridge-parallel", "parallel", 2),
    _closed("ridge-ladder", "ladder", 1),
    _closed("ridge-upper-ladder", "ladder", 1, taps=(UPPER_TAPS,)),
    _closed("ridge-ensemble", "ensemble", 2),
)
FROZEN: tuple[Way, ...] = (
    _frozen("probe", "probe", 1, 1, hidden=_HIDDEN, dropout=_DROPOUT),
    _frozen(
        "parallel",
        "parallel",
        2,
        fusion=("concat", "sum", "mean", "attention", "se"),
        hidden=_HIDDEN,
        dropout=_DROPOUT,
    ),
    _frozen("ladder", "ladder", 1, head=("linear", "mlp", "side"), dropout=_DROPOUT),
    _frozen("upper-ladder", "ladder", 1, head=("linear", "mlp"), taps=(UPPER_TAPS,)),
    _frozen("ensemble", "ensemble", 2, vote=_VOTES, hidden=_HIDDEN),
)
LEARNING: tuple[Way, ...] = (
    _learning("co-learning", "parallel", loss="co-learning"),
    _learning("tuned-ensemble", "ensemble", vote=_VOTES),
    _learning("finetune", "finetune", 1, 1, dropout=_DROPOUT),
    _learning("tuned-ladder", "ladder", 1),
    _learning("cross-skip", "cross-skip", loss="co-learning", adapter=_ADAPTERS),
    _learning("tuned-parallel", "parallel", fusion=("concat", "attention", "se"), hidden=_HIDDEN),
    _learning(
        "stitch", "stitch", 2, 2, loss="two-stage", cuts=True, adapter=("", "conv1x1", "cnn")
    ),
)
WAYS: Mapping[str, Way] = {way.name: way for way in (*CLOSED, *FROZEN, *LEARNING)}


@dataclass(frozen=True)
class Candidate:
    """One thing that might be trained: a way, networks in order, and what was chosen.

    >>> str(Candidate("ladder", ("a", "b"), {"head": "mlp"}))
    'ladder a+b head=mlp'
    """

    way: str
    networks: tuple[str, ...]
    choices: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        defaults = {name: values[0] for name, values in WAYS[self.way].choices.items()}
        object.__setattr__(self, "choices", {**defaults, **self.choices})

    def __str__(self) -> str:
        known = WAYS[self.way].choices
        other = [f"{k}={v}" for k, v in self.choices.items() if v != known[k][0]]
        return " ".join([self.way, "+".join(self.networks), *other])

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Candidate:
        """The candidate that a line of a search's trials is about."""
        return cls(line["way"], tuple(line["networks"]), line["choices"])

    @property
    def kind(self) -> str:
        """`closed`, `frozen` or `learning`: what is done to train it."""
        return WAYS[self.way].kind

    @property
    def key(self) -> str:
        """What tells it from every other candidate."""
        return json.dumps([self.way, self.networks, dict(sorted(self.choices.items()))])

    def choosing(self, **choices: Any) -> Candidate:
        """The same with other choices."""
        return Candidate(self.way, self.networks, {**self.choices, **choices})

    @property
    def design(self) -> Design:
        """What `build_arm` makes its arm of."""
        known = {one.name for one in fields(StrategyOptions)}
        said = {name: value for name, value in self.choices.items() if name in known}
        if "hidden" in said:
            said["hidden"] = tuple(int(width) for width in said["hidden"].split(",") if width)
        way = WAYS[self.way]
        freeze = str(self.choices["freeze"])
        return Design(
            way.strategy, StrategyOptions(**said), freeze=freeze, loss=way.loss, name=str(self)
        )

    def options(self, given: FitOptions) -> FitOptions:
        """The options of its fit; images are augmented where networks learn."""
        chosen = {name: self.choices[name] for name in _FIT if name in self.choices}
        return replace(given, **chosen, augment="light" if self.kind == "learning" else "none")


def defaults(ways: Sequence[Way], networks: Sequence[tuple[str, ...]]) -> Iterator[Candidate]:
    """Every way over every subset that it takes, with its defaults."""
    for chosen in networks:
        yield from (Candidate(way.name, chosen) for way in ways if way.takes(len(chosen)))
