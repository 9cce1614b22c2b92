"""What a search is bound by, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field

from convgraft.studies.search.price import Ceiling
from convgraft.training import FitOptions


@dataclass(frozen=True)
class Rules:
    """What a search is bound by.

    Attributes:
        minutes: of work, over all calls.
        ceiling: what one image may cost at most.
        trials: that are trained at most; None: as many as there is time for.
        options: of every fit; candidates choose rate, epochs and weight decay themselves.
    """

    minutes: float
    ceiling: Ceiling = field(default_factory=Ceiling)
    trials: int | None = None
    options: FitOptions = field(default_factory=FitOptions)
